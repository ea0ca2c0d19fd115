import type { Database, Session } from "../store/index.ts";
import { readBill, type Bill, type BillOf } from "./bill.ts";
import { Budgets, type Budget, type BudgetFilter, type NewBudget } from "./budgets.ts";
import { Admission } from "./admission/admission.ts";
import { livenessMs } from "./limits.ts";
import { Liveness } from "./leases/liveness.ts";
import type { LostLease } from "./leases/types.ts";
import { formatMoney } from "./money.ts";
import { Replay } from "./posting/replay.ts";
import { recordOutcome, type NewOutcome, type Outcome } from "./outcomes.ts";
import { Rates, type CardState, type NewRateCard, type UnknownPrice } from "./rates.ts";
import type { ProofKind } from "./proof/check.ts";
import { lastProofs, proveLedger } from "./proof/proof.ts";
import type { RecordProof } from "./proof/records.ts";
import type { ProofReport } from "./proof/report.ts";
import { readStanding, type Standing } from "./standing.ts";
import type { AttemptLedger, RateCard, RecordRows } from "./types.ts";

export { formatMoney, parseMoney } from "./money.ts";
export { batchCard, discounted, priceLines, priceOf, worstCase } from "./pricing.ts";
export { billable, unanswered } from "./claims.ts";
export { holdNanoMost } from "./limits.ts";
export { fenceRestored, incarnationOf } from "./leases/restored.ts";
export { proveLedger } from "./proof/proof.ts";
export type { BillLine } from "./bill.ts";
export { endRunBudget, type Budget } from "./budgets.ts";
export type { ProofKind } from "./proof/check.ts";
export { Prover } from "./proof/prover.ts";
export { spoolKeeping } from "./posting/keep.ts";
export { bucketOf, checksumOf, type RecordProof } from "./proof/records.ts";
export { proofRules, type ProofReport } from "./proof/report.ts";
export type { Standing } from "./standing.ts";
export { outcomeCounts, outcomesOfRuns, type Outcome, type OutcomeRecord } from "./outcomes.ts";
export { costFigures, outcomeFigures } from "./figures.ts";
export type { CardState, NewRateCard } from "./rates.ts";
export type * from "./types.ts";

/**
 * Money, for the rooms above. Amounts are bigint nano-units of one currency, times are the database's. The verbs of attempts work while
 * the database is away, within what is leased; every other verb throws StoreUnavailableError then.
 */
export interface Ledger extends AttemptLedger {
  /**
   * The prices that new calls of a model are held at: its own card that is valid now, else the organisation's fallback card, marked
   * `estimate`. Undefined where there is neither, so that it cannot be called. At most 5 s old: what was read since is answered at once.
   */
  currentRateCard(organisation: string, model: string): RateCard | undefined | Promise<RateCard | undefined>;
  /**
   * Sets prices as a new version, from now on or for the time that the card says, or answers the valid version when it has the same
   * prices. Holds keep the version they have.
   */
  setRateCard(card: NewRateCard): Promise<RateCard>;
  /** To be called when another process has set a price: cards are read again before they price a call. */
  pricesChanged(): void;
  /** Sets the price of a model that has none that is valid in this organisation. */
  ensureRateCard(card: NewRateCard): Promise<void>;
  /** Cards that are valid or planned, by model; of one model every version, newest first. At most a thousand. */
  listRateCards(organisation: string, model?: string): Promise<{ card: RateCard; state: CardState }[]>;
  /** What the organisation does where a model has no valid price; refusing its calls is the default. */
  unknownPrice(organisation: string): Promise<UnknownPrice>;
  /** Sets it. Throws LineshaftError `fallback_unpriced` where the fallback has no valid card. */
  setUnknownPrice(organisation: string, policy: UnknownPrice): Promise<void>;
  /** Sets the one budget of a scope, or changes its limit and period. */
  setBudget(budget: NewBudget): Promise<Budget>;
  /** Budgets of an organisation, newest first; without a filter all but those of ended runs. */
  listBudgets(organisation: string, filter?: BudgetFilter): Promise<Budget[]>;
  /** True when there was such a budget. Holds that counted against it go on without it. */
  removeBudget(organisation: string, id: string): Promise<boolean>;
  /** Records the verdict on a run, once, and posts its price when the verdict is passed. Repeating it answers the first verdict. */
  recordOutcome(outcome: NewOutcome): Promise<Outcome>;
  /** The bill of an organisation, or of one project or agent of it, over a half-open period that defaults to all time until now. */
  bill(organisation: string, period?: BillOf): Promise<Bill>;
  /**
   * Proves that bill, settlements, records, entries, balances, budgets, leases and suspense agree, in one snapshot, and keeps the report:
   * everything, or what was posted since the proof before. A million attempts take seconds.
   */
  prove(kind?: ProofKind): Promise<ProofReport>;
  /** The newest proof of each kind, newest first. */
  lastProofs(): Promise<ProofReport[]>;
  /** What processes have leased and what stands in suspense, by name, and up to when everything is posted. */
  standing(organisation: string): Promise<Standing>;
  /**
   * Finishes what dead processes left in this home's spools; answers how many folders were finished. It runs by itself every half minute.
   * Rejects with StoreUnavailableError while the database is away.
   */
  replay(): Promise<number>;
  /** Records that this process has written and that, as far as it knows, are not in the database. */
  unposted(): number;
  /**
   * Posts what is written, gives leases back and ends. What the database does not take within seconds is posted by the next start. The
   * session, which others use too, is closed by the caller.
   */
  close(): Promise<void>;
}

