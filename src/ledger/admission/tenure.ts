// One tenure: the work of this process under one epoch. It joins the book (who holds what, in memory), the spool (what was decided, on
// this machine), the leases (money from Postgres) and the scopes' budgets as they are known here.
//
// A tenure that was fenced decides nothing new. Its calls under way go on with what they hold, and their settlements draw on the amount
// that was booked to suspense. The admission begins another tenure for new calls.
import { Book } from "../book/book.ts";
import type { Ask, AskAnswer, BookLimits, Decision, GivenBack, HeldShare, ShareName } from "../book/types.ts";
import { billable, unanswered } from "../claims.ts";
import { EpochFencedError, type Leases } from "../leases/leases.ts";
import type { LeaseAnswer } from "../leases/types.ts";
import { attemptSpoolBytes, bookLimits, firstWindowTokens, scopesKnownMost } from "../limits.ts";
import { encodeCall, encodeExtend, encodeHold, encodeSent, encodeSettle } from "../posting/records.ts";
import type {
  AttemptSettlement,
  Extended,
  ProgressiveHold,
  ProgressiveHoldResult,
  Settlement,
  SpoolPosition,
} from "../types.ts";
import { priceUpTo, UnderWay } from "./heldAttempt.ts";
import { Scopes } from "./scopes.ts";

/** What a tenure needs of a spool; every verb is synchronous. */
interface TenureSpool {
  append(payloads: Uint8Array[], drawn?: number): SpoolPosition;
  reserve(bytes: number): void;
  release(bytes: number): void;
  position(): SpoolPosition;
}

interface TenureOptions {
  leases: Pick<Leases, "take" | "giveBack" | "budgetsOf" | "acknowledge" | "databaseTimeMs">;
  spool: TenureSpool;
  /** Runs work while no batch of this spool is being posted. */
  exclusively(work: () => Promise<void>): Promise<void>;
  /** Resolves when everything up to a place is posted. */
  posted(position: SpoolPosition): Promise<void>;
  onFenced(): void;
  clock: () => number;
  bookLimits?: BookLimits;
}

/** A hold that is not decided. */
interface Asked {
  request: ProgressiveHold;
  scopes: readonly string[];
  resolve(result: ProgressiveHoldResult): void;
  reject(error: unknown): void;
  onAbort(): void;
}

/** A hold could not be had, because the database is away or because the tenure ended; the admission decides what follows. */
export class LeaseNeededError extends Error {}

/** A change of a budget that every process must work by. */
interface BudgetChange {
  seq: number;
  budget: string;
  scope: string;
}

export class Tenure {
  readonly #options: TenureOptions;
  readonly #book: Book;
  readonly #scopes = new Scopes(scopesKnownMost);
  /** Newest change of a scope that was heard while its budgets were asked for. */
  readonly #heard = new Map<string, number>();
  readonly #asked = new Map<string, Asked>();
  readonly #underWay = new Map<string, UnderWay>();
  /** Scopes whose budgets are being asked for. */
  readonly #learning = new Map<string, Promise<void>>();
  /** What goes back to the database and has not yet. */
  #back: GivenBack[] = [];
  #working = false;
  #timer: NodeJS.Timeout | undefined;
  #fenced = false;
  #ended: (() => void) | undefined;

  constructor(options: TenureOptions) {
    this.#options = options;
    this.#book = new Book(options.bookLimits ?? bookLimits);
  }

  get isFenced(): boolean {
    return this.#fenced;
  }

  has(attempt: string): boolean {
    return this.#underWay.has(attempt);
  }

  /** What this process has of a budget, for status and tests. */
  standing(budget: string) {
    return this.#book.standing(budget);
  }

