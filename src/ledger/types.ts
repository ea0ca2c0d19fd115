// The words of money. All amounts are bigint nano-units of one currency (1 USD = 1_000_000_000n).

/** What a budget can be set on. A call is counted against every scope it belongs to. */
export type ScopeKind = "organisation" | "project" | "key" | "agent" | "run";

export interface Scope {
  kind: ScopeKind;
  id: string;
}

/** Prices of tokens, in nano-currency per million. A kind without a price of its own is priced as the kind that it is part of. */
export interface TokenPrices {
  /** Prompt tokens that the engine computed. */
  inputNanoPerMillion: bigint;
  /** Prompt tokens that the engine read from its cache. */
  cachedNanoPerMillion: bigint;
  outputNanoPerMillion: bigint;
  /** Prompt tokens that the engine wrote to a cache of its usual lifetime (Anthropic's 5 minutes); the input price where absent. */
  cacheWriteNanoPerMillion?: bigint;
  /** Prompt tokens that it wrote to a cache of the longer lifetime (Anthropic's 1 hour); the price of usual writes where absent. */
  cacheWriteLongNanoPerMillion?: bigint;
  /** Output tokens of the model's reasoning; the output price where absent. */
  reasoningNanoPerMillion?: bigint;
}

/** Prices of calls whose prompt has more tokens than `abovePromptTokens`: they price the whole call, not only the tokens above. */
export interface PriceTier extends TokenPrices {
  abovePromptTokens: number;
}

/** Prices of a call by the size of its prompt. */
export interface PriceTable extends TokenPrices {
  /** Ascending by `abovePromptTokens`. */
  tiers?: readonly PriceTier[];
}

/** Prices of a model from one moment on. Immutable; a change is a new version. */
export interface RateCard extends PriceTable {
  id: string;
  model: string;
  version: number;
  currency: string;
  /** Fee of a call in nano-currency. It is due once, as soon as anything of the call is billed. */
  callNano?: bigint;
  /** Nano-currency of one unit of what is not counted in tokens, by the unit's name: image, second, search. */
  unitsNano?: Readonly<Record<string, bigint>>;
  /** Prices of batch jobs; fee and units are those of the card. */
  batch?: PriceTable;
  /** First moment at which it prices calls, where it is not since ever. */
  validFrom?: Date;
  /** First moment at which it no longer does. */
  validUntil?: Date;
  /** The model has no price: this is the organisation's fallback card, and what it bills is an estimate. */
  estimate?: true;
}

/** What was used. Absent counts are 0. */
export interface TokenCounts {
  promptTokens: number;
  /** Part of `promptTokens`. */
  cachedTokens: number;
  outputTokens: number;
  /** Part of `promptTokens` beside `cachedTokens`. */
  cacheWriteTokens?: number;
  /** Part of `promptTokens` beside both. */
  cacheWriteLongTokens?: number;
  /** Part of `outputTokens`. */
  reasoningTokens?: number;
  /** Units that are not tokens, by name. */
  units?: Readonly<Record<string, number>>;
}

/** The most that an attempt was held for. */
export interface MostTokens {
  promptTokens: number;
  outputTokens: number;
  units?: Readonly<Record<string, number>>;
}

/** What is left of the tightest budget after a hold; undefined when no budget concerns the call. */
export interface BudgetLeft {
  budget: string;
  scope: Scope;
  currency: string;
  limitNano: bigint;
  leftNano: bigint;
}

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

/** A place in a spool: every record up to it, its own included. */
export interface SpoolPosition {
  spool: string;
  number: number;
}

/** What a hold is asked for: the prompt and a first window of output, or everything at once. */
export interface HoldRequest {
  attempt: string;
  call: string;
  organisation: string;
  project: string;
  key: string;
  agent: string | undefined;
  run: string | undefined;
  rateCard: RateCard;
  /** Prompt tokens of all answers together, by the tokenizer's count or by a bound. */
  promptTokens: number;
  /** The most output tokens of all answers together that the attempt may be asked for. */
  outputTokens: number;
  /** Units of the card that the attempt may use at most, by name: they are known before it is sent. */
  units?: Readonly<Record<string, number>>;
  /**
   * The attempt's engine can neither stop nor be told where to stop while it answers, so the whole limit is held before it is sent. The
   * limit is lowered to what can be held, and never below `leastOutputTokens`.
   */
  whole: boolean;
  /** Less output than this is not worth beginning: the hold waits for it, or is refused. */
  leastOutputTokens: number;
  /** What a crash needs to write the rows of the attempt and its call: JSON of the caller's own. */
  context: unknown;
  /** Ends the wait for money that others hold. */
  signal: AbortSignal;
}

/** A hold as its record says it: what is known of an attempt after a crash. */
export type HeldAttempt = Omit<HoldRequest, "signal" | "whole" | "leastOutputTokens">;

/**
 * Why a hold was refused. `spent`: the money is gone. `held`: calls under way hold it. `leased`: other processes hold it and do not answer.
 */
export type MoneyRefusal = "spent" | "held" | "leased" | "currency";

export type HoldResult =
  | {
      admitted: true;
      /** Output tokens that the hold covers so far. */
      outputTokens: number;
      /** The limit that may be sent to the engine: lowered where `whole` and the budget ends before. */
      outputLimit: number;
      amountNano: bigint;
      tightest: BudgetLeft | undefined;
    }
  | { admitted: false; why: MoneyRefusal; refusedBy: BudgetLeft; heldNano: bigint };

