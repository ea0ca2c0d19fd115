// Settles the holds of processes that have died. What such a hold really used is not known any more, so it is settled for its whole
// amount: a budget may be charged too much, never too little.
//
// A process that lives keeps its advisory lock (store/process.ts). That lock is free for a moment too, after the database restarted or
// the session broke and before it is taken again. A process therefore counts as dead when its lock was free in two rounds, one after
// the other. A gateway that is alone with its database knows at its start that no earlier process lives, and needs one round only.
import { isRowRefused, processNamespace, type Database } from "../store/index.ts";
import { batchLimit } from "./limits.ts";

/** A hold that the database refuses to settle: it stands against its budgets until that is repaired. */
export interface StuckHold {
  attempt: string;
  organisation: string;
  model: string;
  error: unknown;
}

/** What a person is told of it. The organisation's own: no other may see its model's name. */
export function stuckAlarm({ attempt, organisation, model, error }: StuckHold) {
  const code = String((error as { code?: unknown } | null)?.code ?? "unknown");
  return {
    code: "hold_stuck",
    message: `The database refuses to settle the hold of attempt ${attempt} (${code}), so its budgets stay charged with it. It is tried again. Report this with the error in the database's log.`,
    subject: model,
    organisation,
  };
}

export class Sweeper {
  readonly #db: Database;
  readonly #owner: number;
  readonly #onStuck: (hold: StuckHold) => void;
  /** Processes whose lock was free in the round before. */
  #free = new Set<number>();

  constructor(db: Database, owner: number, onStuck: (hold: StuckHold) => void) {
    this.#db = db;
    this.#owner = owner;
    this.#onStuck = onStuck;
  }

  /** One round; answers how many holds were settled. `atOnce`: a process whose lock is free cannot come back. */
  async round({ atOnce = false } = {}): Promise<number> {
    const { rows } = await this.#db.query<{ owner: bigint; free: boolean }>(
      `select owner, pg_try_advisory_xact_lock($2, owner::int) as free
       from (select distinct owner from holds where not settled and owner <> $1) o`,
      [this.#owner, processNamespace],
    );
    const free = rows.flatMap((row) => (row.free ? [Number(row.owner)] : []));
    const gone = free.filter((owner) => atOnce || this.#free.has(owner));
    this.#free = new Set(free);
    let settled = 0;
    for (const owner of gone) settled += await this.#settleOwner(owner);
    return settled;
  }

  async #settleOwner(owner: number): Promise<number> {
    const { rows } = await this.#db.query<{ attempt: string }>(
      "select attempt from holds where not settled and owner = $1 order by attempt",
      [owner],
    );
    let settled = 0;
    for (let from = 0; from < rows.length; from += batchLimit)
      settled += await this.#settle(
        owner,
        rows.slice(from, from + batchLimit).map(({ attempt }) => attempt),
      );
    return settled;
  }

  /** Halving finds a hold that the database refuses in a few transactions; its neighbours are settled without it. */
  async #settle(owner: number, attempts: string[]): Promise<number> {
    try {
      return await this.#settleTogether(owner, attempts);
    } catch (error) {
      if (!isRowRefused(error)) throw error;
      if (attempts.length === 1) {
        await this.#tellStuck(attempts[0]!, error);
        return 0;
      }
      const half = attempts.length >> 1;
      const first = await this.#settle(owner, attempts.slice(0, half));
      return first + (await this.#settle(owner, attempts.slice(half)));
    }
  }

  #settleTogether(owner: number, attempts: string[]): Promise<number> {
    return this.#db.transaction(async (client) => {
      const lock = await client.query<{ free: boolean }>("select pg_try_advisory_xact_lock($1, $2) as free", [
        processNamespace,
        owner,
      ]);
      if (!lock.rows[0]?.free) return 0;
      const { rowCount } = await client.query(settleInFull("not settled and attempt = any($1)", "0", "0"), [attempts]);
      return rowCount ?? 0;
    });
  }

  async #tellStuck(attempt: string, error: unknown): Promise<void> {
    const { rows } = await this.#db.query<{ organisation: string; model: string }>(
      "select organisation, model from holds where attempt = $1",
      [attempt],
    );
    if (rows[0]) this.#onStuck({ attempt, ...rows[0], error });
  }
}

/**
 * The statement that settles holds for what they hold. The amount is read from the hold itself, so no number of a request can make the
 * database refuse it. `prompt` and `output` are SQL of the tokens that are written beside it.
 */
export const settleInFull = (where: string, prompt: string, output: string): string =>
  `select * from settle_attempts((
     select coalesce(jsonb_agg(jsonb_build_object('attempt', attempt, 'amount', amount_nano,
       'prompt', ${prompt}, 'cached', 0, 'output', ${output}, 'source', 'estimated')), '[]')
     from holds where ${where}))`;