  /** Throws LeaseNeededError where the money must come from the database, and this is away or has fenced the tenure. */
  async hold(request: ProgressiveHold): Promise<ProgressiveHoldResult> {
    const scopes = scopesOf(request);
    for (let unknown = this.#scopes.unknown(scopes); unknown.length > 0; unknown = this.#scopes.unknown(scopes))
      await this.#learnAll(unknown);
    request.signal.throwIfAborted();
    // Room for the attempt's records is there before it begins.
    this.#options.spool.reserve(attemptSpoolBytes);
    this.#scopes.use(scopes);
    return new Promise((resolve, reject) => {
      const onAbort = () => this.#gaveUp(request.attempt);
      this.#asked.set(request.attempt, { request, scopes, resolve, reject, onAbort });
      request.signal.addEventListener("abort", onAbort, { once: true });
      this.#book.hold(
        {
          attempt: request.attempt,
          scopes,
          currency: request.rateCard.currency,
          budgets: this.#scopes.budgetsOf(scopes),
          leastNano: priceUpTo(request, Math.min(request.leastOutputTokens, request.outputTokens)),
          needNano: priceUpTo(request, request.whole ? request.outputTokens : firstWindow(request)),
        },
        this.#options.clock(),
      );
      this.#step();
    });
  }

  sent(attempt: string, engine: string): void {
    this.#append(this.#held(attempt), encodeSent({ attempt, engine }));
  }

  extend(attempt: string, outputTokens: number, seenOutputTokens: number): Promise<Extended> {
    const held = this.#held(attempt);
    held.seenTokens = Math.max(held.seenTokens, seenOutputTokens);
    const until = Math.min(outputTokens, held.request.outputTokens);
    const { coveredTokens, cutBy } = held;
    if (coveredTokens >= until || cutBy) return Promise.resolve({ outputTokens: coveredTokens, cutBy });
    const extended = new Promise<Extended>((resolve) => held.extensions.push({ outputTokens: until, resolve }));
    const stuck = seenOutputTokens >= coveredTokens;
    const leastNano = priceUpTo(held.request, coveredTokens + 1) - held.heldNano;
    const needNano = priceUpTo(held.request, until) - held.heldNano;
    this.#book.extend({ attempt, leastNano, needNano, stuck }, this.#options.clock());
    this.#step();
    return extended;
  }

