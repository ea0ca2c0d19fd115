// What is there at once in the usual call, and comes later in some. Each promise that is awaited costs a turn of the microtask queue, about
// a microsecond and a kilobyte of garbage, and a call passes two dozen places that seldom wait. Such a place answers the value itself
// where it has it.

/** A value, or a promise of it. An error of what is there at once is thrown, one of what comes later is a rejection. */
export type Soon<Value> = Value | Promise<Value>;

/** What `then` makes of a value, at once where the value is there. */
export function whenThere<Value, Result>(value: Soon<Value>, then: (value: Value) => Soon<Result>): Soon<Result> {
  return value instanceof Promise ? value.then(then) : then(value);
}
