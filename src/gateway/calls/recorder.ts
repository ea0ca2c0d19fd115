// Records of calls and attempts on their way to Postgres, in groups: everything that was recorded while a group was being written is the
// next group, one statement for both tables. Only readers of records wait for them (`flushed`).
//
// When the database is away the records wait, up to a bound; past it the oldest are dropped, with an alarm. When the database
// refuses a group, the group is halved until the record at fault is alone; that record is put aside, with an alarm, and all others
// are written. The money is not in the records: the ledger wrote that before.
import { isRowRefused } from "../../store/index.ts";
import type { Database } from "../../store/index.ts";
import type { Alarms, Logger } from "../../telemetry/index.ts";
import { limits } from "../limits.ts";
import type { EndedCall } from "./record.ts";
import { attemptToRow, callToRow } from "./rows.ts";

interface Waiting {
  ended: EndedCall;
  done: () => void;
}

const retryMs = 500;

export class Recorder {
  readonly #db: Database;
  readonly #log: Logger;
  readonly #alarms: Pick<Alarms, "raise">;
  #waiting: Waiting[] = [];
  /** Settles with the newest record: records are written in order, so all before it are written then. */
  #newest: Promise<void> = Promise.resolve();
  #writing: Promise<void> | undefined;
  /** Rejects readers that wait for records, when these cannot be written now. */
  readonly #readers = new Set<(error: unknown) => void>();
  #closed = false;

  constructor(db: Database, log: Logger, alarms: Pick<Alarms, "raise">) {
    this.#db = db;
    this.#log = log;
    this.#alarms = alarms;
  }

  /** Queues a record; resolves when it is written, or was given up. */
  add(ended: EndedCall): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#waiting.push({ ended, done: resolve });
    if (this.#waiting.length > limits.recordsWaiting) {
      this.#waiting.shift()!.done();
      this.#alarms.raise({
        code: "records_dropped",
        message:
          "Records of calls were dropped, because the database does not answer and too many wait. The ledger has their money. Bring the database back.",
      });
    }
    this.#newest = promise;
    this.#writing ??= this.#write();
    return promise;
  }

  /**
   * Resolves when everything recorded so far is written, or was given up. Rejects with the database's error when it does not
   * answer: what reads records would not be answered either.
   */
  async flushed(): Promise<void> {
    if (!this.#writing) return;
    const failed = Promise.withResolvers<never>();
    const reader = failed.reject;
    this.#readers.add(reader);
    try {
      await Promise.race([this.#newest, failed.promise]);
    } finally {
      this.#readers.delete(reader);
    }
  }

  /** Writes what is left, with one more try for a group that fails, then stops. */
  async close(): Promise<void> {
    this.#closed = true;
    await this.#writing;
  }

  async #write(): Promise<void> {
    // Records made in the same turn of the event loop share the first statement.
    await Promise.resolve();
    while (this.#waiting.length > 0) {
      const group = this.#waiting.splice(0, limits.recordsPerStatement);
      const left = await this.#insertAll(group);
      if (left.length === 0) continue;
      if (this.#closed) {
        for (const { done } of left) done();
        break;
      }
      this.#waiting.unshift(...left);
      await new Promise((resolve) => setTimeout(resolve, retryMs));
    }
    this.#writing = undefined;
  }

  /** Writes a group; answers what must be tried again because the database is away. */
  async #insertAll(group: Waiting[]): Promise<Waiting[]> {
    try {
      await this.#insert(group.map(({ ended }) => ended));
    } catch (error) {
      if (!isRowRefused(error)) return this.#later(group, error as Error);
      if (group.length > 1) {
        const half = group.length >> 1;
        const left = await this.#insertAll(group.slice(0, half));
        return [...left, ...(await this.#insertAll(group.slice(half)))];
      }
      this.#putAside(group[0]!.ended, error as Error & { code: string });
    }
    for (const { done } of group) done();
    return [];
  }

  #later(group: Waiting[], error: Error): Waiting[] {
    this.#log.warn({ err: error.message, records: group.length }, "records of calls could not be written");
    for (const tell of this.#readers) tell(error);
    return group;
  }

  /** The record is not written. What may be at fault (texts) is not logged, since it may hold a part of a prompt. */
  #putAside({ call }: EndedCall, error: Error & { code: string }): void {
    this.#log.error({ call: call.id, sqlstate: error.code }, "the database refused the record of a call");
    this.#alarms.raise({
      code: "record_refused",
      message: `The database refused the record of a call (SQLSTATE ${error.code}), so it is missing from the lists; its money is in the ledger. The log names the call. Report this.`,
      subject: error.code,
      organisation: call.organisation,
    });
  }

  /**
   * One statement for both tables: JSON is the cheapest way to bring many rows over. Its commit does not wait for the disk
   * (a crash of Postgres itself may lose the last moments' records): the commits that hold and settle money have the disk to
   * themselves.
   */
  async #insert(group: EndedCall[]): Promise<void> {
    const calls = group.map(({ call }) => callToRow(call));
    const attempts = group.flatMap((ended) => ended.attempts.map(attemptToRow));
    await this.#db.query(
      `with unhurried as (select set_config('synchronous_commit', 'off', true)), recorded as (
         insert into calls select c.* from unhurried, json_populate_recordset(null::calls, $1) c
         on conflict (id) do nothing)
       insert into attempts select a.* from json_populate_recordset(null::attempts, $2) a on conflict (id) do nothing`,
      [JSON.stringify(calls), JSON.stringify(attempts)],
    );
  }
}
