// Deficit credit among competitors (tenants, or the programs of one tenant), after DLPM (arXiv 2501.14312).
//
// Every competitor has a credit, and service is charged to it. Competitors with credit left may be served in any order, which is the
// freedom that locality needs. When no competitor has credit, all are given whole quanta until at least one has.
// Credit therefore stays in (-largest charge, quantum], and all get equally many quanta (times their weight). What two were
// charged differs by the difference of their credits, less what it was when they began: by at most quantum + largest charge
// when both begin together, and over any stretch of time by at most twice that.
//
// A refill is one counter of rounds, whatever the number of competitors. Competitors without credit wait in a heap by the round in which
// they will have credit again. Unused credit is lost on leaving; debt stays, and is paid by later rounds.
import { idleDeficitsMax } from "../limits.ts";
import { Heap } from "./heap.ts";

interface Competitor<T> {
  key: string;
  value: T;
  weight: number;
  /** Credit is `base + rounds * quantum * weight`. */
  base: number;
  competing: boolean;
  /** Position in `ready`, -1 when out of credit. */
  at: number;
  /** Round under which it lies in the heap, -1 when it does not. */
  filed: number;
}

export class CreditRing<T> {
  readonly quantum: number;
  private rounds = 0;
  private readonly members = new Map<string, Competitor<T>>();
  /** Competitors in credit, in the order in which they came to it; a served one goes to the end. */
  private ready: (Competitor<T> | undefined)[] = [];
  private head = 0;
  private readyCount = 0;
  private readonly spent = new Heap<Competitor<T>>();
  /** Debts of competitors that have left, by key: the base at which they would come back. */
  private readonly debts = new Map<string, { base: number; weight: number }>();

  constructor(quantum: number) {
    this.quantum = quantum;
  }

  get size(): number {
    return this.members.size;
  }

  get(key: string): T | undefined {
    return this.members.get(key)?.value;
  }

  *values(): Iterable<T> {
    for (const member of this.members.values()) yield member.value;
  }

  /** Begins to compete. `weight` is the share of each round. */
  enter(key: string, value: T, weight = 1): void {
    const debt = this.debts.get(key);
    this.debts.delete(key);
    const now = this.rounds * this.quantum * weight;
    const credit = debt === undefined ? 0 : Math.min(0, debt.base + this.rounds * this.quantum * debt.weight);
    const member: Competitor<T> = { key, value, weight, base: credit - now, competing: true, at: -1, filed: -1 };
    this.members.set(key, member);
    this.file(member);
  }

  /** Stops competing, because no call waits any more. */
  leave(key: string): void {
    const member = this.members.get(key);
    if (member === undefined) return;
    member.competing = false;
    this.members.delete(key);
    this.unready(member);
    const credit = this.creditOf(member);
    if (credit < 0) this.rememberDebt(key, member.base, member.weight);
  }

  /** Charges service, or gives it back (negative), whether the key competes now or not. */
  charge(key: string, cost: number): void {
    const member = this.members.get(key);
    if (member === undefined) {
      const debt = this.debts.get(key);
      const weight = debt?.weight ?? 1;
      const base = (debt?.base ?? -this.rounds * this.quantum * weight) - cost;
      this.debts.delete(key);
      if (base + this.rounds * this.quantum * weight < 0) this.rememberDebt(key, base, weight);
      return;
    }
    member.base -= cost;
    this.file(member);
  }

  /**
   * Serves a competitor while there is no other, and charges `cost`: the same as entering, being charged and leaving, without the
   * bookkeeping. Must be called only while there are no competitors.
   */
  serveAlone(key: string, cost: number, weight = 1): void {
    const debt = this.debts.get(key);
    if (debt !== undefined) this.debts.delete(key);
    const perRound = this.quantum * weight;
    const credit = debt === undefined ? 0 : Math.min(0, debt.base + this.rounds * this.quantum * debt.weight);
    const base = credit - this.rounds * perRound;
    // Whole quanta until it has credit, as a refill gives them.
    this.rounds = Math.max(this.rounds, Math.floor(-base / perRound) + 1);
    if (base - cost + this.rounds * perRound < 0) this.rememberDebt(key, base - cost, weight);
  }

