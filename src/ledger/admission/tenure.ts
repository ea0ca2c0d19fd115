// One tenure: the work of this process under one epoch. It joins the book (who holds what, in memory), the spool (what was decided, on
// this machine), the leases (money from Postgres) and the scopes' budgets as they are known here.
//
// A tenure that was fenced decides nothing new. Its calls under way go on with what they hold, and their settlements draw on the amount
// that was booked to suspense. The admission begins another tenure for new calls.
import { recordBytes } from "../../store/index.ts";
import { Book } from "../book/book.ts";
import type { BookLimits, Decision, GivenBack, HeldShare, ShareName } from "../book/types.ts";
import { billable, unanswered } from "../claims.ts";
import { EpochFencedError, type Leases } from "../leases/leases.ts";
import { bookLimits, firstWindowTokens, scopesKnownMost, spoolRoom } from "../limits.ts";
import { encodeCall, encodeHold, encodeSent, encodeSettle } from "../posting/encode.ts";
import type { AttemptSettlement, Extended, HoldRequest, HoldResult, Settlement, SpoolPosition } from "../types.ts";
import { Acknowledging } from "./acknowledging.ts";
import { Errands } from "./errands.ts";
import { priceUpTo, UnderWay } from "./heldAttempt.ts";
import { Learning } from "./learning.ts";
import { Rooms, type AttemptRoom, type RoomSpool } from "./room.ts";
import { Scopes } from "./scopes.ts";

/** What a tenure needs of a spool. */
interface TenureSpool extends RoomSpool {
  position(): SpoolPosition;
}

interface TenureOptions {
  leases: Pick<Leases, "take" | "giveBack" | "budgetsOf" | "acknowledge" | "databaseTimeMs">;
  spool: TenureSpool;
  /** Runs work while no batch of this spool is being posted. */
  exclusively(work: () => Promise<void>): Promise<void>;
  /** Resolves when everything that is written by now is posted, however long that takes. */
  posted(): Promise<void>;
  /** The number of the last posted record of each spool. */
  numbers(): Record<string, number>;
  onFenced(): void;
  clock: () => number;
  bookLimits?: BookLimits;
}

/** A hold that is not decided. */
interface Asked {
  request: HoldRequest;
  scopes: readonly string[];
  room: AttemptRoom;
  resolve(result: HoldResult): void;
  reject(error: unknown): void;
  onAbort(): void;
  /** By the database's clock. */
  askedAtMs: number;
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
  readonly #learning: Learning;
  readonly #errands: Errands;
  readonly #acknowledging: Acknowledging;
  readonly #rooms: Rooms;
  readonly #asked = new Map<string, Asked>();
  readonly #underWay = new Map<string, UnderWay>();
  #fenced = false;
  #ended: (() => void) | undefined;

