// The leases of one process: typed calls of the SQL functions of store/migrations/0019_leases.sql.
//
// An epoch is live -> closed (everything posted and given back) or live -> fenced (its lease was booked to suspense, for ever).
//
// Takes and returns of an epoch run one at a time and are numbered. Where the connection breaks while the database works on one, it is
// not known whether it happened. The same number is then sent again before anything else: a number that was carried out already is
// answered as it was the first time, so that no money is taken or given back twice.
import { LineshaftError } from "../../errors/index.ts";
import { isOutcomeUnknown, isStoreAway, StoreUnavailableError, type Database } from "../../store/index.ts";
import { doubtfulAgainMs } from "../limits.ts";
import { answersOf, budgetsOf, heldItem, type AskRow, type BudgetOfRow, type LeasedRow } from "./rows.ts";
import type { Ask, GivenBack } from "../book/types.ts";
import type { BudgetsFound, Epoch, LeaseAnswer, LostLease } from "./types.ts";

/** The epoch was fenced or has ended: it may not take, return or acknowledge any more. What it has out is in suspense. */
export class EpochFencedError extends LineshaftError {
  constructor(epoch: number) {
    super({
      code: "epoch_fenced",
      message: `The money that this process had leased was booked to suspense, because the process seemed to be dead (epoch ${epoch}).`,
    });
  }
}

/** Milliseconds of a clock that never goes back, as performance.now() is. */
export type LeaseClock = () => number;

interface LeaseOptions {
  db: Database;
  /** The process's identity as an advisory lock: `Session.processId`. */
  process: number;
  /** Names the machine, so that a dead process's spool is replayed there and nowhere else. */
  machine: string;
  /** Id of the epoch's first spool. */
  spool: string;
  clock?: LeaseClock;
}

/** A numbered statement. */
interface Request {
  number: number;
  sql: string;
  items: string;
  isTake: boolean;
}

export class Leases {
  readonly epoch: Epoch;
  readonly #db: Database;
  readonly #clock: LeaseClock;
  /** The database's time minus the clock's. */
  #offsetMs: number;
  #latestMs = -Infinity;
  #number = 0;
  #last: Promise<unknown> = Promise.resolve();
  /** The statement of which it is not known whether it was carried out. */
  #doubtful: Request | undefined;
  #timer: NodeJS.Timeout | undefined;
  #closed = false;

  private constructor(db: Database, clock: LeaseClock, epoch: Epoch, offsetMs: number) {
    this.#db = db;
    this.#clock = clock;
    this.epoch = epoch;
    this.#offsetMs = offsetMs;
  }

  /** Begins an epoch with its first spool. */
  static async begin({ db, process, machine, spool, clock = () => performance.now() }: LeaseOptions): Promise<Leases> {
    const { rows } = await db.query<{ epoch: bigint; incarnation: bigint; budgets_seen: bigint; now: Date }>(
      "select * from begin_epoch($1, $2, $3)",
      [process, machine, spool],
    );
    const { epoch, incarnation, budgets_seen: seen, now } = rows[0]!;
    const begun = { id: Number(epoch), incarnation: Number(incarnation), budgetsSeen: Number(seen) };
    return new Leases(db, clock, begun, now.getTime() - clock());
  }

  /**
   * The database's time as this process knows it, in milliseconds since 1970: what a hold counts at. It never goes back, so that no hold
   * counts before a moment that was reported as complete.
   */
  databaseTimeMs(): number {
    this.#latestMs = Math.max(this.#latestMs, Math.floor(this.#clock() + this.#offsetMs));
    return this.#latestMs;
  }

