// Several processes' books on one naive model of the database, driven by one seed: calls of random sizes on random scopes, messages that
// are delayed, crashes with and without their spools, frozen processes that return after they were fenced, limits that change and periods
// that end. After every step the model checks what must never be wrong; at the end everything must come to rest.
//
// Used by book.test.ts. The model keeps its sums in one place and in the plainest way: it is what the book and the database are compared with.
import type { Scope } from "../types.ts";
import { Book } from "./book.ts";
import type { Ask, AskAnswer, BudgetFacts, Decision, GivenBack, ShareName } from "./types.ts";

interface Period {
  spentNano: bigint;
  lostNano: bigint;
  /** By process. */
  out: Map<number, bigint>;
}

interface ModelBudget {
  budget: string;
  scope: Scope;
  limitNano: bigint;
  /** Undefined: one period for ever. */
  periodMs: number | undefined;
  period: string;
  periods: Map<string, Period>;
  recalled: Set<number>;
  /** When the youngest hold of a process began, where all of its holds stood still at its last ask. */
  stuck: Map<number, number>;
}

/** The database, as naively as it can be written. */
export class NaiveCentral {
  readonly budgets = new Map<string, ModelBudget>();
  nowMs = 0;
  live = new Set<number>();

  add(budget: string, scope: Scope, limitNano: bigint, periodMs?: number): void {
    const period = periodMs === undefined ? "0" : String(Math.floor(this.nowMs / periodMs));
    this.budgets.set(budget, {
      budget,
      scope,
      limitNano,
      periodMs,
      period,
      periods: new Map([[period, newPeriod()]]),
      recalled: new Set(),
      stuck: new Map(),
    });
  }

  periodOf(of: ModelBudget): Period {
    if (of.periodMs !== undefined) of.period = String(Math.floor(this.nowMs / of.periodMs));
    let period = of.periods.get(of.period);
    if (!period) of.periods.set(of.period, (period = newPeriod()));
    return period;
  }

  facts(of: ModelBudget, process: number, clockMs: number): BudgetFacts {
    const period = this.periodOf(of);
    const own = period.out.get(process) ?? 0n;
    const end = of.periodMs === undefined ? Infinity : (Number(of.period) + 1) * of.periodMs - this.nowMs + clockMs;
    return {
      budget: of.budget,
      scope: of.scope,
      currency: "USD",
      limitNano: of.limitNano,
      period: of.period,
      periodEndMs: end,
      spentNano: period.spentNano,
      lostNano: period.lostNano,
      outNano: own,
      elsewhereNano: sum(period.out.values()) - own,
    };
  }

  take(process: number, asks: readonly Ask[], clockMs: number): AskAnswer[] {
    return asks.flatMap(({ ask, parts }) => {
      const tight = parts.filter((part) => this.#left(part.budget) < part.leastNano);
      return parts.map((part) => {
        const of = this.budgets.get(part.budget)!;
        const period = this.periodOf(of);
        if (part.stuckYoungestMs === undefined) of.stuck.delete(process);
        else of.stuck.set(process, part.stuckYoungestMs);
        const left = this.#left(part.budget);
        const share = left / BigInt(2 * this.live.size);
        const refused = tight.includes(part);
        const granted = tight.length > 0 ? 0n : max(min(part.needNano, left), min(part.wantNano, share));
        if (granted > 0n) period.out.set(process, (period.out.get(process) ?? 0n) + granted);
        if (refused) for (const other of period.out.keys()) if (other !== process) of.recalled.add(other);
        return {
          ask,
          facts: this.facts(of, process, clockMs),
          grantedNano: granted,
          refused,
          leftNano: this.#left(part.budget),
          silentElsewhere: false,
          cut: refused && this.#youngestIs(of, period, process),
        };
      });
    });
  }

  /** Everything that holds the budget stands still, and this process has the youngest hold. */
  #youngestIs({ stuck }: ModelBudget, period: Period, process: number): boolean {
    const holding = [...period.out].flatMap(([id, out]) => (out > 0n && this.live.has(id) ? [id] : []));
    if (!stuck.has(process) || holding.some((id) => !stuck.has(id))) return false;
    return holding.every((id) => stuck.get(id)! <= stuck.get(process)!);
  }

