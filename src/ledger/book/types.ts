// The words of the book: what a process is told about money, and what it answers. Amounts are nano-units of the budget's currency; times
// are milliseconds of one monotonic clock that the caller reads.
import type { MoneyRefusal, Scope } from "../types.ts";

/** A budget as the database describes it, for its current period. */
export interface BudgetFacts {
  budget: string;
  scope: Scope;
  currency: string;
  limitNano: bigint;
  /** First moment of the period, as the database writes it; its name in leases and settlements. */
  period: string;
  /** The period by the database's clock, from its first moment up to its end; Infinity for budgets without a period. */
  periodStartsAtMs: number;
  periodEndsAtMs: number;
  /** When the period ends by the caller's clock. */
  periodEndMs: number;
  spentNano: bigint;
  /** Leases of fenced processes, which do not come back. */
  lostNano: bigint;
  /** This process's own lease, whatever it is used for. */
  outNano: bigint;
  /** Leases of other processes. */
  elsewhereNano: bigint;
}

/** A share of a budget that a hold counts against. */
export interface ShareName {
  budget: string;
  period: string;
}

/** A share that a hold has now, with its period by the database's clock. All shares of a hold have a moment in common. */
export interface HeldShare extends ShareName {
  periodStartsAtMs: number;
  periodEndsAtMs: number;
}

export interface BookHold {
  attempt: string;
  scopes: readonly string[];
  currency: string;
  /** Budgets of its scopes, which the book knows. */
  budgets: readonly string[];
  /** Less is not worth beginning. */
  leastNano: bigint;
  /** The prompt and the first window; at least `leastNano`. */
  needNano: bigint;
}

export interface BookExtension {
  attempt: string;
  /** More money: for one token. */
  leastNano: bigint;
  /** More money: for the whole window. */
  needNano: bigint;
  /** The answer stands still until the extension is there. */
  stuck: boolean;
}

/** Money that the database is asked for: each ask gets at least `leastNano` on every part, or nothing. */
export interface Ask {
  ask: string;
  parts: AskPart[];
}

interface AskPart {
  budget: string;
  leastNano: bigint;
  needNano: bigint;
  /** Beyond the need, a supply for the calls to come. */
  wantNano: bigint;
  /** When the youngest of the process's holds began, where all of them wait for money; else undefined. */
  stuckYoungestMs: number | undefined;
}

/** What the database answers for a part. */
export interface AskAnswer {
  ask: string;
  facts: BudgetFacts;
  /** 0 where the ask was refused. */
  grantedNano: bigint;
  refused: boolean;
  /** Left in the budget after the grant. */
  leftNano: bigint;
  /** Another process holds a lease and has not answered its recall for a second. */
  silentElsewhere: boolean;
  /** Everything that holds the budget waits, and this process has the youngest: it must be cut. */
  cut: boolean;
}

/** Money that goes back to a budget. */
export interface GivenBack extends ShareName {
  amountNano: bigint;
}

/** The state of a budget that an answer names. */
export interface PurseView {
  budget: string;
  scope: Scope;
  currency: string;
  limitNano: bigint;
  leftNano: bigint;
}

/** The budget at whose end an answer ends. `held`: it has money that others hold and have not given back in time. */
export interface BudgetCut extends PurseView {
  why: Extract<MoneyRefusal, "spent" | "held">;
}

/** What the book has decided, in order. */
export type Decision =
  | { type: "held"; attempt: string; amountNano: bigint; shares: HeldShare[]; tightest: PurseView | undefined }
  | { type: "refused"; attempt: string; why: MoneyRefusal; by: PurseView; heldNano: bigint }
  /** The hold is larger by `addedNano`; its shares may have moved to a new period. */
  | { type: "extended"; attempt: string; addedNano: bigint; shares: HeldShare[]; moved: boolean }
  /** The hold counts against a further budget, which was set meanwhile. */
  | { type: "joined"; attempt: string; shares: ShareName[] }
  | { type: "cut"; attempt: string; by: BudgetCut }
  /** The database is away and the money is not here. */
  | { type: "unavailable"; attempt: string };

/** Bounds of the book, so that tests can set them. */
export interface BookLimits {
  /** A refused budget is asked for again after this time. */
  askAgainMs: number;
  /** A wait for money ends after this time. */
  waitMostMs: number;
  /** An answer that stands still waits so long for a process that has a lease and does not answer. */
  silenceMostMs: number;
  /** A lease that nothing used for so long goes back. */
  idleMs: number;
  /** Asks in one statement. */
  asksMost: number;
}