  settle(request: AttemptSettlement): Settlement {
    const held = this.#held(request.attempt);
    const { rateCard: card, promptTokens } = held.request;
    const billed = request.unanswered
      ? unanswered(request.tokens, card)
      : billable(request.tokens, { promptTokens, outputTokens: held.coveredTokens }, held.heldNano, card);
    const settlement: Settlement = {
      attempt: request.attempt,
      amountNano: billed.amountNano,
      suspenseNano: billed.suspenseNano,
      tokens: billed.tokens,
      claimed: billed.claimed,
      // A price that is not the model's own makes the bill an estimate.
      usageSource: card.estimate ? "estimated" : request.usageSource,
      currency: card.currency,
      repeated: false,
    };
    const { shares, countedAtMs, heldNano } = held;
    const settled = encodeSettle({
      held: held.request,
      heldNano,
      shares,
      countedAtMs,
      settlement,
      unanswered: request.unanswered ?? false,
      row: request.row(settlement),
    });
    this.#underWay.delete(request.attempt);
    this.#scopes.release(held.scopes);
    this.#append(held, settled);
    this.#options.spool.release(held.roomBytes);
    this.#book.settle(request.attempt, settlement.amountNano, this.#options.clock());
    this.#step();
    if (this.#underWay.size === 0) this.#ended?.();
    return settlement;
  }

  recordCall(call: string, row: unknown): void {
    this.#options.spool.append([encodeCall({ call, row })]);
  }

  /** By the database's clock: every attempt that counts before this moment is settled. */
  openSinceMs(): number {
    let oldest = this.#options.leases.databaseTimeMs();
    for (const { countedAtMs } of this.#underWay.values()) if (countedAtMs < oldest) oldest = countedAtMs;
    return oldest;
  }

  /** Budgets were set, changed or removed. Resolves when this process works by them and the database knows. */
  async changed(changes: readonly BudgetChange[]): Promise<void> {
    const scopes = new Set(changes.map(({ scope }) => scope));
    for (const { scope, seq } of changes) if (this.#heard.has(scope)) this.#heard.set(scope, seq);
    const known = [...scopes].filter((scope) => this.#scopes.isKnown(scope));
    const fresh = await this.#adopt(known);
    const last = changes.at(-1)!.seq;
    // What was settled before names no share of a new budget: it is counted there once it is posted, before the change is acknowledged.
    await this.#options.posted(this.#options.spool.position());
    await this.#options.exclusively(async () => {
      const held = fresh.flatMap((budget) => {
        const underWay = this.#book.underWay(budget);
        return underWay ? [{ budget, ...underWay }] : [];
      });
      await this.#options.leases.acknowledge(last, held);
    });
    if (fresh.length === 0) return;
    const { budgets } = await this.#options.leases.budgetsOf(known);
    for (const facts of budgets)
      if (fresh.includes(facts.budget)) this.#book.acknowledged(facts, this.#options.clock());
    this.#step();
  }

  /** The database asks for money back. An answer is owed even where nothing is free. */
  recalled(shares: readonly GivenBack[]): void {
    for (const { budget, period, amountNano } of shares) {
      this.#book.recalled(budget, amountNano, this.#options.clock());
      this.#back.push({ budget, period, amountNano: 0n });
    }
    this.#step();
  }

  /** Other processes gave money back. */
  returned(): void {
    this.#book.returned();
    this.#step();
  }

  tick(): void {
    this.#book.tick(this.#options.clock());
    const unused = this.#book.unused(this.#options.clock());
    this.#scopes.forget(new Set(unused));
    for (const budget of unused) this.#book.forget(budget, this.#options.clock());
    this.#step();
  }

  /** The epoch was taken for dead: nothing new is decided here. */
  fenced(): void {
    if (this.#fenced) return;
    this.#fenced = true;
    this.#book.end(this.#options.clock());
    this.#decided();
    this.#options.onFenced();
  }

  /** Resolves when no attempt is under way. */
  async atRest(): Promise<void> {
    if (this.#underWay.size === 0) return;
    await new Promise<void>((resolve) => (this.#ended = resolve));
  }

  /** Gives everything back that is free. */
  async giveAllBack(): Promise<void> {
    clearTimeout(this.#timer);
    while (this.#working) await new Promise((resolve) => setImmediate(resolve));
    this.#book.giveAllBack();
    if (!this.#fenced) await this.#giveBack();
  }

  /** Writes a record of an attempt, after its hold's where that is not written, into the room that is reserved for it. */
  #append(held: UnderWay, record: Uint8Array): void {
    const records = held.record ? [held.record, record] : [record];
    held.record = undefined;
    let bytes = 0;
    for (const { byteLength } of records) bytes += byteLength;
    const drawn = Math.min(bytes, held.roomBytes);
    held.roomBytes -= drawn;
    this.#options.spool.append(records, drawn);
  }

  #held(attempt: string): UnderWay {
    const held = this.#underWay.get(attempt);
    if (held) return held;
    throw new TypeError(`Attempt ${attempt} holds nothing.`);
  }

  /** Calls that need the same scopes share one statement. */
  async #learnAll(scopes: readonly string[]): Promise<void> {
    const fresh = scopes.filter((scope) => !this.#learning.has(scope));
    if (fresh.length > 0) {
      const learning = this.#learn(fresh).finally(() => {
        for (const scope of fresh) this.#learning.delete(scope);
      });
      for (const scope of fresh) this.#learning.set(scope, learning);
    }
    await Promise.all(scopes.map((scope) => this.#learning.get(scope)));
  }

  /** Asks which budgets scopes have. A change that is heard meanwhile makes the answer doubtful, and it is asked again. */
  async #learn(scopes: readonly string[]): Promise<void> {
    for (const scope of scopes) if (!this.#heard.has(scope)) this.#heard.set(scope, 0);
    try {
      const { budgets, asOf } = await this.#options.leases.budgetsOf(scopes);
      for (const scope of scopes) {
        if (this.#scopes.isKnown(scope) || (this.#heard.get(scope) ?? 0) > asOf) continue;
        const own = budgets.filter((facts) => `${facts.scope.kind}:${facts.scope.id}` === scope);
        for (const facts of own) this.#book.learn(facts);
        this.#scopes.set(
          scope,
          own.map(({ budget }) => budget),
        );
      }
    } catch (error) {
      this.#failed(error);
      throw new LeaseNeededError((error as Error).message, { cause: error });
    } finally {
      for (const scope of scopes) this.#heard.delete(scope);
    }
  }

  /** Takes over changed budgets of known scopes; answers those that are new here. */
  async #adopt(scopes: readonly string[]): Promise<string[]> {
    if (scopes.length === 0) return [];
    const { budgets } = await this.#options.leases.budgetsOf(scopes);
    const fresh: string[] = [];
    const nowMs = this.#options.clock();
    for (const scope of scopes) {
      const own = budgets.filter((facts) => `${facts.scope.kind}:${facts.scope.id}` === scope);
      const before = this.#scopes.budgetsOf([scope]);
      for (const facts of own) {
        if (!this.#book.knows(facts.budget)) fresh.push(facts.budget);
        this.#book.budget(facts, nowMs);
      }
      const now = own.map(({ budget }) => budget);
      for (const budget of before) if (!now.includes(budget)) this.#forget(budget, nowMs);
      this.#scopes.set(scope, now);
    }
    this.#step();
    return fresh;
  }

  /** A budget was removed. */
  #forget(budget: string, nowMs: number): void {
    this.#book.forget(budget, nowMs);
    this.#scopes.removed(budget);
  }

  #gaveUp(attempt: string): void {
    const asked = this.#asked.get(attempt);
    if (!asked) return;
    this.#book.abandon(attempt, this.#options.clock());
    this.#answer(attempt)?.reject(asked.request.signal.reason);
    this.#notHeld(asked);
    this.#step();
  }

  #answer(attempt: string): Asked | undefined {
    const asked = this.#asked.get(attempt);
    this.#asked.delete(attempt);
    asked?.request.signal.removeEventListener("abort", asked.onAbort);
    return asked;
  }

  #notHeld({ scopes }: Asked): void {
    this.#scopes.release(scopes);
    this.#options.spool.release(attemptSpoolBytes);
  }

  /** Hands out what the book has decided, and sees to its errands with the database. */
  #step(): void {
    this.#decided();
    if ((this.#book.hasErrands || this.#back.length > 0) && !this.#working && !this.#fenced) void this.#errands();
  }

  #decided(): void {
    for (const decision of this.#book.decisions()) this.#handOut(decision);
  }

  #handOut(decision: Decision): void {
    const { attempt } = decision;
    if (decision.type === "extended") return this.#extended(this.#underWay.get(attempt), decision);
    if (decision.type === "joined") return this.#joined(this.#underWay.get(attempt), decision.shares);
    if (decision.type === "cut") return this.#underWay.get(attempt)?.cut(decision.by);
    const asked = this.#answer(attempt);
    if (!asked) return;
    if (decision.type === "held") return this.#admitted(asked, decision);
    this.#notHeld(asked);
    if (decision.type === "unavailable")
      asked.reject(new LeaseNeededError("The money must be leased from the database."));
    else asked.resolve({ admitted: false, why: decision.why, refusedBy: decision.by, heldNano: decision.heldNano });
  }

  #admitted({ request, scopes, resolve }: Asked, decision: Extract<Decision, { type: "held" }>): void {
    const { amountNano, shares, tightest } = decision;
    const countedAtMs = this.#countedAt(shares);
    const roomBytes = attemptSpoolBytes;
    const held = new UnderWay(request, scopes, { amountNano, shares, countedAtMs, roomBytes });
    this.#underWay.set(request.attempt, held);
    held.record = encodeHold({ held: request, amountNano, coveredTokens: held.coveredTokens, shares, countedAtMs });
    // Most attempts are sent in the same turn of the event loop, and then both records are one write.
    setImmediate(() => this.#writeHold(held));
    resolve({
      admitted: true,
      outputTokens: held.coveredTokens,
      outputLimit: request.whole ? held.coveredTokens : request.outputTokens,
      amountNano,
      tightest,
    });
  }

  #writeHold(held: UnderWay): void {
    const { record } = held;
    if (!record) return;
    held.record = undefined;
    this.#append(held, record);
  }

  #extended(held: UnderWay | undefined, decision: Extract<Decision, { type: "extended" }>): void {
    if (!held) return;
    held.shares = decision.shares;
    if (decision.moved) held.countedAtMs = this.#countedAt(decision.shares);
    held.extended(decision.addedNano);
    this.#recordProgress(held);
  }

  /** What a crash must know of a hold that has changed. */
  #recordProgress(held: UnderWay): void {
    const { heldNano: amountNano, coveredTokens, seenTokens, shares, countedAtMs } = held;
    const { attempt } = held.request;
    this.#append(held, encodeExtend({ attempt, amountNano, coveredTokens, seenTokens, shares, countedAtMs }));
  }