  giveBack(process: number, items: readonly GivenBack[]): void {
    for (const { budget, period, amountNano } of items) {
      const at = this.budgets.get(budget)!.periods.get(period)!;
      at.out.set(process, at.out.get(process)! - amountNano);
    }
  }

  /** A settlement is posted: the lease becomes spent money. Of a fenced process it draws on what was lost. */
  post(process: number, shares: readonly ShareName[], amountNano: bigint): void {
    for (const { budget, period } of shares) {
      const at = this.budgets.get(budget)!.periods.get(period)!;
      at.spentNano += amountNano;
      if (this.live.has(process)) at.out.set(process, (at.out.get(process) ?? 0n) - amountNano);
      else at.lostNano -= amountNano;
    }
  }

  /** The process is taken for dead: its leases are lost. */
  fence(process: number): void {
    this.live.delete(process);
    for (const { periods } of this.budgets.values())
      for (const period of periods.values()) {
        period.lostNano += period.out.get(process) ?? 0n;
        period.out.delete(process);
      }
  }

  /** Its spool was replayed and its process is gone: its leases come back. */
  close(process: number): void {
    this.live.delete(process);
    for (const { periods } of this.budgets.values()) for (const period of periods.values()) period.out.delete(process);
  }

  #left(budget: string): bigint {
    const of = this.budgets.get(budget)!;
    const period = this.periodOf(of);
    return of.limitNano - period.spentNano - period.lostNano - sum(period.out.values());
  }
}

interface RunningCall {
  attempt: string;
  heldNano: bigint;
  shares: ShareName[];
  usedNano: bigint;
  /** What it will use when nothing stops it. */
  finalNano: bigint;
  waits: boolean;
  cut: boolean;
}

/** One process: its book, its calls, and its spool of settlements that are not posted yet. */
export class SimulatedProcess {
  readonly id: number;
  readonly book: Book;
  readonly calls = new Map<string, RunningCall>();
  readonly waiting = new Map<string, { finalNano: bigint; leastNano: bigint }>();
  spool: { shares: ShareName[]; amountNano: bigint; attempt: string }[] = [];
  frozenUntilMs = -1;
  /** A statement whose answer is under way. */
  asked: { asks: Ask[]; atMs: number } | undefined;
  refused: { why: string; budget: string }[] = [];

  constructor(id: number, book: Book) {
    this.id = id;
    this.book = book;
  }

  /** Takes what the book has decided into the calls; answers the decisions. */
  drain(): Decision[] {
    const decisions = this.book.decisions();
    for (const decision of decisions) this.#apply(decision);
    return decisions;
  }

  #apply(decision: Decision): void {
    const call = this.calls.get(decision.attempt);
    switch (decision.type) {
      case "held": {
        const { finalNano } = this.waiting.get(decision.attempt)!;
        this.waiting.delete(decision.attempt);
        const { attempt, amountNano: heldNano, shares } = decision;
        this.calls.set(attempt, { attempt, heldNano, shares, usedNano: 0n, finalNano, waits: false, cut: false });
        return;
      }
      case "extended":
        if (!call) return;
        call.heldNano += decision.addedNano;
        call.shares = decision.shares;
        call.waits = false;
        return;
      case "cut":
        if (!call) return;
        call.cut = true;
        call.waits = false;
        return;
      case "refused":
        this.waiting.delete(decision.attempt);
        this.refused.push({ why: decision.why, budget: decision.by.budget });
        return;
      case "unavailable":
        this.waiting.delete(decision.attempt);
    }
  }

  /** Settles a call for what it used. */
  settle(call: RunningCall, nowMs: number): void {
    this.calls.delete(call.attempt);
    // The period of the settlement is the period of its shares at this moment.
    this.spool.push({ shares: call.shares, amountNano: call.usedNano, attempt: call.attempt });
    this.book.settle(call.attempt, call.usedNano, nowMs);
  }
}

const newPeriod = (): Period => ({ spentNano: 0n, lostNano: 0n, out: new Map() });

export function sum(values: Iterable<bigint>): bigint {
  let total = 0n;
  for (const value of values) total += value;
  return total;
}

const min = (a: bigint, b: bigint): bigint => (a < b ? a : b);
const max = (a: bigint, b: bigint): bigint => (a > b ? a : b);
