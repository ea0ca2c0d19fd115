// Keeps alarms in Postgres, so that one raised before a restart is still there after it. Alarms work without it: a database that is
// away delays the copy and nothing else.
//
// A change marks its alarm as unwritten; one statement at a time writes whatever is unwritten. An alarm tells of itself once a minute
// at most (alarms.ts), so an alarm that is raised a thousand times a second is written once a minute.
import type { Database } from "../store/index.ts";
import type { Alarm, Alarms } from "./alarms.ts";
import { limits } from "./limits.ts";
import type { Logger } from "./logger.ts";

interface AlarmRow {
  [column: string]: unknown;
  id: string;
  organisation: string | null;
  code: string;
  message: string;
  subject: string | null;
  count: bigint;
  first_at: Date;
  last_at: Date;
}

/** Copies alarms to Postgres while it runs. `restore` reads those that stood before; `close` writes what is left, within its bound. */
export class AlarmStore {
  readonly #alarms: Alarms;
  readonly #db: Database;
  readonly #log: Logger;
  /** Ids whose row differs from what stands in memory. */
  readonly #unwritten = new Set<string>();
  #writing: Promise<void> | undefined;
  #retry: NodeJS.Timeout | undefined;

  constructor(options: { alarms: Alarms; db: Database; log: Logger }) {
    this.#alarms = options.alarms;
    this.#db = options.db;
    this.#log = options.log;
    this.#alarms.onChange(({ alarm }) => this.#mark(alarm));
  }

  /** Brings back the alarms of earlier processes. Throws when the database does not answer. */
  async restore(): Promise<void> {
    const { rows } = await this.#db.query<AlarmRow>("select * from alarms order by last_at desc limit $1", [
      limits.alarmsKept,
    ]);
    for (const row of rows.toReversed())
      this.#alarms.restore({
        id: row.id,
        code: row.code,
        message: row.message,
        subject: row.subject ?? undefined,
        organisation: row.organisation ?? undefined,
        clears: false,
        count: Number(row.count),
        firstAt: row.first_at,
        lastAt: row.last_at,
      });
  }

  /** Resolves when what was raised and dismissed so far is written, or could not be. */
  async flushed(): Promise<void> {
    await this.#writing;
    if (this.#unwritten.size > 0) await (this.#writing ??= this.#write());
  }

  /** Writes the last counts, too. */
  async close(): Promise<void> {
    for (const alarm of this.#alarms.own()) this.#mark(alarm);
    await this.flushed();
    clearTimeout(this.#retry);
  }

  #mark(alarm: Alarm): void {
    if (alarm.clears) return;
    this.#unwritten.add(alarm.id);
    // While the database is away, the ids of alarms that made room for others must not pile up.
    for (const oldest of this.#unwritten) {
      if (this.#unwritten.size <= 2 * limits.alarmsKept) break;
      this.#unwritten.delete(oldest);
    }
    if (this.#retry === undefined) this.#writing ??= this.#write();
  }

  async #write(): Promise<void> {
    clearTimeout(this.#retry);
    this.#retry = undefined;
    // Alarms that are raised in the same turn of the event loop share the statement.
    await Promise.resolve();
    while (this.#unwritten.size > 0 && this.#retry === undefined) {
      const ids = [...this.#unwritten];
      this.#unwritten.clear();
      try {
        await this.#store(ids);
      } catch (error) {
        this.#log.warn(
          { err: (error as Error).message, alarms: ids.length },
          "alarms could not be stored; trying again",
        );
        for (const id of ids) this.#unwritten.add(id);
        this.#retry = setTimeout(() => (this.#writing ??= this.#write()), limits.alarmStoreRetryMs).unref();
      }
    }
    this.#writing = undefined;
  }

  async #store(ids: string[]): Promise<void> {
    const standing = this.#alarms.list().filter(({ id }) => ids.includes(id));
    const gone = ids.filter((id) => !standing.some((alarm) => alarm.id === id));
    await this.#db.query(
      `with gone as (delete from alarms where id = any($1))
       insert into alarms select * from jsonb_populate_recordset(null::alarms, $2)
       on conflict (id) do update set message = excluded.message, count = greatest(alarms.count, excluded.count),
         last_at = greatest(alarms.last_at, excluded.last_at)`,
      [gone, JSON.stringify(standing.map(rowOf))],
    );
  }
}

function rowOf({ id, organisation, code, message, subject, count, firstAt, lastAt }: Alarm) {
  return {
    id,
    organisation: organisation ?? null,
    code,
    message,
    subject: subject ?? null,
    count,
    first_at: firstAt.toISOString(),
    last_at: lastAt.toISOString(),
  };
}