  #joined(held: UnderWay | undefined, shares: readonly ShareName[]): void {
    if (!held) return;
    held.shares = shares;
    this.#recordProgress(held);
  }

  /** The present moment by the database's clock, within the periods of the shares. */
  #countedAt(shares: readonly HeldShare[]): number {
    let atMs = Math.floor(this.#options.leases.databaseTimeMs());
    for (const { periodEndsAtMs } of shares) atMs = Math.min(atMs, periodEndsAtMs - 1);
    for (const { periodStartsAtMs } of shares) atMs = Math.max(atMs, periodStartsAtMs);
    return atMs;
  }

  /** Gives back and asks, one statement after the other, while there is something to give or ask. */
  async #errands(): Promise<void> {
    this.#working = true;
    try {
      // What is decided in the same turn of the event loop shares the first statement.
      await Promise.resolve();
      for (;;) {
        const gave = await this.#giveBack();
        const asks = this.#book.asks(this.#options.clock());
        if (asks.length > 0) await this.#ask(asks);
        else if (!gave) break;
        this.#decided();
      }
    } catch (error) {
      this.#failed(error);
    } finally {
      this.#working = false;
      this.#decided();
      this.#again();
    }
  }

  /** What waits is asked for again after a pause. */
  #again(): void {
    clearTimeout(this.#timer);
    if (this.#book.hasErrands || this.#back.length > 0)
      this.#timer = setTimeout(() => this.#step(), bookLimits.askAgainMs).unref();
  }

  /** What could not be given back is given back before anything is asked. */
  async #giveBack(): Promise<boolean> {
    const back = [...this.#back, ...this.#book.givenBack()];
    this.#back = [];
    if (back.length === 0) return false;
    try {
      await this.#options.leases.giveBack(back);
    } catch (error) {
      this.#back.unshift(...back);
      throw error;
    }
    return true;
  }

  async #ask(asks: Ask[]): Promise<void> {
    try {
      const answers = await this.#options.leases.take(asks);
      const nowMs = this.#options.clock();
      for (const { budget, state } of answers) if (state === "gone") this.#forget(budget, nowMs);
      this.#book.answered(asks, answers.flatMap(answerOf), nowMs);
    } catch (error) {
      this.#book.unanswered(asks, this.#options.clock());
      this.#failed(error);
    }
  }

  #failed(error: unknown): void {
    if (error instanceof EpochFencedError) this.fenced();
  }
}

const firstWindow = ({ outputTokens }: ProgressiveHold): number => Math.min(firstWindowTokens, outputTokens);

function answerOf({ ask, facts, grantedNano, state, leftNano, silentElsewhere, cut }: LeaseAnswer): AskAnswer[] {
  return facts ? [{ ask, facts, grantedNano, refused: state === "short", leftNano, silentElsewhere, cut }] : [];
}

/** Every scope that an attempt is counted against. */
function scopesOf({ organisation, project, key, agent, run }: ProgressiveHold): string[] {
  const scopes = [`organisation:${organisation}`, `project:${project}`, `key:${key}`];
  if (agent !== undefined) scopes.push(`agent:${agent}`);
  if (run !== undefined) scopes.push(`run:${run}`);
  return scopes;
}
