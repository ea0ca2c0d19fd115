// A process's share of one limit: a pure state machine without clock, input or output.
//
// The algorithm is a sliding window of slots whose capacity is leased. A limit of N is divided into shares whose sum is at most N, and
// each process counts its own use of the last window against its own share. The sum of all use in any window is therefore at most N,
// without a common clock and without a statement for each call:
//
//   - use leaves the window where it was counted, so a process that runs at its share asks the database for nothing, and only says every
//     few seconds what it has used;
//   - a share is never smaller than the use that it covers, so what is returned can be given to another process at once;
//   - a process without a database goes on within its share;
//   - there is no moment at which a window begins, so no herd waits for one. Fixed windows have that moment and let 2 N through around
//     it; a token bucket of burst N lets 2 N through in a window after a pause.
//
// Output tokens are counted as they come and are never refused (`charge`), so use may pass the share. The database is then told the use
// itself, grants no one anything until it has left the window, and the next calls wait for that.
//
// What is under way at once (calls, bytes) is the same with a window of nothing: use ends when it is given back.
import { slotsPerWindow, type ShareAnswer, type ShareItem, type UsageLimit, type Window } from "./types.ts";

/** For so long after a recall everything unused is returned at every turn. */
const recallMs = 1_000;
/** The share that is asked for covers what was used in so many of the last slots. */
const recentSlots = 4;

interface Slot {
  slot: number;
  amount: number;
}

export class Share {
  readonly number: number;
  readonly #window: Window;
  /** What may be used, as granted. */
  units = 0;
  /** The limit's amount, and what of it is not this process's, as the database said last. */
  amount: number;
  others = 0;
  /** Slots with use that has not left the window, oldest first. */
  #slots: Slot[] = [];
  #used = 0;
  #now = 0;
  #wantedAt = -Infinity;
  /** Use as the database was told it last, and when. */
  #told = 0;
  #toldAt = -Infinity;
  #recalledUntil = -Infinity;
  /** Amounts of calls that were told to come back, in the present slot: later ones are told a later time. */
  #promised = 0;

  constructor(number: number, amount: number, window: Window) {
    this.number = number;
    this.amount = amount;
    this.#window = window;
  }

  /** Use within the window, the part that the database counts (`moved`) left out. */
  get used(): number {
    return this.#used;
  }

