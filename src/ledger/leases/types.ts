// The words of leases that the book (book/types.ts) has not: epochs, what Postgres answers, and what was lost. A period is named by its
// first moment, as ISO text that is compared and sent back.
import type { BudgetFacts } from "../book/types.ts";

/** One life of a process, as the database knows it. Its leases are its own until it is closed or fenced. */
export interface Epoch {
  id: number;
  /** Raised by a restore, which fences every epoch of before. */
  incarnation: number;
  /** The newest change of a budget when it began. */
  budgetsSeen: number;
}

/** The budgets of some scopes at one moment. */
export interface BudgetsFound {
  budgets: BudgetFacts[];
  /** A scope without a budget had none when this change was the newest: the absence may be remembered until a later one names the scope. */
  asOf: number;
}

/** The answer to a part of an ask. */
export interface LeaseAnswer {
  ask: string;
  budget: string;
  /** `short`: this budget refused the ask. `spared`: another one did. `gone`: there is no such budget any more, which refuses too. */
  state: "granted" | "short" | "spared" | "gone";
  /** After the grant; undefined where the budget is gone. */
  facts: BudgetFacts | undefined;
  /** 0 where the ask was refused. */
  grantedNano: bigint;
  /** Left in the budget after the grant; negative where more was used than a lowered limit. */
  leftNano: bigint;
  /** Another epoch has money and has not answered its recall for a second. */
  silentElsewhere: boolean;
  /** Everything that holds the budget waits, and this epoch has the youngest holder: it must be cut. */
  cut: boolean;
}

/** A budget was set, changed or removed. */
export interface BudgetChange {
  /** Changes are committed in the order of their numbers. */
  seq: number;
  budget: string;
  /** Such as `project:prj_1`. */
  scope: string;
}

/** A named item that a fenced epoch's lease became. */
export interface LostLease {
  id: string;
  organisation: string;
  budget: string;
  amountNano: bigint;
  currency: string;
}
