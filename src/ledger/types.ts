// The words of money. All amounts are bigint nano-units of one currency (1 USD = 1_000_000_000n).

/** What a budget can be set on. A call is counted against every scope it belongs to. */
export type ScopeKind = "organisation" | "project" | "key" | "agent" | "run";

export interface Scope {
  kind: ScopeKind;
  id: string;
}

/** Prices of a model at one time: nano-currency per million tokens. Immutable; a change is a new version. */
export interface RateCard {
  id: string;
  model: string;
  version: number;
  currency: string;
  inputNanoPerMillion: bigint;
  cachedNanoPerMillion: bigint;
  outputNanoPerMillion: bigint;
}

export interface TokenCounts {
  promptTokens: number;
  /** Part of `promptTokens`. */
  cachedTokens: number;
  outputTokens: number;
}

/** The most tokens that an attempt was held for. */
export interface MostTokens {
  promptTokens: number;
  outputTokens: number;
}

export interface HoldRequest {
  attempt: string;
  call: string;
  organisation: string;
  project: string;
  scopes: Scope[];
  amountNano: bigint;
  /** What the amount was computed from. */
  most: MostTokens;
  rateCard: RateCard;
}

/** What is left of the tightest budget after a hold; undefined when no budget concerns the call. */
export interface BudgetLeft {
  budget: string;
  scope: Scope;
  currency: string;
  limitNano: bigint;
  leftNano: bigint;
}

export type HoldResult =
  | { admitted: true; tightest: BudgetLeft | undefined }
  /**
   * A budget that the call would pass. Nothing was held. `passing`: only holds of calls under way stand against it, so that the
   * same call may be admitted once they are settled; false when any budget's spent money refuses it.
   */
  | { admitted: false; refusedBy: BudgetLeft; heldNano: bigint; passing: boolean };

export interface SettlementRequest {
  attempt: string;
  /** Usage that the engine claims, or that was counted; any numbers. At most the hold is billed for it. */
  tokens: TokenCounts;
  usageSource: "engine" | "counted" | "estimated";
  /** An engine accepted the attempt and gave no answer: nothing is billed, and the price of `tokens` goes to suspense. */
  unanswered?: boolean;
}

export interface Settlement {
  attempt: string;
  /** What was billed; at most what was held. */
  amountNano: bigint;
  /** Price of the usage that was claimed beyond the hold: a payable in suspense. */
  suspenseNano: bigint;
  /** The tokens that were billed, and the claim where it was more. A repeated settlement answers those of the first. */
  tokens: TokenCounts;
  claimed: TokenCounts | undefined;
  usageSource: SettlementRequest["usageSource"];
  currency: string;
  /** True when the attempt had been settled before: the first settlement stands and is answered. */
  repeated: boolean;
}
