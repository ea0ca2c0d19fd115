// What a process asks the database for, and what it makes of the answers. An ask names every budget that lacks money for one waiter, so a
// grant covers them all or none.
import { before, isStuck, needOf } from "./holders.ts";
import type { Purse, Waiter } from "./purse.ts";
import type { Queue } from "./queue.ts";
import type { Ask, AskAnswer, BookLimits } from "./types.ts";

export class Asks {
  readonly #queue: Queue;
  readonly #purses: ReadonlyMap<string, Purse>;
  readonly #limits: BookLimits;
  /** Needs of the asks that the database has not answered, by ask and budget. */
  readonly #asked = new Map<string, { waiter: Waiter; needs: Map<string, bigint> }>();
  #count = 0;

  constructor(queue: Queue, purses: ReadonlyMap<string, Purse>, limits: BookLimits) {
    this.#queue = queue;
    this.#purses = purses;
    this.#limits = limits;
  }

  /** Asks for one statement of the database, in the order in which waiters are served. Their answers come by `answered`. */
  next(nowMs: number): Ask[] {
    const asks: Ask[] = [];
    const supplied = new Set<Purse>();
    for (const waiter of [...this.#queue.waiters.values()].toSorted(before)) {
      if (asks.length === this.#limits.asksMost) break;
      if (waiter.asking) continue;
      if (waiter.purses.some(({ isAcknowledged }) => !isAcknowledged)) continue;
      const lacking = waiter.purses.filter((purse) => this.#queue.lacks(waiter, purse));
      if (lacking.length === 0 || lacking.some((purse) => purse.askAfterMs > nowMs)) continue;
      asks.push(this.#askOf(waiter, lacking, supplied));
    }
    return asks;
  }

  #askOf(waiter: Waiter, lacking: Purse[], supplied: Set<Purse>): Ask {
    const ask = String(++this.#count);
    const needs = new Map<string, bigint>();
    const parts = lacking.map((purse) => {
      const { leastNano, needNano } = needOf(waiter, purse);
      const free = this.#queue.freeFor(waiter, purse);
      const least = leastNano > free ? leastNano - free : 1n;
      const need = purse.fairNeed(needNano > free ? needNano - free : least);
      const want = supplied.has(purse) ? need : purse.supplyFor(need);
      supplied.add(purse);
      needs.set(purse.budget, need);
      return {
        budget: purse.budget,
        leastNano: least,
        needNano: need > least ? need : least,
        wantNano: want,
        stuckYoungestMs: stuckYoungest(purse),
      };
    });
    waiter.asking = true;
    this.#asked.set(ask, { waiter, needs });
    return { ask, parts };
  }

  /** The database's answers to one statement. A part whose budget is gone has no answer. */
  answered(asks: readonly Ask[], answers: readonly AskAnswer[], nowMs: number): void {
    for (const { ask } of asks) {
      const asked = this.#asked.get(ask);
      if (asked) asked.waiter.asking = false;
    }
    const touched = new Set<Purse>();
    const refused: { waiter: Waiter; purse: Purse; cut: boolean }[] = [];
    for (const answer of answers) {
      const asked = this.#asked.get(answer.ask);
      const purse = this.#purses.get(answer.facts.budget);
      if (!asked || !purse) continue;
      this.#toldOf(purse, answer, asked.needs.get(purse.budget) ?? 0n, nowMs);
      touched.add(purse);
      if (!answer.refused) continue;
      purse.askAfterMs = nowMs + this.#limits.askAgainMs;
      refused.push({ waiter: asked.waiter, purse, cut: answer.cut });
    }
    for (const { ask } of asks) this.#asked.delete(ask);
    this.#queue.pumpAll([...touched], nowMs);
    for (const { waiter, purse, cut } of refused) this.#queue.decide(waiter, purse, cut, nowMs);
    // What waited behind a refused one has its turn.
    if (refused.length > 0) this.#queue.pumpAll([...touched], nowMs);
  }

  /** The database did not answer: holds that need it are refused, and extensions wait until it does or others give back here. */
  unanswered(asks: readonly Ask[], nowMs: number): void {
    for (const { ask } of asks) {
      const asked = this.#asked.get(ask);
      if (!asked) continue;
      this.#asked.delete(ask);
      const { waiter } = asked;
      waiter.asking = false;
      if (this.#queue.waiters.get(waiter.attempt) !== waiter) continue;
      if (waiter.holder) for (const purse of waiter.purses) purse.askAfterMs = nowMs + this.#limits.askAgainMs;
      else this.#queue.unavailable(waiter);
    }
    this.#queue.pumpLeft(nowMs);
  }

  #toldOf(purse: Purse, answer: AskAnswer, needNano: bigint, nowMs: number): void {
    const { period } = purse;
    const over = purse.told(answer, needNano, nowMs);
    // What went back since the database was asked is still in its figures.
    for (const back of this.#queue.givenBack)
      if (back.budget === purse.budget && back.period === purse.period) purse.knownNano -= back.amountNano;
    if (over > 0n) this.#queue.givenBack.push({ budget: purse.budget, period, amountNano: over });
  }
}

/** When the youngest holder began, where all holders stand still; else undefined. */
function stuckYoungest(purse: Purse): number | undefined {
  let youngest: number | undefined;
  for (const holder of purse.holders) {
    if (!isStuck(holder)) return undefined;
    youngest = Math.max(youngest ?? -Infinity, holder.beganMs);
  }
  return youngest;
}
