// Which children run, on disk: written the moment a child is started, so that the start after a `kill -9` finds the orphans.
import { mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { z } from "zod";
import { recordsAgainMs } from "./limits.ts";

const childRecord = z.object({
  name: z.string(),
  pid: z.number().int().positive(),
  startedAt: z.string(),
  /** Words of its command line; a process whose program is none of them is not this child. */
  words: z.array(z.string()),
  stopSignal: z.string(),
});
type ChildRecord = z.infer<typeof childRecord>;

export class ChildRecords {
  readonly #path: string;
  readonly #onFailure: (error: unknown) => void;
  readonly #records = new Map<string, ChildRecord>();
  #again: NodeJS.Timeout | undefined;

  /** `onFailure` is told when the records cannot be written now. */
  constructor(path: string, onFailure: (error: unknown) => void = () => {}) {
    this.#path = path;
    this.#onFailure = onFailure;
  }

  /** What the start before left behind; a file that cannot be read counts as none. */
  static read(path: string): ChildRecord[] {
    try {
      return z.array(childRecord).parse(JSON.parse(readFileSync(path, "utf8")));
    } catch {
      return [];
    }
  }

  set(record: ChildRecord): void {
    this.#records.set(record.name, record);
    this.#write();
  }

  delete(name: string): void {
    if (this.#records.delete(name)) this.#write();
  }

  /**
   * Written beside its place and moved there: a kill in the middle leaves the old list or the new one. A disk that takes nothing harms
   * no child: orphans are also found by the mark that they carry, and the list is written as soon as it can be.
   */
  #write(): void {
    clearTimeout(this.#again);
    const staging = `${this.#path}.new`;
    try {
      mkdirSync(dirname(this.#path), { recursive: true, mode: 0o700 });
      writeFileSync(staging, `${JSON.stringify([...this.#records.values()], null, 2)}\n`, { mode: 0o600 });
      renameSync(staging, this.#path);
    } catch (error) {
      this.#onFailure(error);
      this.#again = setTimeout(() => this.#write(), recordsAgainMs).unref();
    }
  }
}
