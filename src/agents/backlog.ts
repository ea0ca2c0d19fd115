// Many runs at once: those that should go on, those that have ended while this process works on them, and those of a copied database.
import { endRunBudget } from "../ledger/index.ts";
import type { Database } from "../store/index.ts";
import { closeWaits, ownerGone } from "./runRows.ts";

export class Backlog {
  readonly #db: Database;

  constructor(db: Database) {
    this.#db = db;
  }

  /** The project of each run, and whether the run has begun: what decides which one is next (pace.ts). */
  async places(ids: string[]): Promise<{ run: string; project: string; begun: boolean }[]> {
    const { rows } = await this.#db.query<{ run: string; project: string; begun: boolean }>(
      "select id as run, project, next_step > 0 as begun from runs where id = any($1)",
      [ids],
    );
    return rows;
  }

  /** Of the runs given, those that have ended: their work in this process must stop. */
  async endedAmong(ids: string[]): Promise<string[]> {
    const { rows } = await this.#db.query<{ id: string }>(
      "select id from runs where id = any($1) and status in ('completed', 'failed', 'stopped')",
      [ids],
    );
    return rows.map(({ id }) => id);
  }

  /**
   * Unfinished runs that no living process works on although they should go on: nothing has happened for `stillMs`, or their time to
   * wake came that long ago. Runs of `aside` are left out. Oldest first.
   */
  async still(stillMs: number, limit: number, aside: string[]): Promise<string[]> {
    const { rows } = await this.#db.query<{ id: string }>(
      `select id from runs
       where ((status in ('queued', 'running') and updated_at < now() - $1::float8 * interval '1 millisecond')
           or (status = 'waiting' and wake_at < now() - $1::float8 * interval '1 millisecond'))
         and (owner is null or ${ownerGone}) and id <> all($3)
       order by updated_at limit $2`,
      [stillMs, limit, aside],
    );
    return rows.map(({ id }) => id);
  }

  /** Every unfinished run that does not wait for a person, with the time until it should go on. */
  async unfinished(): Promise<{ id: string; wakeInMs: number }[]> {
    const { rows } = await this.#db.query<{ id: string; wake_in_ms: number }>(
      `select id, greatest(0, coalesce(extract(epoch from wake_at - now()) * 1000, 0))::float8 as wake_in_ms from runs
       where status in ('queued', 'running') or (status = 'waiting' and wake_at is not null) order by id`,
    );
    return rows.map(({ id, wake_in_ms }) => ({ id, wakeInMs: wake_in_ms }));
  }

  /** Stops every unfinished run of this database, which was copied: the original goes on with them. Answers how many. */
  async disown(): Promise<number> {
    return this.#db.transaction(async (client) => {
      const { rows } = await client.query<{ id: string }>(
        `with stopped as (
         update runs set status = 'stopped', error_code = 'home_copied', error_message = $1, fence = fence + 1, owner = null,
           wake_at = null, ended_at = now(), updated_at = now()
         where status in ('queued', 'running', 'waiting') returning id
       ), ended as (${closeWaits} where open_since is not null)
       select id from stopped`,
        ["This home was copied; the run goes on in the original."],
      );
      for (const { id } of rows) await endRunBudget(client, id);
      return rows.length;
    });
  }
}
