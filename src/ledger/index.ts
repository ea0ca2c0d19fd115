import type { Database, Session } from "../store/index.ts";
import { readBill, type Bill } from "./bill.ts";
import { Budgets, type Budget, type NewBudget } from "./budgets.ts";
import { Attempts } from "./ledger.ts";
import { sweepMs } from "./limits.ts";
import { Sweeper, type StuckHold } from "./sweep.ts";
import { recordOutcome, type NewOutcome, type Outcome } from "./outcomes.ts";
import { proveLedger, type ProofReport } from "./proof.ts";
import { Rates, type NewRateCard } from "./rates.ts";
import type { HoldRequest, HoldResult, RateCard, Settlement, SettlementRequest } from "./types.ts";

export { formatMoney, MoneyFormatError, nanoPerUnit, parseMoney, priceOf, worstCase } from "./money.ts";
export { billable, unanswered } from "./claims.ts";
export type { Billable } from "./claims.ts";
export { LedgerError } from "./ledger.ts";
export { holdNanoMost } from "./limits.ts";
export { stuckAlarm, type StuckHold } from "./sweep.ts";
export type { Bill, BillLine, SuspenseLine } from "./bill.ts";
export type { Budget, NewBudget, Period } from "./budgets.ts";
export { outcomeCounts, outcomesOfRuns, type NewOutcome, type Outcome, type OutcomeRecord } from "./outcomes.ts";
export { costFigures, outcomeFigures, type CostFigures, type FiguresOf, type OutcomeFigures } from "./figures.ts";
export type { NewRateCard } from "./rates.ts";
export type { ProofReport } from "./proof.ts";
export type * from "./types.ts";

/** The room as its users hold it. Every verb's states and errors are documented where it is written. */
export interface Ledger {
  currentRateCard(organisation: string, model: string): Promise<RateCard | undefined>;
  setRateCard(card: NewRateCard): Promise<RateCard>;
  /** Sets the price of a model that has none in this organisation. */
  ensureRateCard(card: NewRateCard): Promise<void>;
  hold(request: HoldRequest): Promise<HoldResult>;
  settle(request: SettlementRequest): Promise<Settlement>;
  /** Settles an attempt for its whole hold, with an amount that the database has taken already. */
  settleInFull(request: Pick<SettlementRequest, "attempt" | "tokens">): Promise<Settlement>;
  /** Settles an attempt that used nothing. */
  void(attempt: string): Promise<Settlement>;
  /** One round of settling in full what owners that are gone have held; answers how many holds. */
  sweep(): Promise<number>;
  setBudget(budget: NewBudget): Promise<Budget>;
  listBudgets(organisation: string): Promise<Budget[]>;
  removeBudget(organisation: string, id: string): Promise<boolean>;
  recordOutcome(outcome: NewOutcome): Promise<Outcome>;
  /** Of a whole organisation, or of one project of it. */
  bill(
    organisation: string,
    period?: { from?: Date; to?: Date; agent?: string; project?: string | undefined },
  ): Promise<Bill>;
  prove(): Promise<ProofReport>;
  /** Ends the sweeping. The session, which others use too, is closed by the caller. */
  close(): void;
}

export interface LedgerOptions {
  db: Database;
  /** The process's session: its identity stands on the holds, and its lock says that they are not abandoned. */
  session: Pick<Session, "processId">;
  now?: () => Date;
  /** Whether no other gateway can be on this database: what earlier owners hold is then settled before this returns. */
  alone?: boolean;
  /** Told of a hold that the database refuses to settle, in every round. */
  onStuck?: (hold: StuckHold) => void;
}

/** Opens the ledger. What dead owners left behind is settled at once or in the background, and never keeps it from opening. */
export async function createLedger(options: LedgerOptions): Promise<Ledger> {
  const { db, session, now = () => new Date(), alone = false, onStuck = () => {} } = options;
  const attempts = new Attempts(db, session.processId);
  const sweeper = new Sweeper(db, session.processId, onStuck);
  const rates = new Rates(db, now);
  const budgets = new Budgets(db);
  // A round that fails is made good by the next; until then the holds stand against their budgets.
  const sweep = (atOnce: boolean) => sweeper.round({ atOnce }).catch(() => 0);
  await sweep(alone);
  const sweeping = setInterval(() => void sweep(false), sweepMs).unref();
  return {
    currentRateCard: (organisation, model) => rates.current(organisation, model),
    setRateCard: (card) => rates.set(card),
    async ensureRateCard(card) {
      if (!(await rates.current(card.organisation, card.model))) await rates.set(card);
    },
    hold: (request) => attempts.hold(request),
    settle: (request) => attempts.settle(request),
    settleInFull: (request) => attempts.settleInFull(request),
    void: (attempt) => attempts.void(attempt),
    sweep: () => sweeper.round(),
    setBudget: (budget) => budgets.set(budget),
    listBudgets: (organisation) => budgets.list(organisation),
    removeBudget: (organisation, id) => budgets.remove(organisation, id),
    recordOutcome: (outcome) => recordOutcome(db, outcome),
    bill: (organisation, period = {}) => readBill(db, organisation, period),
    prove: () => proveLedger(db),
    close: () => {
      clearInterval(sweeping);
      attempts.close();
    },
  };
}
