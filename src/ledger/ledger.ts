// The ledger's verbs over Postgres: hold before an attempt, settle after it, exactly once each.
//
// States of an attempt: (none) -> held -> settled. A hold counts against every budget of its scopes at once, in one
// statement; a settlement releases it there, adds what was really used, and posts a journal that sums to zero. It never passes its
// hold (claims.ts): what an engine claims beyond it is posted to suspense.
// A hold is marked with the process that took it. When that process has died, the sweeper settles the hold in full (sweep.ts). A
// process lives while its session holds the process's advisory lock (store/process.ts), so no clock and no heartbeat are involved.
import { LineshaftError } from "../errors/index.ts";
import { isOutcomeUnknown, type Database } from "../store/index.ts";
import { Batcher } from "./batcher.ts";
import { Doubtful } from "./doubtful.ts";
import { batchLimit, holdNanoMost, promptTokensPlausible } from "./limits.ts";
import { rateCardColumns, rateCardOf, type RateCardRow } from "./cards.ts";
import { billable, unanswered, type Billable } from "./claims.ts";
import { settleInFull } from "./sweep.ts";
import type {
  HoldRequest,
  HoldResult,
  MostTokens,
  RateCard,
  Scope,
  ScopeKind,
  Settlement,
  SettlementRequest,
} from "./types.ts";

/** The ledger cannot do what was asked: `invalid_amount` for a hold out of bounds, `hold_missing` for a settlement without its hold. */
export class LedgerError extends LineshaftError {
  constructor(code: "invalid_amount" | "hold_missing", message: string) {
    super({ code, message });
  }
}

interface HoldRow {
  [column: string]: unknown;
  attempt: string;
  admitted: boolean;
  budget: string | null;
  scope: string | null;
  currency: string | null;
  limit_nano: bigint | null;
  left_nano: bigint | null;
  held_nano: bigint | null;
}

interface PricedSettlement extends SettlementRequest {
  billable: Billable;
}

/** A row of settle_attempts. */
interface SettledRow {
  [column: string]: unknown;
  attempt: string;
  amount_nano: bigint;
  suspense_nano: bigint;
  currency: string;
  repeated: boolean;
}

/** What a settlement says beside its amount. */
type Written = Pick<Settlement, "tokens" | "claimed" | "usageSource">;
interface WrittenRow {
  [column: string]: unknown;
  attempt: string;
  prompt_tokens: bigint;
  cached_tokens: bigint;
  output_tokens: bigint;
  claimed_prompt_tokens: bigint | null;
  claimed_output_tokens: bigint | null;
  usage_source: Settlement["usageSource"];
}

/** What a settlement is computed from. */
interface Held {
  card: RateCard;
  most: MostTokens;
  amountNano: bigint;
}

export class Attempts {
  readonly #db: Database;
  /** The process that these holds are taken by: their column `owner`. */
  readonly #owner: number;
  /** Holds that this process has taken and not settled. */
  readonly #held = new Map<string, Held>();
  readonly #holds: Batcher<HoldRequest, HoldResult>;
  readonly #settlements: Batcher<PricedSettlement, Settlement>;
  readonly #doubtful: Doubtful;

  constructor(db: Database, owner: number) {
    this.#db = db;
    this.#owner = owner;
    this.#holds = new Batcher((requests) => this.#commitHolds(requests), batchLimit);
    this.#settlements = new Batcher((requests) => this.#commitSettlements(requests), batchLimit);
    this.#doubtful = new Doubtful((requests) => this.#voidDoubtful(requests));
  }

  close(): void {
    this.#doubtful.close();
  }

  /** Holds an attempt's worst case on every budget of its scopes, or refuses and holds nothing. */
  async hold(request: HoldRequest): Promise<HoldResult> {
    if (request.amountNano < 0n) throw new LedgerError("invalid_amount", "A hold cannot be negative.");
    if (request.amountNano > holdNanoMost)
      throw new LedgerError("invalid_amount", `A hold is at most ${holdNanoMost} nano-units.`);
    const result = await this.#holds.add(request);
    const { attempt, rateCard: card, most, amountNano } = request;
    if (result.admitted) this.#held.set(attempt, { card, most, amountNano });
    return result;
  }