  /** The budgets of scopes such as `project:prj_1`. Those of ended runs are among them. */
  async budgetsOf(scopes: readonly string[]): Promise<BudgetsFound> {
    const { rows } = await this.#db.query<BudgetOfRow>("select * from budgets_of($1, $2)", [this.epoch.id, scopes]);
    this.#learn(rows[0]!.now.getTime());
    return budgetsOf(rows, this.#offsetMs);
  }

  /**
   * Takes money: each ask gets at least `leastNano` on every part or nothing, in their order, in one statement. Answers a row for each
   * part. Throws EpochFencedError, and StoreUnavailableError when the database is away. What is granted after that all the same is given
   * back.
   */
  async take(asks: readonly Ask[]): Promise<LeaseAnswer[]> {
    const items = JSON.stringify(asks.map((ask) => this.#askItem(ask)));
    const rows = await this.#inTurn(() =>
      this.#send({ sql: "select take_leases($1, $2, $3) as answer", items, isTake: true }),
    );
    if (rows[0]) this.#learn(Date.parse(rows[0].now));
    return answersOf(rows, this.#offsetMs);
  }

  /**
   * Gives money back, and answers recalls of these shares, with amounts of 0 too. Resolves when it is certain that it was given back;
   * throws StoreUnavailableError when it is certain that it was not, and EpochFencedError.
   */
  async giveBack(shares: readonly GivenBack[]): Promise<void> {
    const items = JSON.stringify(shares.map(heldItem));
    await this.#inTurn(() => this.#send({ sql: "select return_leases($1, $2, $3) as answer", items, isTake: false }));
  }

  /**
   * This process works by every change of a budget up to `seq`. `held`: what its calls hold of budgets that they began without, and what of
   * that is settled and not posted; it becomes leased, also beyond the limits. The process must not have taken any of these budgets.
   * Repeating it changes nothing, whatever `held` says then. To be called while no batch of its spool is being posted. `posted`: the number
   * of the last posted record of each spool; throws where more is posted than that. Answers what is leased now of the periods that `held`
   * names.
   */
  async acknowledge(seq: number, held: readonly GivenBack[], posted: Record<string, number>): Promise<GivenBack[]> {
    const values = [this.epoch.id, seq, JSON.stringify(held.map(heldItem)), JSON.stringify(posted)];
    const rows = await this.#inTurn(() =>
      this.#query<{ leased: LeasedRow[] }>("select acknowledge($1, $2, $3, $4) as leased", values),
    );
    const leased = new Map(
      rows[0]!.leased.map(({ budget, period_start: start, out }) => [
        `${budget} ${new Date(start).toISOString()}`,
        BigInt(out),
      ]),
    );
    return held.map(({ budget, period }) => ({ budget, period, amountNano: leased.get(`${budget} ${period}`) ?? 0n }));
  }

  /** Gives everything back and ends the epoch. Every spool must be posted to its end: `ends` has each one's last number. */
  async close(ends: Record<string, number>): Promise<void> {
    await this.#inTurn(() => closeEpoch(this.#db, this.epoch.id, ends));
    this.stop();
  }

  /** Ends the tries of a statement whose outcome is not known; the epoch stays as it is. */
  stop(): void {
    this.#closed = true;
    clearTimeout(this.#timer);
  }

  #learn(databaseMs: number): void {
    this.#offsetMs = databaseMs - this.#clock();
  }

  #askItem({ ask, parts }: Ask) {
    return {
      ask,
      parts: parts.map((part) => ({
        budget: part.budget,
        least: part.leastNano.toString(),
        need: part.needNano.toString(),
        want: part.wantNano.toString(),
        stuck_youngest:
          part.stuckYoungestMs === undefined ? null : new Date(part.stuckYoungestMs + this.#offsetMs).toISOString(),
      })),
    };
  }

  /** Runs work after all that was given before it, and after a doubtful statement was cleared up. */
  #inTurn<Result>(work: () => Promise<Result>): Promise<Result> {
    const result = this.#last.then(async () => {
      await this.#clearUp();
      return work();
    });
    this.#last = result.catch(() => {});
    return result;
  }

  async #send(request: Omit<Request, "number">): Promise<AskRow[]> {
    const numbered = { ...request, number: this.#number + 1 };
    try {
      return await this.#carryOut(numbered);
    } catch (error) {
      if (!isOutcomeUnknown(error)) throw error;
      this.#doubtful = numbered;
      if (!numbered.isTake) return this.#untilClear();
      this.#clearUpLater();
      throw error;
    }
  }

  async #carryOut({ number, sql, items }: Request): Promise<AskRow[]> {
    const rows = await this.#query<{ answer: AskRow[] | "" }>(sql, [this.epoch.id, number, items]);
    this.#number = number;
    // A return answers nothing.
    return rows[0]!.answer || [];
  }

  /** Sends the doubtful statement again. What a take was granted is given back, because its asker was told that nothing was. */
  async #clearUp(): Promise<void> {
    const doubtful = this.#doubtful;
    if (!doubtful) return;
    try {
      const rows = await this.#carryOut(doubtful);
      this.#doubtful = undefined;
      const granted = answersOf(rows, this.#offsetMs).flatMap(({ budget, facts, grantedNano }) =>
        facts && grantedNano > 0n ? [{ budget, period: facts.period, amountNano: grantedNano }] : [],
      );
      if (!doubtful.isTake || granted.length === 0) return;
      const items = JSON.stringify(granted.map(heldItem));
      await this.#send({ sql: "select return_leases($1, $2, $3) as answer", items, isTake: false });
    } catch (error) {
      if (error instanceof EpochFencedError) this.#doubtful = undefined;
      if (!isStoreAway(error)) throw error;
      // What was given after the doubtful statement has not been sent.
      throw new StoreUnavailableError((error as Error).message, { sent: false, cause: error });
    }
  }

  async #untilClear(): Promise<AskRow[]> {
    while (this.#doubtful) {
      if (this.#closed) throw new StoreUnavailableError("The ledger was closed.", { sent: true });
      await new Promise((resolve) => setTimeout(resolve, doubtfulAgainMs).unref());
      try {
        await this.#clearUp();
      } catch (error) {
        if (!isStoreAway(error)) throw error;
      }
    }
    return [];
  }

  #clearUpLater(): void {
    if (this.#closed) return;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      this.#inTurn(async () => {}).catch(() => this.#doubtful && this.#clearUpLater());
    }, doubtfulAgainMs).unref();
  }

  async #query<Row extends Record<string, unknown>>(sql: string, values: unknown[]): Promise<Row[]> {
    try {
      return (await this.#db.query<Row>(sql, values)).rows;
    } catch (error) {
      if ((error as { code?: unknown }).code === "LS001") throw new EpochFencedError(this.epoch.id);
      throw error;
    }
  }
}

/**
 * Ends an epoch whose process is known to be dead; what it has out goes back to its budgets. Every spool of it must be posted to its end:
 * `ends` has each one's last number. A fenced epoch's lost leases stay lost.
 */
export async function closeEpoch(db: Database, epoch: number, ends: Record<string, number>): Promise<void> {
  await db.query("select close_epoch($1, $2)", [epoch, JSON.stringify(ends)]);
}

/**
 * Takes the money of an epoch that seems to be dead, for ever: it is booked to suspense by name, one item for each budget and period.
 * Answers the items; an epoch that is not live has none.
 */
export async function fenceEpoch(db: Database, epoch: number): Promise<LostLease[]> {
  const { rows } = await db.query<{
    id: string;
    organisation: string;
    budget: string;
    amount_nano: bigint;
    currency: string;
  }>("select * from fence_epoch($1)", [epoch]);
  return rows.map(({ id, organisation, budget, amount_nano: amountNano, currency }) => ({
    id,
    organisation,
    budget,
    amountNano,
    currency,
  }));
}
