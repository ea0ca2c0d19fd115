// Tells a process that another one has changed a table which it keeps in memory. Triggers notify one channel with the table's name
// (migrations/, `tell_change`); the process then reads the table again. After a lost session everything is read again, because
// notifications were missed meanwhile. A reading that failed is tried again until it succeeds, because no further notification may come.
import { limits } from "./limits.ts";
import type { Session } from "./session.ts";

const channel = "lineshaft_changes";

/** Reads a table again. Readings of one table never overlap: a change during one is followed by another one. */
interface Reader {
  read: () => Promise<void>;
  /** The reading under way. */
  running: Promise<void> | undefined;
  again: boolean;
  /** Readings that failed since the last one that did not. */
  failures: number;
  /** The next try after a failure. */
  timer: NodeJS.Timeout | undefined;
}

/** A table that processes keep in memory. */
type Table = "engines" | "model_routes" | "rate_cards" | "price_policies";

/** The changes of the tables that processes of one database keep in memory. */
export class Changes {
  readonly #readers = new Map<string, Reader[]>();
  readonly #failed: (table: string, error: Error) => void;
  #stop: (() => void) | undefined;
  #closed = false;

  private constructor(failed: (table: string, error: Error) => void) {
    this.#failed = failed;
  }

  /** Resolves when it listens, so that what is read afterwards misses no change. `failed` is told of a reading that failed. */
  static async open(session: Pick<Session, "listen">, failed: (table: string, error: Error) => void): Promise<Changes> {
    const changes = new Changes(failed);
    changes.#stop = await session.listen(channel, (table) => changes.#changed(table), {
      back: () => {
        for (const table of changes.#readers.keys()) changes.#changed(table);
      },
    });
    return changes;
  }

  /** Calls `read` after every change of the table by any process, this one included. */
  on(table: Table, read: () => Promise<void>): void {
    const readers = this.#readers.get(table) ?? [];
    this.#readers.set(table, readers);
    readers.push({ read, running: undefined, again: false, failures: 0, timer: undefined });
  }

  /**
   * Reads a table that this process has just changed itself, so that it goes by the change when it answers. Resolves also where the reading
   * failed, which is tried again as after any change.
   */
  async read(table: Table): Promise<void> {
    await Promise.all((this.#readers.get(table) ?? []).map((reader) => this.#again(table, reader)));
  }

  close(): void {
    this.#closed = true;
    this.#stop?.();
    for (const { timer } of [...this.#readers.values()].flat()) clearTimeout(timer);
    this.#readers.clear();
  }

  #changed(table: string): void {
    for (const reader of this.#readers.get(table) ?? []) void this.#again(table, reader);
  }

  #again(table: string, reader: Reader): Promise<void> {
    reader.again = true;
    return (reader.running ??= this.#run(table, reader));
  }

  async #run(table: string, reader: Reader): Promise<void> {
    clearTimeout(reader.timer);
    // `running` must keep this promise before the reading can end. Else a promise that has ended is kept, and no other reading begins.
    await undefined;
    while (reader.again) {
      reader.again = false;
      try {
        await reader.read();
        reader.failures = 0;
      } catch (error) {
        this.#failed(table, error as Error);
        reader.failures++;
      }
    }
    reader.running = undefined;
    if (reader.failures > 0 && !this.#closed) this.#later(table, reader);
  }

  #later(table: string, reader: Reader): void {
    const pauseMs = Math.min(limits.changeAgainMs * 2 ** (reader.failures - 1), limits.changeAgainMostMs);
    reader.timer = setTimeout(() => void this.#again(table, reader), pauseMs).unref();
  }
}
