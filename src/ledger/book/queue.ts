// What waits for money in one process, and how it is served: tried in order, granted from all purses in one step, refused, or cut.
import { before, isStuck, namesOf, needOf } from "./holders.ts";
import type { Holder, Purse, Waiter } from "./purse.ts";
import type { Decision, GivenBack, PurseView } from "./types.ts";

type Refusal = Extract<Decision, { type: "refused" }>["why"];

export class Queue {
  readonly holders = new Map<string, Holder>();
  readonly waiters = new Map<string, Waiter>();
  decisions: Decision[] = [];
  givenBack: GivenBack[] = [];
  /** Budgets that a waiter has left, granted or not: what waits behind it there may have its turn. */
  readonly #left = new Set<Purse>();
  readonly #silenceMostMs: number;

  /** `silenceMostMs`: an answer that stands still waits so long for a process that does not answer. */
  constructor(silenceMostMs: number) {
    this.#silenceMostMs = silenceMostMs;
  }

  /**
   * Tries what waits for a budget, in order, until one must go on waiting for it. Money that was `released` by a settlement pays what
   * other processes have asked back before it serves new holds; money that was granted for these serves them first.
   */
  #pump(purse: Purse, nowMs: number, released: boolean): void {
    this.#left.delete(purse);
    if (purse.waiting.size === 0) return;
    for (const waiter of [...purse.waiting].toSorted(before)) {
      if (!purse.waiting.has(waiter)) continue;
      if (released && !waiter.holder && purse.owedNano > 0n) this.payBack(purse);
      this.tryNow(waiter, nowMs);
      if (purse.waiting.has(waiter) && this.lacks(waiter, purse)) break;
    }
    this.#left.delete(purse);
  }

  pumpAll(purses: readonly Purse[], nowMs: number, released = false): void {
    for (const purse of purses) this.#trim(purse);
    for (const purse of purses) {
      this.#pump(purse, nowMs, released);
      if (purse.owedNano > 0n) this.payBack(purse);
    }
    this.pumpLeft(nowMs);
  }

  /**
   * Tries what waited behind those that have left. One that left for one budget's sake (its money is gone) may have stood before others
   * in another budget, whose money nothing else would make them try.
   */
  pumpLeft(nowMs: number): void {
    for (const purse of this.#left) {
      this.#pump(purse, nowMs, false);
      if (purse.owedNano > 0n) this.payBack(purse);
    }
  }

  /** What is beyond a limit that was lowered, or set below the work under way, goes back before anything is served. */
  #trim(purse: Purse): void {
    this.giveBack(purse, purse.takeBack(purse.wasLowered ? purse.freeNano : purse.overNano));
  }

  payBack(purse: Purse): void {
    const amount = purse.takeBack(purse.owedNano);
    purse.owedNano -= amount;
    this.giveBack(purse, amount);
  }

  giveBack(purse: Purse, amountNano: bigint): void {
    if (amountNano > 0n) this.givenBack.push({ budget: purse.budget, period: purse.period, amountNano });
  }

  /** What of a purse's free money this waiter may have: nothing of a period that is over, whose successor must be asked for. */
  freeFor(waiter: Waiter, purse: Purse): bigint {
    return this.#isClosed(waiter, purse) ? 0n : purse.freeNano;
  }

  /** Whether a waiter can have nothing of a purse now, also where it needs nothing. */
  #isClosed(waiter: Waiter, purse: Purse): boolean {
    if (!purse.isAcknowledged) return true;
    const { periodEndMs, periodEndsAtMs } = purse.facts;
    if (periodEndMs <= waiter.sinceMs && waiter.holder === undefined) return true;
    // A settlement is counted at one moment, which must lie in the periods of all its shares: else a lease of one period would be
    // released by a settlement that counts in another, and the money could be spent twice.
    return waiter.purses.some(({ facts }) => periodEndsAtMs <= facts.periodStartsAtMs);
  }

  lacks(waiter: Waiter, purse: Purse): boolean {
    if (this.#isClosed(waiter, purse)) return true;
    const { leastNano, needNano } = needOf(waiter, purse);
    return purse.freeNano < (purse.exact ? leastNano : needNano);
  }

  /** Grants a waiter what it needs where all of its budgets have it. */
  tryNow(waiter: Waiter, nowMs: number): void {
    let addedNano = waiter.needNano;
    for (const purse of waiter.purses) {
      if (this.lacks(waiter, purse)) return this.#decideWithout(waiter, purse, nowMs);
      const { leastNano, needNano } = needOf(waiter, purse);
      if (purse.freeNano >= needNano && !purse.exact) continue;
      const fair = purse.freeNano / BigInt(purse.holders.size + (waiter.holder ? 0 : 1) || 1);
      const may = max(leastNano, min(needNano, fair)) - (leastNano - waiter.leastNano);
      addedNano = min(addedNano, may);
    }
    this.#grant(waiter, addedNano, nowMs);
  }

  #grant(waiter: Waiter, addedNano: bigint, nowMs: number): void {
    this.leave(waiter);
    const moved = waiter.holder ? this.#moveShares(waiter.holder) : false;
    for (const purse of waiter.purses) {
      purse.freeNano -= addedNano;
      purse.heldNano += addedNano;
      purse.lastUseMs = nowMs;
    }
    const { attempt, holder, request } = waiter;
    if (holder) {
      holder.amountNano += addedNano;
      const shares = namesOf(holder.shares);
      this.decisions.push({ type: "extended", attempt, addedNano, shares, moved });
      return;
    }
    const held: Holder = {
      attempt,
      order: waiter.order,
      beganMs: nowMs,
      scopes: request!.scopes,
      currency: request!.currency,
      shares: waiter.purses.map((purse) => ({ purse, period: purse.period })),
      amountNano: addedNano,
      extension: undefined,
      cutBy: undefined,
    };
    this.holders.set(attempt, held);
    for (const purse of waiter.purses) purse.holders.add(held);
    let tightest: PurseView | undefined;
    for (const purse of waiter.purses) {
      const view = purse.view();
      if (!tightest || view.leftNano < tightest.leftNano) tightest = view;
    }
    this.decisions.push({ type: "held", attempt, amountNano: addedNano, shares: namesOf(held.shares), tightest });
  }

  /** Shares of a period that is over go on in the present one, so that a settlement counts in the period of its lease. */
  #moveShares(holder: Holder): boolean {
    let moved = false;
    for (const share of holder.shares) {
      const { purse, period } = share;
      if (period === purse.period) continue;
      purse.freeNano -= holder.amountNano;
      purse.heldNano += holder.amountNano;
      this.givenBack.push({ budget: purse.budget, period, amountNano: holder.amountNano });
      share.period = purse.period;
      moved = true;
    }
    return moved;
  }

  /** A waiter lacks money of a purse that the database cannot be asked for now. */
  #decideWithout(waiter: Waiter, purse: Purse, nowMs: number): void {
    if (purse.askAfterMs > nowMs && !purse.wasJoined && purse.isAcknowledged) this.decide(waiter, purse, false, nowMs);
  }

  /** The database has refused: the waiter waits on, or its money is gone. */
  decide(waiter: Waiter, purse: Purse, cut: boolean, nowMs: number): void {
    if (this.waiters.get(waiter.attempt) !== waiter || !this.lacks(waiter, purse)) return;
    // An answer that has not come to the end of what is held may end within it.
    if (!waiter.stuck) return;
    if (purse.facts.periodEndMs <= nowMs) {
      // What is known of it is of a period that is over.
      purse.askAfterMs = -Infinity;
      return;
    }
    const { leastNano, heldNano } = needOf(waiter, purse);
    if (purse.isGoneFor(leastNano, heldNano)) {
      if (waiter.holder) this.cut(waiter.holder, purse);
      else this.refuse(waiter, purse, "spent");
      return;
    }
    if (cut) {
      const youngest = youngestStuck(purse, (holder) => this.#lacksExtension(holder, purse));
      if (youngest) this.cut(youngest, purse);
      return;
    }
    if (purse.holders.size === 0 && purse.facts.elsewhereNano > 0n && purse.silentSinceMs !== undefined) {
      if (!waiter.holder) this.refuse(waiter, purse, "leased");
      return;
    }
    this.#breakDeadlock(purse, nowMs);
  }

  /** Where every holder of a budget stands still and nothing comes from elsewhere, the youngest that waits for it is cut. */
  #breakDeadlock(purse: Purse, nowMs: number): void {
    // An answer under way waits longer for a process that is silent than a call that has not begun.
    const isSilent = purse.silentSinceMs !== undefined && nowMs - purse.silentSinceMs >= this.#silenceMostMs;
    if (purse.facts.elsewhereNano > 0n && !isSilent) return;
    if (purse.askAfterMs <= nowMs) return;
    for (const holder of purse.holders) if (!isStuck(holder) || holder.extension!.asking) return;
    const youngest = youngestStuck(purse, (holder) => this.#lacksExtension(holder, purse));
    if (youngest) this.cut(youngest, purse);
  }

  #lacksExtension({ extension }: Holder, purse: Purse): boolean {
    return extension !== undefined && extension.purses.includes(purse) && this.lacks(extension, purse);
  }

  cut(holder: Holder, purse: Purse): void {
    const { extension } = holder;
    const needs = extension && needOf(extension, purse);
    const why = needs && purse.isGoneFor(needs.leastNano, needs.heldNano) ? "spent" : "held";
    if (extension) this.leave(extension);
    const by = { ...purse.view(), why } as const;
    holder.cutBy = by;
    this.decisions.push({ type: "cut", attempt: holder.attempt, by });
  }

  refuse(waiter: Waiter, purse: Purse, why: Refusal): void {
    this.leave(waiter);
    const heldNano = purse.heldNano + purse.facts.elsewhereNano;
    this.decisions.push({ type: "refused", attempt: waiter.attempt, why, by: purse.view(), heldNano });
  }

  /** A hold cannot be had without the database. */
  unavailable(waiter: Waiter): void {
    this.leave(waiter);
    this.decisions.push({ type: "unavailable", attempt: waiter.attempt });
  }

  wait(waiter: Waiter): void {
    this.waiters.set(waiter.attempt, waiter);
    for (const purse of waiter.purses) purse.waiting.add(waiter);
  }

  leave(waiter: Waiter): void {
    if (this.waiters.get(waiter.attempt) === waiter) this.waiters.delete(waiter.attempt);
    for (const purse of waiter.purses) {
      purse.waiting.delete(waiter);
      if (purse.waiting.size > 0) this.#left.add(purse);
    }
    if (waiter.holder) waiter.holder.extension = undefined;
  }
}

function youngestStuck(purse: Purse, lacks: (holder: Holder) => boolean): Holder | undefined {
  let youngest: Holder | undefined;
  for (const holder of purse.holders)
    if (isStuck(holder) && lacks(holder) && (!youngest || holder.order > youngest.order)) youngest = holder;
  return youngest;
}

const min = (a: bigint, b: bigint): bigint => (a < b ? a : b);
const max = (a: bigint, b: bigint): bigint => (a > b ? a : b);
