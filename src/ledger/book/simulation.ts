// Processes for simulations: each has a book, calls that use money as real ones do, and a spool of settlements that are not posted yet.
// They work on the naive model of the database (leases/model.ts), which is compared with Postgres by a test of its own.
import type { LeaseModel } from "../leases/model.ts";
import { Book } from "./book.ts";
import type { Ask, AskAnswer, BookLimits, Decision, GivenBack, HeldShare, ShareName } from "./types.ts";

export const simulatedLimits: BookLimits = {
  askAgainMs: 250,
  waitMostMs: 300_000,
  silenceMostMs: 10_000,
  idleMs: 5_000,
  asksMost: 256,
};

interface RunningCall {
  attempt: string;
  scopes: readonly string[];
  heldNano: bigint;
  shares: readonly ShareName[];
  countedAtMs: number;
  usedNano: bigint;
  /** What it will use when nothing stops it. */
  finalNano: bigint;
  waits: boolean;
  cut: boolean;
}

/** A settlement in the spool, as a poster reads it. */
interface SpooledSettlement {
  attempt: string;
  scopes: readonly string[];
  amountNano: bigint;
  countedAtMs: number;
  leases: readonly ShareName[];
}

/** Changes that the process works by, and has not acknowledged to the end. */
interface AdoptedChange {
  seq: number;
  /** Settlements from before, which are posted first. */
  unposted: number;
  /** What the acknowledgement was answered, by budget. */
  leased: ReadonlyMap<string, bigint> | undefined;
}

export class SimulatedProcess {
  readonly epoch: number;
  readonly book = new Book(simulatedLimits);
  readonly calls = new Map<string, RunningCall>();
  readonly waiting = new Map<string, { finalNano: bigint; leastNano: bigint; scopes: readonly string[] }>();
  spool: SpooledSettlement[] = [];
  frozenUntilMs = -1;
  /** A statement whose answer is under way. */
  asked: Ask[] | undefined;
  readonly #model: LeaseModel;
  /** Changes of budgets up to here are known. */
  #seen: number;
  #change: AdoptedChange | undefined;
  readonly #budgets = new Map<string, string>();

  /** `scopes`: all that calls may belong to. */
  constructor(model: LeaseModel, scopes: readonly string[]) {
    this.#model = model;
    this.epoch = model.begin();
    const { budgets, asOf } = model.budgetsOf(this.epoch, scopes);
    this.#seen = asOf;
    for (const facts of budgets) {
      this.book.learn(facts);
      this.#budgets.set(`${facts.scope.kind}:${facts.scope.id}`, facts.budget);
    }
  }