  /**
   * Settles by what was used, at the prices of the hold and at most for what was held; what is claimed beyond that goes to
   * suspense, as does the price of an attempt that had no answer. Repeating it is harmless: the first settlement stands.
   */
  async settle(request: SettlementRequest): Promise<Settlement> {
    const { card, most, amountNano } = this.#held.get(request.attempt) ?? (await this.#heldOf(request.attempt));
    const settlement = await this.#settlements.add({
      ...request,
      billable: request.unanswered
        ? unanswered(request.tokens, card)
        : billable(request.tokens, most, amountNano, card),
    });
    this.#held.delete(request.attempt);
    return settlement;
  }

  /** Settles an attempt for nothing, because its engine never began. */
  void(attempt: string): Promise<Settlement> {
    return this.settle({
      attempt,
      tokens: { promptTokens: 0, cachedTokens: 0, outputTokens: 0 },
      usageSource: "counted",
    });
  }

  /** Settles an attempt for its whole hold, after the database refused the attempt's own numbers. */
  async settleInFull(request: Pick<SettlementRequest, "attempt" | "tokens">): Promise<Settlement> {
    const { attempt, tokens } = request;
    const { rows } = await this.#db.query<SettledRow>(settleInFull("attempt = $1", "$2::bigint", "$3::bigint"), [
      attempt,
      tokens.promptTokens,
      tokens.outputTokens,
    ]);
    if (!rows[0]) throw holdMissing(attempt);
    this.#held.delete(attempt);
    const first = rows[0].repeated ? (await this.#firstSettlements([attempt])).get(attempt) : undefined;
    const written = { tokens: { ...tokens, cachedTokens: 0 }, claimed: undefined, usageSource: "estimated" as const };
    return settlementOf(rows[0], first ?? written, rows[0].repeated);
  }

  async #commitHolds(requests: HoldRequest[]): Promise<HoldResult[]> {
    const items = JSON.stringify(requests.map(holdItem));
    const { rows } = await this.#db
      .query<HoldRow>("select * from hold_attempts($1, $2)", [this.#owner, items])
      .catch((error: unknown) => {
        // The callers are told that nothing is held, although the statement may have been committed.
        if (isOutcomeUnknown(error)) this.#doubtful.add(requests);
        throw error;
      });
    if (rows.length === 0) return requests.map(() => ({ admitted: true, tightest: undefined }));
    const byAttempt = new Map(rows.map((row) => [row.attempt, row]));
    return requests.map((request) => holdResult(request, byAttempt.get(request.attempt)!));
  }

  /** Ends holds whose outcome is unknown: they may have been taken or not. */
  async #voidDoubtful(requests: HoldRequest[]): Promise<void> {
    await this.#db.query("select void_holds($1, $2)", [this.#owner, JSON.stringify(requests.map(holdItem))]);
  }

  async #commitSettlements(requests: PricedSettlement[]): Promise<Settlement[]> {
    // Of two settlements of one attempt in one batch the first is taken, and both callers are answered with it.
    const first = new Map(requests.toReversed().map((request) => [request.attempt, request]));
    const { rows } = await this.#db.query<SettledRow>("select * from settle_attempts($1)", [
      JSON.stringify([...first.values()].map(settlementItem)),
    ]);
    const byAttempt = new Map(rows.map((row) => [row.attempt, row]));
    const before = await this.#firstSettlements(rows.flatMap(({ attempt, repeated }) => (repeated ? [attempt] : [])));
    return requests.map((request) => {
      const { attempt } = request;
      const row = byAttempt.get(attempt);
      if (!row) throw holdMissing(attempt);
      const taken = first.get(attempt)!;
      const written = { ...taken.billable, usageSource: taken.usageSource };
      return settlementOf(row, before.get(attempt) ?? written, row.repeated || taken !== request);
    });
  }

  /**
   * The first settlements of attempts that had been settled before. Another process may have settled one in full because it took this
   * process for dead. The record of the call must say what was charged, so the answer carries the tokens of the first settlement.
   */
  async #firstSettlements(attempts: string[]): Promise<Map<string, Written>> {
    if (attempts.length === 0) return new Map();
    const { rows } = await this.#db.query<WrittenRow>(
      `select attempt, prompt_tokens, cached_tokens, output_tokens, claimed_prompt_tokens, claimed_output_tokens, usage_source
       from settlements where attempt = any($1)`,
      [attempts],
    );
    return new Map(rows.map((row) => [row.attempt, writtenOf(row)]));
  }

  /** A hold that this process does not remember, for example after a restart. Only its amount bounds what may be billed. */
  async #heldOf(attempt: string): Promise<Held> {
    const { rows } = await this.#db.query<RateCardRow & { amount_nano: bigint }>(
      `select ${rateCardColumns}, h.amount_nano from rate_cards c join holds h on h.rate_card = c.id where h.attempt = $1`,
      [attempt],
    );
    if (!rows[0]) throw holdMissing(attempt);
    const most = { promptTokens: promptTokensPlausible, outputTokens: promptTokensPlausible };
    return { card: rateCardOf(rows[0]), most, amountNano: rows[0].amount_nano };
  }
}