/** The budget that ends an answer. `held`: calls under way, here or in other processes, hold its rest and gave nothing back in time. */
export interface BudgetCut extends BudgetLeft {
  why: Extract<MoneyRefusal, "spent" | "held">;
}

/** The answer to an extension, once it is there or certainly is not. */
export interface Extended {
  /** Output tokens that are covered now: more than before, unless it was cut. */
  outputTokens: number;
  /** The budget that ended the answer; undefined where the extension was granted. */
  cutBy: BudgetCut | undefined;
}

/** The end of an attempt. */
export interface AttemptSettlement extends SettlementRequest {
  /**
   * The attempt's row, JSON of the caller's own, given what is billed; it is committed in one transaction with the settlement. Undefined
   * for an attempt that was never sent to an engine: it has no row.
   */
  row: (settled: Settlement) => unknown;
}

/** What the ledger's verbs of an attempt are, for the life of a call (DESIGN section 4). */
export interface AttemptLedger {
  /**
   * Holds the prompt and the first window of output on every budget concerned, or nothing. It waits while calls under way, here or in
   * other processes, hold the money, and refuses by name of the budget when the money is gone or the wait is over. Rejects with the
   * signal's reason, with LineshaftError `storage_full` (507) where the spool has no room, and with StoreUnavailableError where a
   * lease is needed and the database is away.
   */
  hold(request: HoldRequest): Promise<HoldResult>;
  /** As `hold`, where it can be decided at once. Undefined where it would have to wait for anything: then nothing is held. */
  holdNow(request: HoldRequest): HoldResult | undefined;
  /**
   * Notes that the attempt is about to be sent: after a crash it is billed by its progress, before it not at all. Resolves when that is
   * written, in one write for all calls of this turn of the event loop: no engine may be asked before. Throws or rejects with
   * `storage_full`.
   */
  sent(attempt: string, engine: string): Promise<void>;
  /**
   * Extends the hold so that it covers so many output tokens in all. It waits as `hold` does. It answers as soon as anything more is
   * covered, so a caller that needs all of it asks again. `stands`: the attempt gets no further without it. Only of such attempts is one
   * ended, with the budget's name and what could be covered: where the money is gone, or where the attempt is the youngest of those that
   * wait for each other. `seenOutputTokens`: output that has come, which a crash bills. Rejects with `storage_full` where the extension
   * cannot be recorded.
   */
  extend(attempt: string, outputTokens: number, seenOutputTokens: number, stands: boolean): Promise<Extended>;
  /**
   * Lowers a hold to a prompt of `promptTokens`, where more were held for it, and answers the output tokens that it covers then. The hold
   * covers as much output as before; a `whole` one whose limit was lowered covers as much of its limit as what it holds pays for. What it
   * held beyond that is free for everything that waits, in its order. Throws `storage_full` where that cannot be recorded: then nothing
   * changes.
   */
  recount(attempt: string, promptTokens: number): number;
  /**
   * Settles by what was used, at most by the hold. Its record is written before that of its call, in one write with it where the attempt is
   * the last, and at the latest at the end of this turn of the event loop; it is posted to Postgres later.
   */
  settle(request: AttemptSettlement): Settlement;
  /**
   * Records a call that has ended: JSON of the caller's own. Resolves when the records of the call and of its attempts are written, in one
   * write for all calls of this turn: its client is answered after that. Rejects where they lie in memory alone, because the disk fails:
   * the room that was set aside takes them once it can. Throws `storage_full` for a call without attempts.
   */
  recordCall(call: string, row: unknown): Promise<void>;
  /** The place of the newest record of this process. */
  position(): SpoolPosition;
  /**
   * Resolves when Postgres has every record up to a place, of this process or of another. Rejects with StoreUnavailableError when that
   * cannot be known in time, with LineshaftError `invalid_value` for a place that does not exist, and with the signal's reason.
   */
  posted(position: SpoolPosition, signal?: AbortSignal): Promise<void>;
}

/** How the rows of attempts and calls reach their tables: the room that owns these gives this to the ledger. */
export interface RecordRows {
  /**
   * Writes rows in the transaction that posts their settlements: JSON arrays of what was recorded. A repeated row must change nothing.
   */
  post(
    client: { query(sql: string, values?: unknown[]): Promise<unknown> },
    rows: { attempts: Buffer | string; calls: Buffer | string },
  ): Promise<void>;
  /**
   * Whether the work of an attempt is done again after a crash. No budget pays for such an attempt; what its engine may charge is in
   * suspense.
   */
  isRedone(held: HeldAttempt): boolean;
  /**
   * The rows of an attempt that a crash ended, and of its call. `sentTo`: the engine that it was sent to; undefined where it was not sent,
   * and then there is no row of the attempt. `others`: the settlements of the call's attempts that were held before this one, by attempt.
   * Of several attempts of one call the last one's row of the call counts.
   */
  ofCrash(
    held: HeldAttempt,
    settled: Settlement,
    sentTo: string | undefined,
    others: ReadonlyMap<string, Settlement>,
  ): { attempt: unknown; call: unknown };
}
