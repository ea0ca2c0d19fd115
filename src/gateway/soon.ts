// Values that a usual call has at once, and some calls only later. Each awaited promise costs a turn of the microtask queue, about a
// microsecond and a kilobyte of garbage, and a call passes two dozen places that seldom wait. Such a place returns the value itself where
// it has it.

/** A value, or a promise of it. An error is thrown where the value was due at once, and rejects the promise where it was due later. */
export type Soon<Value> = Value | Promise<Value>;

/** What `then` makes of a value, at once where the value is there. */
export function whenThere<Value, Result>(value: Soon<Value>, then: (value: Value) => Soon<Result>): Soon<Result> {
  return value instanceof Promise ? value.then(then) : then(value);
}