  credit(key: string): number {
    const member = this.members.get(key);
    return member === undefined ? 0 : this.creditOf(member);
  }

  /** At most `limit` competitors in credit, longest waiting first; refills when none is in credit. Empty only without competitors. */
  candidates(limit: number): T[] {
    if (this.readyCount === 0) this.refill();
    const found: T[] = [];
    for (let at = this.head; at < this.ready.length && found.length < limit; at++) {
      const member = this.ready[at];
      if (member !== undefined) found.push(member.value);
    }
    return found;
  }

  /** The competitor was just served and goes behind the others in credit. */
  rotate(key: string): void {
    const member = this.members.get(key);
    if (member === undefined || member.at < 0) return;
    this.unready(member);
    this.makeReady(member);
  }

  /** The competitor cannot be served now: it goes behind the others, among those in credit and in `values`. */
  defer(key: string): void {
    const member = this.members.get(key);
    if (member === undefined) return;
    this.members.delete(key);
    this.members.set(key, member);
    this.rotate(key);
  }

  private creditOf(member: Competitor<T>): number {
    return member.base + this.rounds * this.quantum * member.weight;
  }

  /** Files a member by its credit: among the ready, or into the heap by the round of its return. */
  private file(member: Competitor<T>): void {
    const credit = this.creditOf(member);
    if (credit > 0) {
      if (member.at < 0) this.makeReady(member);
      return;
    }
    this.unready(member);
    const round = this.returnRound(member);
    if (member.filed === round) return;
    member.filed = round;
    this.spent.push(round, member);
    if (this.spent.size > 64 + this.members.size * 4) this.sweep();
  }

  /** Takes what is out of date out of the heap. */
  private sweep(): void {
    const seen = new Set<Competitor<T>>();
    this.spent.retain((member, round) => {
      const current = member.competing && member.at < 0 && member.filed === round && !seen.has(member);
      seen.add(member);
      return current;
    });
  }

  private returnRound(member: Competitor<T>): number {
    return Math.floor(-member.base / (this.quantum * member.weight)) + 1;
  }

  private refill(): void {
    for (let first = true; this.spent.size > 0;) {
      const round = this.spent.peekKey()!;
      const member = this.spent.peek()!;
      // Entries are not taken out of the heap when things change; what is out of date is skipped here.
      const stale = !member.competing || member.at >= 0 || member.filed !== round;
      if (!stale && !first && round > this.rounds) return;
      this.spent.pop();
      if (stale) continue;
      this.rounds = Math.max(this.rounds, round);
      first = false;
      this.makeReady(member);
    }
  }

  private makeReady(member: Competitor<T>): void {
    member.at = this.ready.length;
    member.filed = -1;
    this.ready.push(member);
    this.readyCount++;
  }

  private unready(member: Competitor<T>): void {
    if (member.at < 0) return;
    this.ready[member.at] = undefined;
    member.at = -1;
    this.readyCount--;
    while (this.head < this.ready.length && this.ready[this.head] === undefined) this.head++;
    if (this.ready.length > 32 && this.readyCount * 2 < this.ready.length) this.compact();
  }

  private compact(): void {
    this.ready = this.ready.filter((member) => member !== undefined);
    this.ready.forEach((member, at) => {
      member!.at = at;
    });
    this.head = 0;
  }

  private rememberDebt(key: string, base: number, weight: number): void {
    this.debts.set(key, { base, weight });
    if (this.debts.size <= idleDeficitsMax) return;
    for (const oldest of this.debts.keys()) {
      this.debts.delete(oldest);
      break;
    }
  }
}
