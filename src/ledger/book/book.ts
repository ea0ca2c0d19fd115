// The book of one process: a pure state machine that decides which call holds how much of which budget (DESIGN section 4, "Holds do not
// starve", "Holds are cheap"). It does no I/O, and has no clock and no randomness of its own: the caller feeds it with calls and with the
// database's answers, and drains what it has decided.
//
//   a hold        (none) -> waiting -> held -> settled                       or refused, when its money is gone or its wait is over
//   an extension  (none) -> waiting -> granted: the hold is larger           or cut, when its money is gone; the hold stays as it is
//
// Money is taken from all budgets of a call in one step or from none. Where a budget's lease does not suffice the database is asked for
// what is missing, for all budgets at once, and nothing is set aside meanwhile. Far from its end a budget is leased in supplies that
// double while they are used up. Near its end (`exact`) exactly what is needed is asked for, and what is here is shared among its holders,
// so that no call takes the last money for a window that it may not use.
//
// What waits is served in order: extensions by the age of their holds, then new holds by arrival. A later call never takes what an earlier
// one waits for. A hold is refused as `spent` only when the money could not suffice even if every call under way used nothing more. When
// all holders of a budget stand still the youngest is cut, so that the others go on.
import { Asks } from "./asks.ts";
import { before, extensionOf, nameOf, waiterOf } from "./holders.ts";
import { Purse, type Holder } from "./purse.ts";
import { Queue } from "./queue.ts";
import type {
  Ask,
  AskAnswer,
  BookExtension,
  BookHold,
  BookLimits,
  BudgetFacts,
  Decision,
  GivenBack,
  PurseView,
} from "./types.ts";

export class Book {
  readonly #limits: BookLimits;
  readonly #purses = new Map<string, Purse>();
  readonly #queue: Queue;
  readonly #unacknowledged = new Set<Purse>();
  readonly #asks: Asks;
  #order = 0;
  #ended = false;

  constructor(limits: BookLimits) {
    this.#limits = limits;
    this.#queue = new Queue(limits.silenceMostMs);
    this.#asks = new Asks(this.#queue, this.#purses, limits);
  }

  /** What was decided since the last call, in order. */
  decisions(): Decision[] {
    const decided = this.#queue.decisions;
    this.#queue.decisions = [];
    return decided;
  }

  /** What goes back to the database, before it is asked again. It has left the book already, and is drained while no ask is under way. */
  givenBack(): GivenBack[] {
    const givenBack = this.#queue.givenBack;
    this.#queue.givenBack = [];
    return givenBack;
  }

  knows(budget: string): boolean {
    return this.#purses.has(budget);
  }

  view(budget: string): PurseView | undefined {
    return this.#purses.get(budget)?.view();
  }

  /** What this process has of a budget's present period, for tests and status. */
  standing(budget: string):
    | {
        period: string;
        isAcknowledged: boolean;
        freeNano: bigint;
        heldNano: bigint;
        holders: number;
        waiting: number;
      }
    | undefined {
    const purse = this.#purses.get(budget);
    return (
      purse && {
        period: purse.period,
        isAcknowledged: purse.isAcknowledged,
        freeNano: purse.freeNano,
        heldNano: purse.heldNano,
        holders: purse.holders.size,
        waiting: purse.waiting.size,
      }
    );
  }

  /**
   * A budget was set or changed. Running holds of its scope that do not count against it yet do so from now on: what they hold
   * becomes a lease, once it is acknowledged (`underWay`).
   */
  budget(facts: BudgetFacts, nowMs: number): void {
    const known = this.#purses.get(facts.budget);
    if (known) {
      // Figures of a statement that did not run in this process's order are not reckoned with; only the limit is taken.
      if (facts.limitNano < known.facts.limitNano) known.exact = known.wasLowered = true;
      known.facts = { ...known.facts, limitNano: facts.limitNano, currency: facts.currency };
      known.askAfterMs = -Infinity;
      this.#queue.pumpAll([known], nowMs);
      return;
    }
    const purse = new Purse(facts);
    this.#purses.set(facts.budget, purse);
    const scope = `${facts.scope.kind}:${facts.scope.id}`;
    for (const holder of this.#queue.holders.values()) {
      if (!holder.scopes.includes(scope)) continue;
      holder.shares = [...holder.shares, { purse, period: purse.period }];
      purse.holders.add(holder);
      purse.heldNano += holder.amountNano;
      purse.isAcknowledged = false;
      this.#unacknowledged.add(purse);
      purse.wasJoined = true;
      this.#queue.decisions.push({ type: "joined", attempt: holder.attempt, shares: holder.shares.map(nameOf) });
    }
    for (const waiter of this.#queue.waiters.values()) {
      if (!(waiter.holder?.scopes ?? waiter.request!.scopes).includes(scope)) continue;
      waiter.purses = [...waiter.purses, purse];
      purse.waiting.add(waiter);
    }
  }

