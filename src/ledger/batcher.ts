// Commits in groups without a timer: whatever arrived while the last batch was committing is the next batch. Under light
// load every item is a batch of one and waits for nothing; under heavy load one commit (an fsync) is shared by many.
import { isOutcomeUnknown, isStoreAway } from "../store/index.ts";

interface Waiting<Item, Result> {
  item: Item;
  resolve(result: Result): void;
  reject(error: unknown): void;
}

export class Batcher<Item, Result> {
  readonly #commit: (items: Item[]) => Promise<Result[]>;
  readonly #limit: number;
  #waiting: Waiting<Item, Result>[] = [];
  #running = false;

  /** `commit` is given at most `limit` items and answers a result for each, in their order, or throws for all. */
  constructor(commit: (items: Item[]) => Promise<Result[]>, limit: number) {
    this.#commit = commit;
    this.#limit = limit;
  }

  add(item: Item): Promise<Result> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ item, resolve, reject });
      if (!this.#running) void this.#drain();
    });
  }

  async #drain(): Promise<void> {
    this.#running = true;
    // Items added in the same turn of the event loop share the first batch.
    await Promise.resolve();
    while (this.#waiting.length > 0) await this.#settle(this.#waiting.splice(0, this.#limit));
    this.#running = false;
  }

  async #settle(batch: Waiting<Item, Result>[]): Promise<void> {
    try {
      const results = await this.#commit(batch.map((waiting) => waiting.item));
      batch.forEach((waiting, place) => waiting.resolve(results[place]!));
    } catch (error) {
      // A database that is away fails the whole batch: asking again for each item would only multiply the wait, and where it is not
      // known whether the batch stands, nothing may be asked again.
      if (batch.length === 1 || isStoreAway(error) || isOutcomeUnknown(error)) {
        for (const waiting of batch) waiting.reject(error);
        return;
      }
      // One bad item must not fail its neighbours: halving finds it in a few commits, and it fails alone.
      const half = batch.length >> 1;
      await this.#settle(batch.slice(0, half));
      await this.#settle(batch.slice(half));
    }
  }
}
