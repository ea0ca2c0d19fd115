// Reads limits again after changes. Readings never overlap, so that no older state of a limit is put over a newer one. What could not be
// read stays noted and is read at the next tick: without that a process whose statement failed would serve without the limit.
import type { LimitTable } from "./definitions.ts";

export class Reading {
  readonly #table: LimitTable;
  readonly #changed: (number: number) => void;
  readonly #unread = new Set<number>();
  #allUnread = false;
  #running: Promise<void> | undefined;

  /** `changed` is told of every limit that is new, changed or gone. */
  constructor(table: LimitTable, changed: (number: number) => void) {
    this.#table = table;
    this.#changed = changed;
  }

  /** One limit was set, changed or removed. Resolves when it has been read, or could not be. */
  heard(number: number): Promise<void> {
    this.#unread.add(number);
    return this.read();
  }

  /** Changes may have been missed. */
  missed(): void {
    this.#allUnread = true;
    void this.read();
  }

  /** Reads what is to be read, as far as the database answers; joins a reading that is under way. Never rejects. */
  read(): Promise<void> {
    return (this.#running ??= this.#all());
  }

  async #all(): Promise<void> {
    // `read` must keep this promise before the reading can end. Without the wait a reading that finds nothing ends first, is kept for ever,
    // and no other reading begins.
    await undefined;
    try {
      while (this.#allUnread || this.#unread.size > 0) await this.#next();
    } catch {
      // The next tick tries again.
    } finally {
      this.#running = undefined;
    }
  }

  async #next(): Promise<void> {
    if (this.#allUnread) {
      this.#allUnread = false;
      const changed = await this.#table.readAll().catch((error: unknown) => {
        this.#allUnread = true;
        throw error;
      });
      for (const number of changed) this.#changed(number);
      return;
    }
    const number = this.#unread.values().next().value!;
    this.#unread.delete(number);
    await this.#table.read(number).catch((error: unknown) => {
      this.#unread.add(number);
      throw error;
    });
    this.#changed(number);
  }
}