const holdMissing = (attempt: string): LedgerError =>
  new LedgerError("hold_missing", `Attempt ${attempt} has no hold, so it cannot be settled.`);

const settlementOf = (row: SettledRow, { tokens, claimed, usageSource }: Written, repeated: boolean): Settlement => ({
  attempt: row.attempt,
  amountNano: row.amount_nano,
  suspenseNano: row.suspense_nano,
  tokens,
  claimed,
  usageSource,
  currency: row.currency,
  repeated,
});

function writtenOf(row: WrittenRow): Written {
  const cachedTokens = Number(row.cached_tokens);
  const claimed = row.claimed_prompt_tokens !== null && {
    promptTokens: Number(row.claimed_prompt_tokens),
    cachedTokens,
    outputTokens: Number(row.claimed_output_tokens),
  };
  return {
    tokens: { promptTokens: Number(row.prompt_tokens), cachedTokens, outputTokens: Number(row.output_tokens) },
    claimed: claimed || undefined,
    usageSource: row.usage_source,
  };
}

const scopeText = (scope: Scope) => `${scope.kind}:${scope.id}`;
const scopeId = (scopes: Scope[], kind: ScopeKind) => scopes.find((scope) => scope.kind === kind)?.id ?? null;

function holdItem(request: HoldRequest) {
  return {
    attempt: request.attempt,
    call: request.call,
    organisation: request.organisation,
    project: request.project,
    agent: scopeId(request.scopes, "agent"),
    run: scopeId(request.scopes, "run"),
    model: request.rateCard.model,
    amount: request.amountNano.toString(),
    currency: request.rateCard.currency,
    scopes: request.scopes.map(scopeText),
    rate_card: request.rateCard.id,
  };
}

function holdResult({ amountNano, rateCard }: HoldRequest, row: HoldRow): HoldResult {
  if (row.budget === null) return { admitted: true, tightest: undefined };
  const [kind, id] = splitScope(row.scope!);
  const budget = {
    budget: row.budget,
    scope: { kind, id },
    currency: row.currency!,
    limitNano: row.limit_nano!,
    leftNano: row.left_nano!,
  };
  if (row.admitted) return { admitted: true, tightest: budget };
  const heldNano = row.held_nano!;
  const passing = budget.currency === rateCard.currency && budget.leftNano + heldNano >= amountNano;
  return { admitted: false, refusedBy: budget, heldNano, passing };
}

function splitScope(scope: string): [ScopeKind, string] {
  const colon = scope.indexOf(":");
  return [scope.slice(0, colon) as ScopeKind, scope.slice(colon + 1)];
}

function settlementItem(request: PricedSettlement) {
  const { tokens, amountNano, suspenseNano, claimed } = request.billable;
  return {
    attempt: request.attempt,
    amount: amountNano.toString(),
    prompt: tokens.promptTokens,
    cached: tokens.cachedTokens,
    output: tokens.outputTokens,
    source: request.usageSource,
    ...(suspenseNano > 0n && { suspense: suspenseNano.toString() }),
    ...(claimed && { claimed_prompt: claimed.promptTokens, claimed_output: claimed.outputTokens }),
  };
}
