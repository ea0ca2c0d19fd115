// Values that arrive bit by bit (the bytes of an answer, its events, its chunks), read without a promise for each of them. An iterator that
// is asynchronous costs three turns of the microtask queue and as many promises for each value and each layer, and a chunk of a stream passes
// five layers. Here a reader takes what is there, layer by layer, in one call. Where nothing is there it leaves a function that wakes it.
//
// Readers are woken at the end of the turn of the event loop in which something arrived, all of them one after the other: the same code runs
// for all streams while it is in the processor's caches, and what several packets brought to one stream is read and written at once.

/** Nothing is there yet. */
export const later: unique symbol = Symbol("later");
export type Later = typeof later;

/** A value; undefined at the end and ever after; or nothing yet. */
export type Taken<Value> = Value | undefined | Later;

/** Values that are read as they arrive. */
export interface Arrivals<Value> extends Paced<Value> {
  /** The next value. `later`: `wake` is called once when there may be one, or the end. Throws what the source failed with. */
  take(wake: () => void): Taken<Value>;
}

/** The same, where something has to be done before some of the values. */
export interface Paced<Value> extends AsyncIterable<Value> {
  /** As `Arrivals.take`. A promise: nothing more is taken until it has resolved, or rejected with what the source failed with. */
  take(wake: () => void): Taken<Value> | Promise<Taken<Value>>;
  /** The reader leaves before the end, also while it waits. Does nothing after the end. */
  leave(): Promise<void> | undefined;
}

/** What is called at the end of this turn, in its order. */
let due: (() => void)[] = [];
let isScheduled = false;

/** Calls the function at the end of this turn of the event loop; at that end what it calls for in its turn, too. */
export function atEndOfTurn(run: () => void): void {
  due.push(run);
  if (isScheduled) return;
  isScheduled = true;
  setImmediate(endTurn);
}

function endTurn(): void {
  let at = 0;
  try {
    while (at < due.length) due[at++]!();
  } finally {
    // What threw ends the process or not, as its handler says. The others are not forgotten.
    due = at < due.length ? due.slice(at) : [];
    isScheduled = due.length > 0;
    if (isScheduled) setImmediate(endTurn);
  }
}

/** The next value; undefined at the end. */
export async function nextOf<Value extends object>(from: Pick<Paced<Value>, "take">): Promise<Value | undefined> {
  for (;;) {
    const woken = Promise.withResolvers<void>();
    const taken = from.take(woken.resolve);
    const value = taken instanceof Promise ? await taken : taken;
    if (value !== later) return value;
    await woken.promise;
  }
}

/** The values one after the other, each with a promise, for readers that are not on the way of every token. One value is asked for at a time. */
export function iterated<Value extends object>(
  from: Pick<Paced<Value>, "take" | "leave">,
): AsyncIterableIterator<Value, undefined> {
  const iterator: AsyncIterableIterator<Value, undefined> = {
    [Symbol.asyncIterator]: () => iterator,
    async next() {
      const value = await nextOf(from);
      return value === undefined ? { done: true, value: undefined } : { done: false, value };
    },
    async return() {
      await from.leave();
      return { done: true, value: undefined };
    },
  };
  return iterator;
}

/**
 * Gives each value to `use`, which answers a promise where the next one has to wait. Resolves at the end. Rejects with what the source failed
 * with, and with what `use` throws, after the source has been left.
 */
export function each<Value>(
  from: AsyncIterable<Value>,
  use: (value: Value) => Promise<void> | undefined,
): Promise<void> {
  return isPaced(from) ? new Reading(from, use).over : eachAwaited(from, use);
}

const isPaced = <Value>(from: AsyncIterable<Value>): from is Paced<Value> => "take" in from;

async function eachAwaited<Value>(
  from: AsyncIterable<Value>,
  use: (value: Value) => Promise<void> | undefined,
): Promise<void> {
  for await (const value of from) {
    const waiting = use(value);
    if (waiting) await waiting;
  }
}

/** One reader of arrivals. */
class Reading<Value> {
  readonly over: Promise<void>;
  readonly #from: Paced<Value>;
  readonly #use: (value: Value) => Promise<void> | undefined;
  readonly #ended = Promise.withResolvers<void>();
  /** It waits for a promise. It takes again when that has resolved, so being woken meanwhile means nothing. */
  #isBusy = false;
  readonly #wake = () => {
    if (!this.#isBusy) this.#read();
  };

  constructor(from: Paced<Value>, use: (value: Value) => Promise<void> | undefined) {
    this.#from = from;
    this.#use = use;
    this.over = this.#ended.promise;
    this.#read();
  }

  #read(): void {
    try {
      for (;;) {
        const taken = this.#from.take(this.#wake);
        if (taken instanceof Promise) return this.#after(taken);
        if (taken === later) return;
        if (taken === undefined) return this.#ended.resolve();
        if (this.#isGiven(taken)) return;
      }
    } catch (error) {
      this.#ended.reject(error);
    }
  }

  /** Gives a value to its user; true where the next one has to wait, or is not wanted. */
  #isGiven(value: Value): boolean {
    let waiting: Promise<void> | undefined;
    try {
      waiting = this.#use(value);
    } catch (error) {
      void this.#leave(error);
      return true;
    }
    if (!waiting) return false;
    this.#isBusy = true;
    waiting.then(
      () => this.#goOn(),
      (error: unknown) => this.#leave(error),
    );
    return true;
  }

  /** Goes on when something that had to be done first is done. */
  #after(taking: Promise<Taken<Value>>): void {
    this.#isBusy = true;
    taking.then(
      (taken) => {
        this.#isBusy = false;
        if (taken === undefined) return this.#ended.resolve();
        if (taken !== later && this.#isGiven(taken)) return;
        this.#read();
      },
      (error: unknown) => this.#ended.reject(error),
    );
  }

  #goOn(): void {
    this.#isBusy = false;
    this.#read();
  }

  /** Its user has failed: the source is told before its reader is. */
  async #leave(error: unknown): Promise<void> {
    this.#isBusy = true;
    try {
      await this.#from.leave();
    } finally {
      this.#ended.reject(error);
    }
  }
}