  constructor(options: TenureOptions) {
    this.#options = options;
    const { leases, clock, numbers } = options;
    this.#book = new Book(options.bookLimits ?? bookLimits);
    this.#rooms = new Rooms(options.spool);
    this.#acknowledging = new Acknowledging({ leases, book: this.#book, scopes: this.#scopes, numbers, clock });
    this.#learning = new Learning(leases, this.#book, this.#scopes);
    this.#errands = new Errands({
      leases,
      book: this.#book,
      clock,
      decided: () => this.#decided(),
      forget: (budget) => this.#forget(budget),
      failed: (error) => this.#failed(error),
    });
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
  async hold(request: HoldRequest): Promise<HoldResult> {
    const scopes = scopesOf(request);
    for (let unknown = this.#scopes.unknown(scopes); unknown.length > 0; unknown = this.#scopes.unknown(scopes))
      await this.#learn(unknown);
    request.signal.throwIfAborted();
    return new Promise((resolve, reject) => {
      const onAbort = () => this.#gaveUp(request.attempt);
      request.signal.addEventListener("abort", onAbort, { once: true });
      this.#ask({ request, scopes, resolve, reject, onAbort });
      this.#step();
    });
  }

  /** As `hold`, where it can be decided at once; undefined where it cannot, and then nothing is held. */
  holdNow(request: HoldRequest): HoldResult | undefined {
    const scopes = scopesOf(request);
    if (this.#scopes.unknown(scopes).length > 0) return undefined;
    request.signal.throwIfAborted();
    let decided: HoldResult | undefined;
    const nothing = () => {};
    this.#ask({ request, scopes, resolve: (result) => (decided = result), reject: nothing, onAbort: nothing });
    this.#step();
    if (!decided) this.#gaveUp(request.attempt);
    return decided;
  }

  #ask(asked: Omit<Asked, "room" | "askedAtMs">): void {
    const { request, scopes } = asked;
    const room = this.#rooms.begin();
    this.#scopes.use(scopes);
    this.#asked.set(request.attempt, { ...asked, room, askedAtMs: this.#options.leases.databaseTimeMs() });
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
  }

  /** Resolves when the mark and the hold are written. Throws or rejects where they are not. */
  sent(attempt: string, engine: string): Promise<void> {
    return this.#held(attempt).room.sent(encodeSent({ attempt, engine }));
  }

  /** Rejects with `storage_full` where its record has no room: then it is not asked for. */
  async extend(attempt: string, outputTokens: number, seenOutputTokens: number, stands: boolean): Promise<Extended> {
    const held = this.#held(attempt);
    held.seenTokens = Math.max(held.seenTokens, seenOutputTokens);
    const until = Math.min(outputTokens, held.request.outputTokens);
    const { coveredTokens, cutBy } = held;
    if (coveredTokens >= until || cutBy) return { outputTokens: coveredTokens, cutBy };
    held.room.ensure(spoolRoom.extensionBytes);
    const extended = new Promise<Extended>((resolve, reject) =>
      held.extensions.push({ outputTokens: until, resolve, reject }),
    );
    const leastNano = priceUpTo(held.request, coveredTokens + 1) - held.heldNano;
    const needNano = priceUpTo(held.request, until) - held.heldNano;
    this.#book.extend({ attempt, leastNano, needNano, stuck: stands }, this.#options.clock());
    this.#step();
    return extended;
  }

  /** As `AttemptLedger` says. The record is written before anything of the hold is free. */
  recount(attempt: string, promptTokens: number): number {
    const held = this.#held(attempt);
    if (promptTokens >= held.request.promptTokens) return held.coveredTokens;
    const freedNano = held.recount(promptTokens);
    if (freedNano !== undefined) {
      this.#book.lower(attempt, freedNano, this.#options.clock());
      this.#step();
    }
    return held.coveredTokens;
  }

  /** Throws where the record cannot be written: the attempt holds on then, and may be settled again. */
  settle(request: AttemptSettlement): Settlement {
    const held = this.#held(request.attempt);
    const { rateCard: card, promptTokens, units } = held.request;
    const most = { promptTokens, outputTokens: held.coveredTokens, ...(units && { units }) };
    const billed = request.unanswered
      ? unanswered(request.tokens, card)
      : billable(request.tokens, most, held.heldNano, card);
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
    held.room.settle(settled);
    this.#underWay.delete(request.attempt);
    this.#rooms.settled(held.request.call, held.room);
    this.#scopes.release(held.scopes);
    this.#acknowledging.settled(this.#options.spool.position(), shares, settlement.amountNano);
    this.#book.settle(request.attempt, settlement.amountNano, this.#options.clock());
    this.#step();
    if (this.#underWay.size === 0) this.#ended?.();
    return settlement;
  }

  /** Resolves when the record is written. Throws where it has no place in the spool. */
  recordCall(call: string, row: unknown): Promise<void> {
    return this.#rooms.record(call, encodeCall({ call, row }));
  }

  /** By the database's clock: every attempt that counts before this moment is settled. */
  openSinceMs(): number {
    let oldest = this.#options.leases.databaseTimeMs();
    for (const { countedAtMs } of this.#underWay.values()) if (countedAtMs < oldest) oldest = countedAtMs;
    // A call that waits may be granted money of the period in which it was asked for, and counts there.
    for (const { askedAtMs } of this.#asked.values()) if (askedAtMs < oldest) oldest = askedAtMs;
    return oldest;
  }

  /** Budgets were set, changed or removed. Resolves when this process works by them and the database knows. */
  async changed(changes: readonly BudgetChange[]): Promise<void> {
    const scopes = new Set(changes.map(({ scope }) => scope));
    for (const { scope, seq } of changes) this.#learning.heard(scope, seq);
    const known = [...scopes].filter((scope) => this.#scopes.isKnown(scope));
    const gone = await this.#learning.adopt(known, this.#options.clock);
    for (const budget of gone) this.#forget(budget);
    this.#step();
    const last = changes.at(-1)!.seq;
    // What was settled before names no share of a new budget: it is counted there once it is posted, before the change is acknowledged.
    await this.#options.posted();
    await this.#options.exclusively(() => this.#acknowledging.acknowledge(last));
    this.#step();
  }

  /** The database asks for money back. An answer is owed even where nothing is free. */
  recalled(shares: readonly GivenBack[]): void {
    for (const { budget, period, amountNano } of shares) {
      this.#book.recalled(budget, amountNano, this.#options.clock());
      this.#errands.owe(budget, period);
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
    this.#errands.stop();
    try {
      this.#book.end(this.#options.clock());
      this.#decided();
    } finally {
      this.#options.onFenced();
    }
  }

  /** Whether an attempt is under way, or could not be settled. */
  get hasOpen(): boolean {
    return this.#underWay.size > 0;
  }

  /** Resolves when no attempt is under way. */
  async atRest(): Promise<void> {
    if (this.#underWay.size === 0) return;
    await new Promise<void>((resolve) => (this.#ended = resolve));
  }

  /** Gives everything back that is free. */
  async giveAllBack(): Promise<void> {
    await this.#errands.end();
  }

  #held(attempt: string): UnderWay {
    const held = this.#underWay.get(attempt);
    if (held) return held;
    throw new TypeError(`Attempt ${attempt} holds nothing.`);
  }

  /** A budget was removed. */
  #forget(budget: string): void {
    this.#book.forget(budget, this.#options.clock());
    this.#scopes.removed(budget);
  }

  async #learn(scopes: readonly string[]): Promise<void> {
    try {
      await this.#learning.learn(scopes);
    } catch (error) {
      this.#failed(error);
      throw new LeaseNeededError((error as Error).message, { cause: error });
    }
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

  #notHeld({ scopes, room }: Asked): void {
    this.#scopes.release(scopes);
    this.#rooms.end(room);
  }

  /** Hands out what the book has decided, and sees to its errands with the database. */
  #step(): void {
    this.#decided();
    this.#errands.begin();
  }

  /** Decisions leave the book together. So a record that cannot be written fails its own attempt, and the others are handed out. */
  #decided(): void {
    for (let all = this.#book.decisions(); all.length > 0; all = this.#book.decisions())
      for (const decision of all) this.#handOut(decision);
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

  #admitted(asked: Asked, decision: Extract<Decision, { type: "held" }>): void {
    const { request, scopes, room, resolve } = asked;
    const { amountNano, shares, tightest } = decision;
    const countedAtMs = this.#countedAt(shares);
    const held = new UnderWay(request, scopes, { amountNano, shares, countedAtMs, room });
    try {
      const record = encodeHold({ held: request, amountNano, coveredTokens: held.coveredTokens, shares, countedAtMs });
      room.ensure(recordBytes(record.byteLength) + spoolRoom.sentBytes + spoolRoom.extensionBytes);
      room.queue(record);
    } catch (error) {
      this.#book.settle(request.attempt, 0n, this.#options.clock());
      this.#notHeld(asked);
      return asked.reject(error);
    }
    this.#underWay.set(request.attempt, held);
    resolve({
      admitted: true,
      outputTokens: held.coveredTokens,
      outputLimit: request.whole ? held.coveredTokens : request.outputTokens,
      amountNano,
      tightest,
    });
  }

  #extended(held: UnderWay | undefined, decision: Extract<Decision, { type: "extended" }>): void {
    if (!held) return;
    held.shares = decision.shares;
    if (decision.moved) held.countedAtMs = this.#countedAt(decision.shares);
    held.extended(decision.addedNano);
    try {
      held.recordProgress();
    } catch (error) {
      return held.fail(error);
    }
    held.answer();
  }

  #joined(held: UnderWay | undefined, shares: readonly ShareName[]): void {
    if (!held) return;
    held.shares = shares;
    try {
      held.makeRoom();
      held.recordProgress();
    } catch {
      // The settlement names the new share too. After a crash the budget is charged all the same, because post_batch charges a budget that
      // a settlement's scopes have and that it does not name.
    }
  }

  /** The present moment by the database's clock, within the periods of the shares. */
  #countedAt(shares: readonly HeldShare[]): number {
    let atMs = Math.floor(this.#options.leases.databaseTimeMs());
    for (const { periodEndsAtMs } of shares) atMs = Math.min(atMs, periodEndsAtMs - 1);
    for (const { periodStartsAtMs } of shares) atMs = Math.max(atMs, periodStartsAtMs);
    return atMs;
  }

  #failed(error: unknown): void {
    if (error instanceof EpochFencedError) this.fenced();
  }
}

const firstWindow = ({ outputTokens }: HoldRequest): number => Math.min(firstWindowTokens, outputTokens);

/** Every scope that an attempt is counted against. */
function scopesOf({ organisation, project, key, agent, run }: HoldRequest): string[] {
  const scopes = [`organisation:${organisation}`, `project:${project}`, `key:${key}`];
  if (agent !== undefined) scopes.push(`agent:${agent}`);
  if (run !== undefined) scopes.push(`run:${run}`);
  return scopes;
}