  /** A budget of a scope that nothing under way belongs to. */
  learn(facts: BudgetFacts): void {
    if (!this.#purses.has(facts.budget)) this.#purses.set(facts.budget, new Purse(facts));
  }

  /** Whether anything is to be given back or asked of the database. */
  get hasErrands(): boolean {
    return this.#queue.givenBack.length > 0 || this.#queue.waiters.size > 0;
  }

  /** Budgets that work under way began without, with what it still holds of them: an acknowledgement makes that a lease. */
  unacknowledged(): GivenBack[] {
    return [...this.#unacknowledged].map(({ budget, period, heldNano: amountNano }) => ({
      budget,
      period,
      amountNano,
    }));
  }

  get hasUnacknowledged(): boolean {
    return this.#unacknowledged.size > 0;
  }

  isUnacknowledged(budget: string): boolean {
    return this.#purses.get(budget)?.isAcknowledged === false;
  }

  /**
   * The database has leased what work under way uses of a budget, `leasedNano` by now, and says how the budget stands. `settledNano`: what
   * was settled from that lease and is not posted.
   */
  acknowledged(leasedNano: bigint, settledNano: bigint, facts: BudgetFacts, nowMs: number): void {
    const purse = this.#purses.get(facts.budget);
    if (!purse || !this.#unacknowledged.delete(purse)) return;
    purse.acknowledged(leasedNano, purse.heldNano + settledNano, facts);
    this.#queue.pumpAll([purse], nowMs);
  }

  /** A budget is gone: what counted against it goes on without it. */
  forget(budget: string, nowMs: number): void {
    const purse = this.#purses.get(budget);
    if (!purse) return;
    this.#purses.delete(budget);
    this.#unacknowledged.delete(purse);
    for (const holder of purse.holders) holder.shares = holder.shares.filter((share) => share.purse !== purse);
    const waiting = [...purse.waiting].toSorted(before);
    for (const waiter of waiting) {
      waiter.purses = waiter.purses.filter((one) => one !== purse);
      this.#queue.tryNow(waiter, nowMs);
    }
    this.#queue.pumpLeft(nowMs);
  }

  /** Asks for a hold. Every budget must be known. */
  hold(request: BookHold, nowMs: number): void {
    const purses = request.budgets.map((budget) => this.#purses.get(budget));
    if (!purses.every((purse) => purse !== undefined))
      throw new TypeError("A hold names a budget that the book does not know.");
    const waiter = waiterOf(request, ++this.#order, nowMs, purses);
    const other = purses.find((purse) => purse.facts.currency !== request.currency);
    if (other) return this.#queue.refuse(waiter, other, "currency");
    this.#queue.wait(waiter);
    for (const purse of purses) if (purse.facts.periodEndMs <= nowMs) purse.askAfterMs = -Infinity;
    // Behind others it gets what they do not wait for.
    if (purses.some((purse) => purse.waiting.size > 1)) this.#queue.pumpAll(purses, nowMs);
    else {
      this.#queue.tryNow(waiter, nowMs);
      this.#queue.pumpLeft(nowMs);
    }
  }

  /** Asks for more. A second ask of the same hold replaces the first one's amounts, and may say that the answer stands still now. */
  extend(asked: BookExtension, nowMs: number): void {
    const holder = this.#queue.holders.get(asked.attempt);
    if (!holder) return;
    if (holder.cutBy)
      return void this.#queue.decisions.push({ type: "cut", attempt: holder.attempt, by: holder.cutBy });
    const { extension } = holder;
    if (extension) {
      extension.leastNano = asked.leastNano;
      if (asked.needNano > extension.needNano) extension.needNano = asked.needNano;
      extension.stuck ||= asked.stuck;
    } else {
      holder.extension = extensionOf(holder, asked, nowMs);
      this.#queue.wait(holder.extension);
    }
    const waiter = holder.extension!;
    this.#queue.tryNow(waiter, nowMs);
    if (this.#ended && waiter.stuck && holder.extension === waiter)
      this.#queue.cut(
        holder,
        waiter.purses.find((purse) => this.#queue.lacks(waiter, purse))!,
      );
    this.#queue.pumpLeft(nowMs);
  }

  /** A hold is larger than its call can use: so much of it is free again, first for the oldest extension that waits. */
  lower(attempt: string, byNano: bigint, nowMs: number): void {
    const holder = this.#queue.holders.get(attempt);
    if (!holder) return;
    holder.amountNano -= byNano;
    this.#release(holder, byNano, byNano, nowMs);
  }

  /** A call that waits for its hold has gone. */
  abandon(attempt: string, nowMs: number): void {
    const waiter = this.#queue.waiters.get(attempt);
    if (!waiter || waiter.holder) return;
    this.#queue.leave(waiter);
    this.#queue.pumpAll(waiter.purses, nowMs);
  }

  /** Ends a hold. What was billed stays with the lease until it is posted; the rest is free again. Answers what it counted against. */
  settle(attempt: string, billedNano: bigint, nowMs: number): void {
    const holder = this.#queue.holders.get(attempt);
    if (!holder) return;
    this.#queue.holders.delete(attempt);
    if (holder.extension) this.#queue.leave(holder.extension);
    for (const { purse } of holder.shares) purse.holders.delete(holder);
    this.#release(holder, holder.amountNano, holder.amountNano - billedNano, nowMs);
  }

  /** So much is not held any more, of which `restNano` is free. What was settled of it stays with the lease. */
  #release(holder: Holder, heldNano: bigint, restNano: bigint, nowMs: number): void {
    for (const { purse, period } of holder.shares) {
      purse.lastUseMs = nowMs;
      if (period !== purse.period) {
        if (restNano > 0n) this.#queue.givenBack.push({ budget: purse.budget, period, amountNano: restNano });
        continue;
      }
      purse.heldNano -= heldNano;
      // The acknowledgement finds what is leased, and so what is free.
      if (purse.isAcknowledged) purse.freeNano += restNano;
    }
    const purses = holder.shares.map(({ purse }) => purse);
    this.#queue.pumpAll(purses, nowMs, true);
  }

  /** Asks for one statement of the database, in the order in which waiters are served. Their answers come by `answered`. */
  asks(nowMs: number): Ask[] {
    return this.#ended ? [] : this.#asks.next(nowMs);
  }

  /** The database's answers to one statement. A part whose budget is gone has no answer. */
  answered(asks: readonly Ask[], answers: readonly AskAnswer[], nowMs: number): void {
    this.#asks.answered(asks, answers, nowMs);
  }

  /** The database did not answer: holds that need it are refused, and extensions wait until it does or others give back here. */
  unanswered(asks: readonly Ask[], nowMs: number): void {
    this.#asks.unanswered(asks, nowMs);
  }

  /** The database takes no more asks of this process: holds that wait are given up, and extensions that would wait are cut. */
  end(nowMs: number): void {
    this.#ended = true;
    for (const waiter of this.#queue.waiters.values()) {
      if (!waiter.holder) {
        this.#queue.unavailable(waiter);
        continue;
      }
      if (!waiter.stuck) continue;
      const lacking = waiter.purses.find((purse) => this.#queue.lacks(waiter, purse));
      if (lacking) this.#queue.cut(waiter.holder, lacking);
      // It waited behind others for what is there.
      else this.#queue.tryNow(waiter, nowMs);
    }
    this.tick(nowMs);
  }

  /** Another process needs money of a budget: what is free goes back now, and what becomes free goes back before new holds get it. */
  recalled(budget: string, amountNano: bigint, nowMs: number): void {
    const purse = this.#purses.get(budget);
    if (!purse) return;
    purse.exact = true;
    purse.owedNano = amountNano;
    this.#queue.payBack(purse);
    this.#queue.pumpAll([purse], nowMs);
  }

  /** Money may have come back to budgets: what waits for them may ask again. */
  returned(): void {
    for (const purse of this.#purses.values()) if (purse.waiting.size > 0) purse.askAfterMs = -Infinity;
  }

  /** Time passes: waits end, idle leases go back. */
  tick(nowMs: number): void {
    for (const waiter of this.#queue.waiters.values()) {
      if (!waiter.stuck || nowMs - waiter.sinceMs < this.#limits.waitMostMs) continue;
      const purse = waiter.purses.find((one) => this.#queue.lacks(waiter, one)) ?? waiter.purses[0]!;
      if (waiter.holder) this.#queue.cut(waiter.holder, purse);
      else this.#queue.refuse(waiter, purse, "held");
      this.#queue.pumpAll(waiter.purses, nowMs);
    }
    this.#queue.pumpLeft(nowMs);
    for (const purse of this.#purses.values()) this.#queue.giveBack(purse, purse.idle(nowMs, this.#limits.idleMs));
  }

  /** Budgets that nothing has used for a while and nothing holds: the book may forget them. */
  unused(nowMs: number): string[] {
    return [...this.#purses.values()].flatMap((purse) =>
      purse.isAcknowledged &&
      purse.holders.size === 0 &&
      purse.waiting.size === 0 &&
      purse.freeNano === 0n &&
      nowMs - purse.lastUseMs > this.#limits.idleMs
        ? [purse.budget]
        : [],
    );
  }

  /** Everything that is free goes back: the process ends. */
  giveAllBack(): void {
    for (const purse of this.#purses.values()) this.#queue.giveBack(purse, purse.takeBack(purse.freeNano));
  }
}
