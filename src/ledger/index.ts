import type { Database } from "../store/index.ts";
import { readBill, type Bill } from "./bill.ts";
import { Budgets, type Budget, type NewBudget } from "./budgets.ts";
import { Attempts } from "./ledger.ts";
import { sweepMs } from "./limits.ts";
import { recordOutcome, type NewOutcome, type Outcome } from "./outcomes.ts";
import { proveLedger, type ProofReport } from "./proof.ts";
import { Rates, type NewRateCard } from "./rates.ts";
import type { HoldRequest, HoldResult, RateCard, Settlement, SettlementRequest } from "./types.ts";

export { formatMoney, MoneyFormatError, nanoPerUnit, parseMoney, priceOf, worstCase } from "./money.ts";
export { billable } from "./claims.ts";
export type { Billable } from "./claims.ts";
export { LedgerError } from "./ledger.ts";
export type { Bill, BillLine, SuspenseLine } from "./bill.ts";
export type { Budget, NewBudget, Period } from "./budgets.ts";
export type { NewOutcome, Outcome } from "./outcomes.ts";
export type { NewRateCard } from "./rates.ts";
export type { ProofReport } from "./proof.ts";
export type * from "./types.ts";

/** The room as its users hold it. Every verb's states and errors are documented where it is written. */
export interface Ledger {
  currentRateCard(organisation: string, model: string): Promise<RateCard | undefined>;
  setRateCard(card: NewRateCard): Promise<RateCard>;
  hold(request: HoldRequest): Promise<HoldResult>;
  settle(request: SettlementRequest): Promise<Settlement>;
  /** Settles an attempt that used nothing. */
  void(attempt: string): Promise<Settlement>;
  /** Settles in full what owners that are gone have held; answers how many. */
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
  close(): Promise<void>;
}

/** Opens the ledger as `owner` (unique per process and start) and settles what dead owners left behind. */
export async function createLedger(options: { db: Database; owner: string; now?: () => Date }): Promise<Ledger> {
  const { db, owner, now = () => new Date() } = options;
  const attempts = new Attempts(db, owner);
  const rates = new Rates(db, now);
  const budgets = new Budgets(db);
  await attempts.open();
  await attempts.sweep();
  const sweeping = setInterval(() => void attempts.sweep().catch(() => {}), sweepMs).unref();
  return {
    currentRateCard: (organisation, model) => rates.current(organisation, model),
    setRateCard: (card) => rates.set(card),
    hold: (request) => attempts.hold(request),
    settle: (request) => attempts.settle(request),
    void: (attempt) => attempts.void(attempt),
    sweep: () => attempts.sweep(),
    setBudget: (budget) => budgets.set(budget),
    listBudgets: (organisation) => budgets.list(organisation),
    removeBudget: (organisation, id) => budgets.remove(organisation, id),
    recordOutcome: (outcome) => recordOutcome(db, outcome),
    bill: (organisation, period = {}) => readBill(db, organisation, period),
    prove: () => proveLedger(db),
    close: () => {
      clearInterval(sweeping);
      return attempts.close();
    },
  };
}
