// Records of calls and attempts on their way to Postgres, in groups: whatever was recorded while the last group was being
// written is the next group, one statement for both tables. Nothing waits for a record but those who read records (`flushed`).
//
// When the database is away the records wait, up to a bound; past it the oldest are dropped and counted in the log. The money
// is not in them: the ledger wrote that before.
import type { Database } from "../store/index.ts";
import type { Logger } from "../telemetry/index.ts";
import type { AttemptResource, Call } from "./api/schemas.ts";
import { limits } from "./limits.ts";

/** A call that has ended, as it is shown, and what is stored beside it. */
export interface EndedCall {
  organisation: string;
  project: string;
  call: Call;
  attempts: AttemptResource[];
}

const retryMs = 500;

export class Recorder {
  readonly #db: Database;
  readonly #log: Logger;
  #waiting: EndedCall[] = [];
  #writing: Promise<void> | undefined;
  #closed = false;

  constructor(db: Database, log: Logger) {
    this.#db = db;
    this.#log = log;
  }

  /** Queues a record; resolves when it is written, or was given up. */
  async add(ended: EndedCall): Promise<void> {
    this.#waiting.push(ended);
    if (this.#waiting.length > limits.recordsWaiting) {
      this.#waiting.shift();
      this.#log.error({ waiting: this.#waiting.length }, "a call's record was dropped: the database does not answer");
    }
    await this.flushed();
  }

  /** Resolves when everything recorded so far is written, or was given up. */
  async flushed(): Promise<void> {
    await this.#writing;
    if (this.#waiting.length > 0) await (this.#writing ??= this.#write());
  }

  /** Writes what is left, tries once more where it must, then stops. */
  async close(): Promise<void> {
    this.#closed = true;
    await this.flushed();
  }

  async #write(): Promise<void> {
    // Records made in the same turn of the event loop share the first statement.
    await Promise.resolve();
    while (this.#waiting.length > 0) {
      const group = this.#waiting.splice(0, limits.recordsPerStatement);
      try {
        await this.#insert(group);
      } catch (error) {
        this.#log.warn(
          { err: (error as Error).message, records: group.length },
          "records of calls could not be written",
        );
        if (this.#closed) break;
        this.#waiting.unshift(...group);
        await new Promise((resolve) => setTimeout(resolve, retryMs));
      }
    }
    this.#writing = undefined;
  }

  /**
   * One statement for both tables: JSON is the cheapest way to bring many rows over. Its commit does not wait for the disk
   * (a crash of Postgres itself may lose the last moments' records): the commits that hold and settle money have the disk to
   * themselves.
   */
  async #insert(group: EndedCall[]): Promise<void> {
    const calls = group.map(({ organisation, project, call }) => ({ organisation, project, ...call }));
    const attempts = group.flatMap(({ call, attempts: of }) =>
      of.map(({ phases, ...attempt }) => ({ ...attempt, call: call.id, timings: phases })),
    );
    await this.#db.query(
      `with unhurried as (select set_config('synchronous_commit', 'off', true)), recorded as (
         insert into calls select c.* from unhurried, json_populate_recordset(null::calls, $1) c
         on conflict (id) do nothing)
       insert into attempts select a.* from json_populate_recordset(null::attempts, $2) a on conflict (id) do nothing`,
      [JSON.stringify(calls), JSON.stringify(attempts)],
    );
  }
}