/** A condition of the ledger that a person must look at. */
interface LedgerAlarm {
  code: string;
  message: string;
  subject?: string | undefined;
  organisation?: string | undefined;
}

interface LedgerOptions {
  db: Database;
  /** The process's session: its lock says that the process lives, and it hears of changes to budgets. */
  session: Session;
  /** The folder of this home's spools. */
  spools: string;
  /** Names the machine: only there can a spool prove that its process is dead. */
  machine: string;
  /** How the rows of attempts and calls reach their tables. */
  records: RecordRows;
  now?: () => Date;
  onAlarm?: (alarm: LedgerAlarm) => void;
  /** The records of attempts, for the proof; without it they are not compared. */
  recordProof?: RecordProof;
}

/**
 * Opens the ledger: this process's leases and spool. What earlier processes of this home left is replayed in the background; a failure of
 * that does not keep the ledger shut, and their budgets stay charged with what they had leased until it succeeds. Throws
 * StoreUnavailableError, and `storage_full` where the spool cannot be written.
 */
export async function createLedger(options: LedgerOptions): Promise<Ledger> {
  const { db, session, spools, machine, records, now = () => new Date(), onAlarm = () => {}, recordProof } = options;
  const rates = new Rates(db, now);
  const budgets = new Budgets(db);
  const replay = new Replay({ db, process: session.processId, root: spools, rows: records, onAlarm });
  const admission = await Admission.open({
    db,
    session,
    spools,
    machine,
    rows: records,
    onSpoolFailure: (error) => onAlarm(spoolFailed(error)),
    onAlarm,
    onFenced: () => onAlarm(takenForDead),
  });
  const liveness = new Liveness({
    db,
    process: session.processId,
    machine,
    // Where the spool proves that the process is dead, the replay has closed its epoch, so it is not fenced.
    isReplayed: async (epoch) => {
      await replay.round().catch(() => {});
      return !(await isLive(db, epoch));
    },
    onLost: (epoch, items) => {
      for (const item of items) onAlarm(leaseLost(epoch, item));
    },
  });
  // A round that fails is repeated by the next.
  const look = () => void liveness.round().catch(() => {});
  const looking = setInterval(look, livenessMs).unref();
  replay.start();
  void replay.round().catch(() => {});
  return {
    currentRateCard: (organisation, model) => rates.current(organisation, model),
    setRateCard: (card) => rates.set(card),
    pricesChanged: () => rates.changed(),
    ensureRateCard: (card) => rates.ensure(card),
    listRateCards: (organisation, model) => rates.list(organisation, model),
    unknownPrice: (organisation) => rates.unknownPrice(organisation),
    setUnknownPrice: (organisation, policy) => rates.setUnknownPrice(organisation, policy),
    hold: (request) => admission.hold(request),
    holdNow: (request) => admission.holdNow(request),
    sent: (attempt, engine) => admission.sent(attempt, engine),
    extend: (attempt, outputTokens, seen, stands) => admission.extend(attempt, outputTokens, seen, stands),
    recount: (attempt, promptTokens) => admission.recount(attempt, promptTokens),
    settle: (request) => admission.settle(request),
    recordCall: (call, row) => admission.recordCall(call, row),
    position: () => admission.position(),
    posted: (position, signal) => admission.posted(position, signal),
    setBudget: (budget) => budgets.set(budget),
    listBudgets: (organisation, filter) => budgets.list(organisation, filter),
    removeBudget: (organisation, id) => budgets.remove(organisation, id),
    recordOutcome: (outcome) => recordOutcome(db, outcome),
    bill: (organisation, period = {}) => readBill(db, organisation, period),
    prove: (kind = "whole") => proveLedger(db, kind, recordProof),
    lastProofs: () => lastProofs(db),
    standing: (organisation) => readStanding(db, organisation),
    replay: () => replay.round(),
    unposted: () => admission.unposted(),
    async close() {
      clearInterval(looking);
      await replay.close();
      await admission.close();
    },
  };
}

async function isLive(db: Database, epoch: number): Promise<boolean> {
  const { rows } = await db.query("select from epochs where id = $1 and state = 'live'", [epoch]);
  return rows.length > 0;
}

const spoolFailed = (error: Error): LedgerAlarm => ({
  code: "spool_failed",
  message: `The file in which money is noted could not be written or synced (${error.message}); it is closed, and another one is used. Check the disk of the home.`,
});

const takenForDead: LedgerAlarm = {
  code: "epoch_fenced",
  message:
    "This process was taken for dead, so the money that it had leased is in suspense, by name in the bill. It goes on with new leases. It was frozen, or lost the database, for longer than a minute.",
};

const leaseLost = (epoch: number, { id, organisation, budget, amountNano, currency }: LostLease): LedgerAlarm => ({
  code: "lease_lost",
  message: `A gateway process seems to be dead (epoch ${epoch}), so ${formatMoney(amountNano, currency)} that it had leased of ${budget} is in suspense (${id}). What it has spent is drawn from that when its spool is replayed on its machine.`,
  subject: budget,
  organisation,
});
