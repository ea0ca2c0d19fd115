// The words of leases: what a process asks of the budgets in Postgres, and what it is answered. Amounts are nano-units of the budget's
// currency. A period is named by its first moment as the database writes it; that text is compared and sent back, never computed with.
import type { Scope } from "../types.ts";

/** One life of a process, as the database knows it. Its leases are its own until it is closed or fenced. */
export interface Epoch {
  id: number;
  /** Raised by a restore, which fences every epoch of before. */
  incarnation: number;
  /** The newest change of a budget when it began. */
  budgetsSeen: number;
}

/** A budget as the database describes it, for its current period. */
export interface BudgetState {
  budget: string;
  scope: Scope;
  currency: string;
  limitNano: bigint;
  /** First moment of the period: its name in leases and settlements. */
  period: string;
  /** When the period ends by the clock of `LeaseClock`; Infinity for budgets without a period. */
  periodEndMs: number;
  spentNano: bigint;
  /** Leases of fenced epochs, which do not come back. */
  lostNano: bigint;
  /** This epoch's lease: what it has free, holds, and has settled but not posted. */
  outNano: bigint;
  /** Leases of other epochs. */
  elsewhereNano: bigint;
}

/** The budgets of some scopes at one moment. */
export interface BudgetsFound {
  budgets: BudgetState[];
  /** A scope without a budget had none when this change was the newest: the absence may be remembered until a later one names the scope. */
  asOf: number;
}

/** Money that is asked for: at least `leastNano` on every part, or nothing on any. */
export interface LeaseAsk {
  ask: string;
  parts: LeasePart[];
}

/** 0 <= leastNano <= needNano <= wantNano. */
interface LeasePart {
  budget: string;
  leastNano: bigint;
  needNano: bigint;
  /** Beyond the need, a supply for the calls to come. */
  wantNano: bigint;
  /** When the youngest of the epoch's holders began (by the clock of `LeaseClock`), where all of them wait for money; else undefined. */
  stuckYoungestMs: number | undefined;
}

/** The answer to a part of an ask. */
export interface LeaseAnswer {
  ask: string;
  budget: string;
  /** `short`: this budget refused the ask. `spared`: another one did. `gone`: there is no such budget any more, which refuses too. */
  state: "granted" | "short" | "spared" | "gone";
  /** After the grant; undefined where the budget is gone. */
  facts: BudgetState | undefined;
  /** 0 where the ask was refused. */
  grantedNano: bigint;
  /** Left in the budget after the grant; negative where more was used than a lowered limit. */
  leftNano: bigint;
  /** Another epoch has money and has not answered its recall for a second. */
  silentElsewhere: boolean;
  /** Everything that holds the budget waits, and this epoch has the youngest holder: it must be cut. */
  cut: boolean;
}

/** Part of a lease, by the period that it was taken in. */
export interface LeaseShare {
  budget: string;
  period: string;
  amountNano: bigint;
}

/** What a process is told of its leases. */
export interface BudgetChange {
  seq: number;
  budget: string;
  scope: Scope;
}

/** A named item that a fenced epoch's lease became. */
export interface LostLease {
  id: string;
  organisation: string;
  budget: string;
  amountNano: bigint;
  currency: string;
}
