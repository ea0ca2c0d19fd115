import type { Database, Session } from "../store/index.ts";
import { readBill, type Bill, type BillOf } from "./bill.ts";
import { Budgets, type Budget, type BudgetFilter, type NewBudget } from "./budgets.ts";
import { Attempts } from "./ledger.ts";
import { sweepMs } from "./limits.ts";
import { Sweeper, type StuckHold } from "./sweep.ts";
import { recordOutcome, type NewOutcome, type Outcome } from "./outcomes.ts";
import { Rates, type CardState, type NewRateCard, type UnknownPrice } from "./rates.ts";
import type { ProofKind } from "./proof/checks.ts";
import { lastProofs, proveLedger } from "./proof/proof.ts";
import type { RecordProof } from "./proof/records.ts";
import type { ProofReport } from "./proof/report.ts";
import { readStanding, type Standing } from "./standing.ts";
import type { HoldRequest, HoldResult, RateCard, Settlement, SettlementRequest } from "./types.ts";

export { formatMoney, parseMoney } from "./money.ts";
export { batchCard, discounted, priceLines, priceOf, worstCase } from "./pricing.ts";
export { billable, unanswered } from "./claims.ts";
export { LedgerError } from "./ledger.ts";
export { holdNanoMost } from "./limits.ts";
export { stuckAlarm } from "./sweep.ts";
export { fenceRestored, incarnationOf } from "./leases/restored.ts";
export { proveLedger } from "./proof/proof.ts";
export type { BillLine } from "./bill.ts";
export { endRunBudget, type Budget } from "./budgets.ts";
export type { ProofKind } from "./proof/checks.ts";
export { Prover } from "./proof/prover.ts";
export { bucketOf, checksumOf, type RecordProof } from "./proof/records.ts";
export { proofRules, type ProofReport } from "./proof/report.ts";
export type { Standing } from "./standing.ts";
export { outcomeCounts, outcomesOfRuns, type Outcome, type OutcomeRecord } from "./outcomes.ts";
export { costFigures, outcomeFigures } from "./figures.ts";
export type { CardState, NewRateCard } from "./rates.ts";
export type * from "./types.ts";

/**
 * Money, for the rooms above. Amounts are bigint nano-units of one currency, times are the database's. Every verb throws
 * StoreUnavailableError while the database does not answer.
 */
export interface Ledger {
  /**
   * The prices that new calls of a model are held at: its own card that is valid now, else the organisation's fallback card, marked
   * `estimate`. Undefined where there is neither, so that it cannot be called. At most 5 s old.
   */
  currentRateCard(organisation: string, model: string): Promise<RateCard | undefined>;
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
  /**
   * Holds an attempt's worst case on every budget of its scopes, or refuses by the tightest one and holds nothing. Throws LedgerError
   * `invalid_amount` for a negative amount and for one above `holdNanoMost`.
   */
  hold(request: HoldRequest): Promise<HoldResult>;
  /**
   * Settles an attempt by its usage, at the prices of its hold and for at most its amount. Repeating it answers the first settlement.
   * Throws LedgerError `hold_missing` for an attempt that was not held.
   */
  settle(request: SettlementRequest): Promise<Settlement>;
  /** Settles an attempt for its whole hold, an amount that the database has accepted before. Throws LedgerError `hold_missing`. */
  settleInFull(request: Pick<SettlementRequest, "attempt" | "tokens">): Promise<Settlement>;
  /** Settles an attempt for nothing. Throws LedgerError `hold_missing`. */
  void(attempt: string): Promise<Settlement>;
  /** One round over the holds of processes that have died, which are settled in full; answers how many were. */
  sweep(): Promise<number>;
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
  /** Ends the sweeping. The session, which others use too, is closed by the caller. */
  close(): void;
}

interface LedgerOptions {
  db: Database;
  /** The process's session: its identity stands on the holds, and its lock says that they are not abandoned. */
  session: Pick<Session, "processId">;
  now?: () => Date;
  /** No other gateway can be on this database, so the holds of earlier processes are settled before this returns. */
  alone?: boolean;
  /** Told in every round of each hold that the database refuses to settle. */
  onStuck?: (hold: StuckHold) => void;
  /** The records of attempts, for the proof; without it they are not compared. */
  recordProof?: RecordProof;
}

/** Opens the ledger. Holds of dead processes are settled at once (`alone`) or in the background; a failure of that does not keep it shut. */
export async function createLedger(options: LedgerOptions): Promise<Ledger> {
  const { db, session, now = () => new Date(), alone = false, onStuck = () => {}, recordProof } = options;
  const attempts = new Attempts(db, session.processId);
  const sweeper = new Sweeper(db, session.processId, onStuck);
  const rates = new Rates(db, now);
  const budgets = new Budgets(db);
  // A round that fails is repeated by the next; until then the holds stand against their budgets.
  const sweep = (atOnce: boolean) => sweeper.round({ atOnce }).catch(() => 0);
  await sweep(alone);
  const sweeping = setInterval(() => void sweep(false), sweepMs).unref();
  return {
    currentRateCard: (organisation, model) => rates.current(organisation, model),
    setRateCard: (card) => rates.set(card),
    pricesChanged: () => rates.changed(),
    ensureRateCard: (card) => rates.ensure(card),
    listRateCards: (organisation, model) => rates.list(organisation, model),
    unknownPrice: (organisation) => rates.unknownPrice(organisation),
    setUnknownPrice: (organisation, policy) => rates.setUnknownPrice(organisation, policy),
    hold: (request) => attempts.hold(request),
    settle: (request) => attempts.settle(request),
    settleInFull: (request) => attempts.settleInFull(request),
    void: (attempt) => attempts.void(attempt),
    sweep: () => sweeper.round(),
    setBudget: (budget) => budgets.set(budget),
    listBudgets: (organisation, filter) => budgets.list(organisation, filter),
    removeBudget: (organisation, id) => budgets.remove(organisation, id),
    recordOutcome: (outcome) => recordOutcome(db, outcome),
    bill: (organisation, period = {}) => readBill(db, organisation, period),
    prove: (kind = "whole") => proveLedger(db, kind, recordProof),
    lastProofs: () => lastProofs(db),
    standing: (organisation) => readStanding(db, organisation),
    close: () => {
      clearInterval(sweeping);
      attempts.close();
    },
  };
}
