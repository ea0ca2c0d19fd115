// Commits in groups without a timer: the items that arrived while a batch was committing are the next batch. Under light load each item
// is a batch of its own and does not wait. Under heavy load many items share one commit and its fsync.
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
      // A database that is away fails the whole batch, because one more statement for each item would multiply the wait. A batch whose
      // outcome is unknown is not sent again, because it may have been committed.
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