  get windowMs(): number {
    return (this.#window.slotMs ?? 0) * slotsPerWindow;
  }

  get recalled(): boolean {
    return this.#now < this.#recalledUntil;
  }

  /** True where nothing is known here that the database would not know without it. */
  get isEmpty(): boolean {
    return this.units === 0 && this.#slots.length === 0 && this.#used === 0;
  }

  /** Time has passed: use that is older than the window leaves it. `now` in milliseconds of a clock that never goes back. */
  advance(now: number): void {
    const before = this.#slotOf(this.#now);
    this.#now = Math.max(this.#now, now);
    const slot = this.#slotOf(this.#now);
    if (slot === before) return;
    this.#promised = 0;
    while (this.#slots.length > 0 && this.#slots[0]!.slot < slot - slotsPerWindow)
      this.#used -= this.#slots.shift()!.amount;
  }

  fits(amount: number): boolean {
    return this.#used + amount <= this.units;
  }

  /** Counts use that fits; answers the slot that it is counted in, for `giveBack`. */
  take(amount: number): number {
    this.#wantedAt = this.#now;
    return this.charge(amount);
  }

  /** Counts use whether or not it fits; answers its slot. */
  charge(amount: number): number {
    const slot = this.#slotOf(this.#now);
    this.#used += amount;
    if (this.#window.slotMs === undefined) return slot;
    const last = this.#slots.at(-1);
    if (last?.slot === slot) last.amount += amount;
    else this.#slots.push({ slot, amount });
    return slot;
  }

  /** Takes back what `take` or `charge` counted in a slot. Does nothing where the slot has left the window or was moved. */
  giveBack(amount: number, slot: number): void {
    if (this.#window.slotMs === undefined) {
      this.#used = Math.max(0, this.#used - amount);
      return;
    }
    const counted = this.#slots.find((one) => one.slot === slot);
    if (!counted) return;
    const less = Math.min(amount, counted.amount);
    counted.amount -= less;
    this.#used -= less;
  }

  /**
   * True where the database should be told something although no call waits for it. `idleMs`: after so long without a call an unused share
   * is returned. `tellMs`: use that has changed is told so often.
   */
  needsTurn(idleMs: number, tellMs: number): boolean {
    if (this.#used > this.units) return true;
    if (this.recalled && this.units > this.#used) return true;
    if (this.#window.moves && (this.#slots[0]?.slot ?? Infinity) < this.#slotOf(this.#now)) return true;
    if (this.#used !== this.#told && this.#now - this.#toldAt >= tellMs) return true;
    return this.units > 0 && this.#used === 0 && this.#now - this.#wantedAt >= idleMs;
  }

  /**
   * What the database is told, and asked for calls of these amounts: the first is covered whole or not at all. What is not kept is no
   * longer used from here on, whether or not the database is heard again.
   */
  ask(amounts: readonly number[], idleMs: number): ShareItem {
    if (amounts.length > 0) this.#wantedAt = this.#now;
    const idle = this.#used === 0 && amounts.length === 0 && this.#now - this.#wantedAt >= idleMs;
    if (this.recalled || idle) this.units = Math.min(this.units, Math.max(this.#used, 0));
    const free = Math.max(0, this.units - this.#used);
    const least = Math.max(0, (amounts[0] ?? 0) - free);
    const over = Math.max(0, this.#used - this.units);
    const rest = amounts.slice(1).reduce((sum, amount) => sum + amount, 0);
    // What is wanted beyond the least is a guess at the next seconds; a share that others need is not guessed at.
    const more = (least > 0 || over > 0) && !this.recalled ? rest + this.#recent() : rest;
    return {
      number: this.number,
      used: this.#used,
      kept: this.units,
      least,
      want: least + more,
      moved: this.#over(false),
    };
  }

  /** Everything as the database shall count it when this process ends: no share, and each slot until it leaves the window. */
  end(): ShareItem {
    this.units = 0;
    return { number: this.number, used: 0, kept: 0, least: 0, want: 0, moved: this.#over(true) };
  }

  /** Takes the database's answer to an item of `ask`. */
  answered(answer: ShareAnswer, asked: ShareItem): void {
    for (const { slot } of asked.moved) this.#moved(slot);
    this.#told = asked.used - asked.moved.reduce((sum, { amount }) => sum + amount, 0);
    this.#toldAt = this.#now;
    this.units = answer.units;
    this.others = answer.others;
    if (answer.amount !== undefined) this.amount = answer.amount;
    if (answer.recalled) this.recall();
  }

  /** Another process needs a part of the limit. */
  recall(): void {
    this.#recalledUntil = this.#now + recallMs;
  }

  /** What of the limit is left, as far as this process knows. */
  left(): number {
    return Math.max(0, this.amount - Math.max(this.others, 0) - this.#used);
  }

  /** Milliseconds until nothing that was used counts any more. */
  fullAfterMs(): number {
    if (this.#window.slotMs === undefined) return 0;
    const last = this.#slots.findLast(({ amount }) => amount > 0);
    if (this.others > 0) return this.windowMs;
    return last ? this.#leavesAfterMs(last.slot) : 0;
  }

  /**
   * Milliseconds after which a call of `amount` is worth another try. Each further call that asks in the same slot is told when the use
   * behind that of the call before leaves the window, so that they do not come back together.
   */
  retryAfterMs(amount: number): number {
    if (this.#window.slotMs === undefined) return this.#window.unit === "calls" ? 1_000 : 2_000;
    this.#promised += amount;
    let over = this.#used + Math.max(this.others, 0) + this.#promised - this.amount;
    for (const { slot, amount: leaving } of this.#slots) {
      over -= leaving;
      if (over <= 0) return this.#leavesAfterMs(slot);
    }
    // The rest is other processes' use, whose age is not known here: it leaves evenly, or all at the end of the window.
    const share = Math.min(1, this.#promised / Math.max(1, this.amount));
    return Math.max(this.#window.slotMs, this.windowMs * share);
  }

  #recent(): number {
    const from = this.#slotOf(this.#now) - recentSlots;
    let recent = 0;
    for (let place = this.#slots.length - 1; place >= 0 && this.#slots[place]!.slot > from; place--)
      recent += this.#slots[place]!.amount;
    // Of what is under way at once there is no rate: half as much again is at hand.
    return this.#window.slotMs === undefined ? Math.ceil(this.#used / 2) : recent;
  }

  /** Slots that are over (`all`: every slot), as the database shall count them. */
  #over(all: boolean): ShareItem["moved"] {
    if (this.#window.slotMs === undefined || (!this.#window.moves && !all)) return [];
    const now = this.#slotOf(this.#now);
    return this.#slots
      .filter(({ slot, amount }) => (all || slot < now) && amount > 0)
      .map(({ slot, amount }) => ({ slot, amount, forMs: this.#leavesAfterMs(slot) }));
  }

  #moved(slot: number): void {
    const place = this.#slots.findIndex((one) => one.slot === slot);
    if (place >= 0) this.#used -= this.#slots.splice(place, 1)[0]!.amount;
  }

  #leavesAfterMs(slot: number): number {
    return (slot + slotsPerWindow + 1) * this.#window.slotMs! - this.#now;
  }

  #slotOf(now: number): number {
    return this.#window.slotMs === undefined ? 0 : Math.floor(now / this.#window.slotMs);
  }
}

/** One limit that a call counts against. */
export interface Part {
  limit: UsageLimit;
  share: Share;
  amount: number;
  slot: number;
}
