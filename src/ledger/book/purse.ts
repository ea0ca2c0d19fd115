// One budget as one process sees it: what the process has leased of its present period, and what of that is free.
//
//   leased (out)  =  free + held + settled and not posted yet
//   known         =  spent by all + leased by this process: posting moves money within it, so it changes with grants and returns only
//   gone          =  known - free - held: what no settlement can bring back
//   left          =  limit - lost - elsewhere - known + free: what a call could be given, here or by the database
import type { AskAnswer, BookHold, BudgetCut, BudgetFacts, PurseView } from "./types.ts";

/** The lease doubles with every further ask, from this many times the need. */
const firstSupply = 4n;
/** Fewer needs than this left in a budget: it is asked for exactly what is needed. */
const exactBelow = 4n;

export class Purse {
  readonly budget: string;
  facts: BudgetFacts;
  freeNano = 0n;
  /** Held in the present period; holds of the period before count there. */
  heldNano = 0n;
  knownNano: bigint;
  /**
   * False while work is under way that began without the budget, and whose lease the database does not know. Until then nothing is
   * granted here, asked for or given back, so that what the database has leased afterwards is known exactly.
   */
  isAcknowledged = true;
  /**
   * Such work may have begun before the budget counts: what it used comes back when it is posted, so only fresh figures say that money is
   * gone.
   */
  wasJoined = false;
  /** Its limit is lower than when its figures were told: everything that is free goes back, until the database has told new ones. */
  wasLowered = false;
  /** Near its end: what is here is shared out carefully, and the database is asked for exactly what is needed. */
  exact = false;
  /** Refused by the database: not to be asked before this time. */
  askAfterMs = -Infinity;
  /** Since when another process holds a lease and does not answer its recall. */
  silentSinceMs: number | undefined;
  /** The database asks for so much back. */
  owedNano = 0n;
  lastUseMs = -Infinity;
  readonly holders = new Set<Holder>();
  readonly waiting = new Set<Waiter>();
  #supplyNano = 0n;

  constructor(facts: BudgetFacts) {
    this.budget = facts.budget;
    this.facts = facts;
    this.knownNano = facts.spentNano + facts.outNano;
  }

  get period(): string {
    return this.facts.period;
  }

  /** What is leased, spent or lost beyond the limit, by the figures of the last answer. */
  get overNano(): bigint {
    const { limitNano, lostNano, elsewhereNano } = this.facts;
    return lostNano + elsewhereNano + this.knownNano - limitNano;
  }

  get leftNano(): bigint {
    const { limitNano, lostNano, elsewhereNano } = this.facts;
    const left = limitNano - lostNano - elsewhereNano - this.knownNano + this.freeNano;
    return left > 0n ? left : 0n;
  }

  /** Whether so much more can never be held, whatever the calls under way give back. `ownNano`: the asking hold's own share. */
  isGoneFor(moreNano: bigint, ownNano: bigint): boolean {
    const { limitNano, lostNano } = this.facts;
    return lostNano + this.knownNano - this.freeNano - this.heldNano + ownNano + moreNano > limitNano;
  }

  view(): PurseView {
    const { budget, scope, currency, limitNano } = this.facts;
    return { budget, scope, currency, limitNano, leftNano: this.leftNano };
  }

  /** Near the end a window is no larger than a holder's part of what is left, and of half of what other processes may give back. */
  fairNeed(needNano: bigint): bigint {
    if (!this.exact) return needNano;
    const fair = (this.leftNano + this.facts.elsewhereNano / 2n) / BigInt(this.holders.size + 1);
    return fair < needNano ? fair : needNano;
  }

  /** What is asked beyond the need: twice as much as the last time, while the lease is used up faster than it is given back. */
  supplyFor(needNano: bigint): bigint {
    if (this.exact) return needNano;
    this.#supplyNano = this.#supplyNano === 0n ? firstSupply * needNano : 2n * this.#supplyNano;
    if (this.#supplyNano < needNano) this.#supplyNano = needNano;
    return this.#supplyNano;
  }

  /** Takes what the database granted and said. Answers what was free in a period that is over, which goes back to it. */
  told(answer: AskAnswer, needNano: bigint, nowMs: number): bigint {
    const { facts, grantedNano, refused, leftNano, silentElsewhere } = answer;
    const over = facts.period === this.period ? 0n : this.freeNano;
    if (facts.period !== this.period) {
      this.freeNano = 0n;
      this.heldNano = 0n;
      this.owedNano = 0n;
    }
    this.facts = facts;
    this.knownNano = facts.spentNano + facts.outNano;
    this.freeNano += grantedNano;
    this.wasLowered = false;
    this.silentSinceMs = silentElsewhere ? (this.silentSinceMs ?? nowMs) : undefined;
    this.exact = refused || leftNano < exactBelow * needNano;
    return over;
  }

  /** What goes back because it is idle, recalled or not wanted here any more. `keepNano` stays. */
  takeBack(mostNano: bigint, keepNano = 0n): bigint {
    if (!this.isAcknowledged) return 0n;
    const spare = this.freeNano - keepNano;
    const amount = spare < mostNano ? spare : mostNano;
    if (amount <= 0n) return 0n;
    this.freeNano -= amount;
    this.knownNano -= amount;
    return amount;
  }

  /** The database has leased what work under way uses, of which `usedNano` is held or settled and not posted. */
  acknowledged(leasedNano: bigint, usedNano: bigint, facts: BudgetFacts): void {
    this.isAcknowledged = true;
    this.freeNano = leasedNano - usedNano;
    // A period that has ended meanwhile is left at the next ask, with all that is held in it.
    if (facts.period !== this.period) return;
    this.facts = facts;
    this.knownNano = facts.spentNano + leasedNano;
  }

  /** An idle second: the supply shrinks, and what is beyond it goes back. */
  idle(nowMs: number, idleMs: number): bigint {
    if (nowMs - this.lastUseMs < idleMs || this.waiting.size > 0) return 0n;
    this.#supplyNano = this.holders.size > 0 ? this.#supplyNano / 2n : 0n;
    return this.takeBack(this.freeNano, this.#supplyNano);
  }
}

/** A hold's part in a budget. The purse may have gone on to a new period. */
export interface Share {
  purse: Purse;
  period: string;
}

/** A hold that was admitted. */
export interface Holder {
  readonly attempt: string;
  /** In the order of admission: the larger, the younger. */
  readonly order: number;
  readonly beganMs: number;
  readonly scopes: readonly string[];
  readonly currency: string;
  shares: Share[];
  amountNano: bigint;
  extension: Waiter | undefined;
  /** The budget that ended it: it was told that it gets no more, and will be settled. */
  cutBy: BudgetCut | undefined;
}

/** What waits: a hold that is not admitted yet, or an extension of one. */
export interface Waiter {
  readonly attempt: string;
  /** Extensions wait in the order of their holds, before all holds that are not admitted. */
  readonly order: number;
  readonly sinceMs: number;
  leastNano: bigint;
  needNano: bigint;
  /** The answer stands still until the extension is there. */
  stuck: boolean;
  /** It is in a statement that the database has not answered. */
  asking: boolean;
  readonly holder: Holder | undefined;
  readonly request: BookHold | undefined;
  /** Purses that it counts against. */
  purses: Purse[];
}