  hold(call: {
    attempt: string;
    scopes: readonly string[];
    finalNano: bigint;
    leastNano: bigint;
    needNano: bigint;
  }): void {
    const { attempt, scopes, finalNano, leastNano, needNano } = call;
    this.waiting.set(attempt, { finalNano, leastNano, scopes });
    const budgets = scopes.flatMap((scope) => this.#budgets.get(scope) ?? []);
    this.book.hold({ attempt, scopes, currency: "USD", budgets, leastNano, needNano }, this.#model.nowMs);
  }

  /** Takes what the book has decided into the calls; answers the decisions. */
  drain(): Decision[] {
    const decisions = this.book.decisions();
    for (const decision of decisions) this.#apply(decision);
    return decisions;
  }

  /** A call is found to need less than it holds. */
  lower(call: RunningCall, byNano: bigint): void {
    call.heldNano -= byNano;
    this.book.lower(call.attempt, byNano, this.#model.nowMs);
  }

  /** Settles a call for what it used. */
  settle(call: RunningCall): void {
    this.calls.delete(call.attempt);
    const { attempt, scopes, usedNano: amountNano, countedAtMs, shares: leases } = call;
    this.spool.push({ attempt, scopes, amountNano, countedAtMs, leases });
    this.book.settle(attempt, amountNano, this.#model.nowMs);
  }

  /** The settlements of calls that a crash ended, for what they had used. */
  crashSettlements(): SpooledSettlement[] {
    return [...this.calls.values()].map(({ attempt, scopes, usedNano: amountNano, countedAtMs, shares: leases }) => ({
      attempt,
      scopes,
      amountNano,
      countedAtMs,
      leases,
    }));
  }

  /** Gives back, answers recalls, and sends what the book asks. */
  send(): void {
    const back: GivenBack[] = this.book.givenBack();
    for (const { budget, period, amountNano } of this.#model.recallsOf(this.epoch)) {
      this.book.recalled(budget, amountNano, this.#model.nowMs);
      back.push({ budget, period, amountNano: 0n }, ...this.book.givenBack());
    }
    if (back.length > 0) this.#model.giveBack(this.epoch, back);
    const asks = this.book.asks(this.#model.nowMs);
    if (asks.length > 0) this.asked = asks;
  }

  /** Delivers the answer to what was sent. */
  receive(): AskAnswer[] {
    const asks = this.asked!;
    const answers = this.#model.take(this.epoch, asks);
    this.asked = undefined;
    for (const { budget, state } of answers) if (state === "gone") this.#forget(budget);
    const told = answers.flatMap(({ facts, state, ...answer }) =>
      facts ? [{ ...answer, facts, refused: state === "short" }] : [],
    );
    this.book.answered(asks, told, this.#model.nowMs);
    return told;
  }

  #forget(budget: string): void {
    this.book.forget(budget, this.#model.nowMs);
    for (const [scope, of] of this.#budgets) if (of === budget) this.#budgets.delete(scope);
  }

  /** Another process posts what a dead one has left. */
  replay(): void {
    this.#change = undefined;
    this.post(this.spool.length);
  }

  post(most: number): void {
    // Nothing is posted between an acknowledgement and its answer.
    if (this.#change?.leased) return;
    const posted = this.spool.splice(0, most);
    this.#model.post(this.epoch, posted);
    if (this.#change) this.#change.unposted = Math.max(0, this.#change.unposted - posted.length);
  }

  /**
   * Works by the changes of budgets since the last time, as a tenure does, a step a time: adopt, post what was settled before, acknowledge,
   * read what was leased. `fails` says where the database is not reached, or its answer is lost; then all is done again.
   */
  hearChanges(scopes: readonly string[], fails: () => boolean): void {
    const change = this.#change;
    if (!change) this.#adopt(scopes);
    else if (change.leased) this.#readLeased(scopes, fails);
    else if (change.unposted === 0) this.#acknowledge(change, fails);
  }

  #adopt(scopes: readonly string[]): void {
    const changes = this.#model.changesAfter(this.#seen);
    if (changes.length === 0) return;
    const { budgets } = this.#model.budgetsOf(this.epoch, scopes);
    for (const facts of budgets) this.book.budget(facts, this.#model.nowMs);
    this.drain();
    const now = new Map(budgets.map((facts) => [`${facts.scope.kind}:${facts.scope.id}`, facts.budget]));
    for (const [scope, budget] of this.#budgets) if (now.get(scope) !== budget) this.#forget(budget);
    for (const [scope, budget] of now) this.#budgets.set(scope, budget);
    this.#change = { seq: changes.at(-1)!.seq, unposted: this.spool.length, leased: undefined };
  }

  #acknowledge(change: AdoptedChange, fails: () => boolean): void {
    const held = this.book.unacknowledged().map(({ budget, period, amountNano }) => {
      return { budget, period, amountNano: amountNano + this.#settledOf(budget) };
    });
    if (fails()) return void (this.#change = undefined);
    const leased = this.#model.acknowledge(this.epoch, change.seq, held);
    if (fails()) return void (this.#change = undefined);
    change.leased = new Map(leased.map(({ budget, amountNano }) => [budget, amountNano]));
  }

  #readLeased(scopes: readonly string[], fails: () => boolean): void {
    const { seq, leased } = this.#change!;
    this.#change = undefined;
    if (fails()) return;
    for (const facts of this.#model.budgetsOf(this.epoch, scopes).budgets) {
      const leasedNano = leased!.get(facts.budget);
      const settledNano = this.#settledOf(facts.budget);
      if (leasedNano !== undefined) this.book.acknowledged(leasedNano, settledNano, facts, this.#model.nowMs);
    }
    this.#seen = seq;
  }

  /** What is settled of a budget and not posted. */
  #settledOf(budget: string): bigint {
    const named = this.spool.filter(({ leases }) => leases.some((share) => share.budget === budget));
    return sum(named.map(({ amountNano }) => amountNano));
  }

  /** What this process has of a budget's present period: free, held, and settled but not posted. */
  has(budget: string): bigint {
    const standing = this.book.standing(budget);
    if (!standing) return 0n;
    const named = this.spool.filter(({ leases }) =>
      leases.some((share) => share.budget === budget && share.period === standing.period),
    );
    return standing.freeNano + standing.heldNano + sum(named.map(({ amountNano }) => amountNano));
  }

  /** The present moment, within the periods of the shares. */
  #countedAt(shares: readonly HeldShare[]): number {
    const atMs = Math.min(this.#model.nowMs, ...shares.map(({ periodEndsAtMs }) => periodEndsAtMs - 1));
    for (const { budget, period, periodStartsAtMs } of shares)
      if (atMs < periodStartsAtMs && atMs < this.#model.nowMs)
        throw new Error(`A hold of the period ${period} of ${budget} also counts in a period that ended before.`);
    return atMs;
  }

  #apply(decision: Decision): void {
    const { attempt } = decision;
    const call = this.calls.get(attempt);
    switch (decision.type) {
      case "held": {
        const { finalNano, scopes } = this.waiting.get(attempt)!;
        this.waiting.delete(attempt);
        const { amountNano: heldNano, shares } = decision;
        const countedAtMs = this.#countedAt(shares);
        const state = { usedNano: 0n, finalNano, waits: false, cut: false };
        this.calls.set(attempt, { attempt, scopes, heldNano, shares, countedAtMs, ...state });
        return;
      }
      case "extended":
        if (!call) return;
        call.heldNano += decision.addedNano;
        call.shares = decision.shares;
        if (decision.moved) call.countedAtMs = this.#countedAt(decision.shares);
        call.waits = false;
        return;
      case "joined":
        if (call) call.shares = decision.shares;
        return;
      case "cut":
        if (!call) return;
        call.cut = true;
        call.waits = false;
        return;
      default:
        this.waiting.delete(attempt);
    }
  }
}

export function sum(values: Iterable<bigint>): bigint {
  let total = 0n;
  for (const value of values) total += value;
  return total;
}

/** mulberry32: one seed, one sequence of numbers from 0 to 1. */
export function randomOf(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let word = Math.imul(state ^ (state >>> 15), state | 1);
    word ^= word + Math.imul(word ^ (word >>> 7), word | 61);
    return ((word ^ (word >>> 14)) >>> 0) / 4_294_967_296;
  };
}
