// A naive reference model of the SQL functions of leases: the same verbs over maps, one after another, with a clock of its own. Tests
// compare Postgres with it, and the simulation of the book runs many processes against it.
import type { Scope } from "../types.ts";
import { EpochFencedError } from "./leases.ts";
import { scopeOf } from "./rows.ts";
import type { BudgetFacts, Ask, GivenBack } from "../book/types.ts";
import {
  compare,
  endOf,
  larger,
  leftOf,
  periodName,
  smaller,
  startOf,
  type Lease,
  type LostItem,
  type ModelBudget,
  type ModelFigures,
  type ModelSettlement,
  type PeriodKind,
  type Sums,
} from "./modelRows.ts";
import type { BudgetChange, BudgetsFound, LeaseAnswer } from "./types.ts";

const silentMs = 1_000;
const stuckMs = 2_000;

/** The central ledger of leases, without Postgres. `nowMs` is its only clock, in milliseconds since 1970. */
export class LeaseModel {
  nowMs: number;
  #epochs = new Map<number, { state: "live" | "fenced" | "closed"; seen: number }>();
  readonly #budgets = new Map<string, ModelBudget>();
  #leases: Lease[] = [];
  readonly #lost: LostItem[] = [];
  readonly #changes: BudgetChange[] = [];
  readonly #settled = new Map<string, ModelSettlement>();

  constructor(nowMs = 0) {
    this.nowMs = nowMs;
  }

  /** Begins an epoch and answers its number. */
  begin(): number {
    const epoch = this.#epochs.size + 1;
    this.#epochs.set(epoch, { state: "live", seen: this.#changes.length });
    return epoch;
  }

  isLive(epoch: number): boolean {
    return this.#epochs.get(epoch)?.state === "live";
  }

  budgetsOf(epoch: number, scopes: readonly string[]): BudgetsFound {
    const budgets = [...this.#budgets.values()].filter(({ scope }) => scopes.includes(scope));
    return { budgets: budgets.map((budget) => this.#stateOf(epoch, budget)), asOf: this.#changes.length };
  }

  take(epoch: number, asks: readonly Ask[]): LeaseAnswer[] {
    this.#requireLive(epoch);
    for (const { parts } of asks) for (const { budget } of parts) this.#moveOn(budget);
    const short = new Set<string>();
    return asks.flatMap((ask) => this.#takeOne(epoch, ask, short));
  }

  giveBack(epoch: number, shares: readonly GivenBack[]): void {
    this.#requireLive(epoch);
    for (const { budget } of shares) this.#moveOn(budget);
    for (const { budget, period, amountNano } of shares) {
      const lease = this.#leaseOf(epoch, budget, Date.parse(period));
      if (!lease) continue;
      if (lease.out < amountNano) throw new Error(`Epoch ${epoch} gives back more than it has of ${budget}.`);
      lease.out -= amountNano;
      lease.recall = 0n;
      if (amountNano > 0n) Object.assign(lease, { stuckYoungestMs: undefined, answeredMs: undefined });
      else lease.answeredMs = this.nowMs;
      this.#sumsOf(budget, lease.startMs).leased -= amountNano;
    }
    this.#dropEmpty();
  }

  acknowledge(epoch: number, seq: number, held: readonly GivenBack[]): GivenBack[] {
    this.#requireLive(epoch);
    const own = this.#epochs.get(epoch)!;
    if (own.seen < seq) this.#acknowledge(epoch, seq, held);
    return held.map((share) => ({ ...share, amountNano: this.outIn(epoch, share.budget, share.period) }));
  }

  #acknowledge(epoch: number, seq: number, held: readonly GivenBack[]): void {
    const own = this.#epochs.get(epoch)!;
    own.seen = seq;
    for (const { budget, period, amountNano } of held) {
      if (!this.#budgets.has(budget)) continue;
      this.#moveOn(budget);
      const startMs = Date.parse(period);
      const isNew = amountNano > 0n && !this.#leaseOf(epoch, budget, startMs);
      if (isNew && this.#sumsOf(budget, startMs)) this.#addLease(epoch, budget, startMs, amountNano);
    }
    this.#clearPending();
  }

  /** Posts settled attempts, each once; answers those that were new. */
  post(epoch: number, settlements: readonly ModelSettlement[]): string[] {
    const fresh = settlements.filter(({ attempt }) => !this.#settled.has(attempt));
    // Where the clock has gone back, something may be counted in a period that lies ahead: its budgets begin it.
    const newestMs = Math.max(this.nowMs, ...fresh.map(({ countedAtMs }) => countedAtMs));
    for (const settlement of fresh) {
      this.#settled.set(settlement.attempt, settlement);
      const concerned = [...this.#budgets.values()].filter(({ scope }) => settlement.scopes.includes(scope));
      for (const { id } of concerned) this.#moveOn(id, newestMs);
      for (const { budget, period } of settlement.leases) {
        this.#moveOn(budget, newestMs);
        this.#release(epoch, budget, Date.parse(period), settlement.amountNano);
      }
      for (const budget of concerned) this.#countSpent(budget, settlement);
    }
    this.#dropEmpty();
    return fresh.map(({ attempt }) => attempt);
  }

  fence(epoch: number): void {
    const own = this.#epochs.get(epoch);
    if (own?.state !== "live") return;
    own.state = "fenced";
    for (const lease of this.#leases.filter((one) => one.epoch === epoch)) {
      this.#moveOn(lease.budget);
      const sums = this.#sumsOf(lease.budget, lease.startMs);
      sums.leased -= lease.out;
      sums.lost += lease.out;
      const { budget, startMs, out: amount } = lease;
      if (amount > 0n) this.#lost.push({ epoch, budget, startMs, amount, drawn: 0n });
    }
    this.#leases = this.#leases.filter((one) => one.epoch !== epoch);
    this.#clearPending();
  }

  /** Ends an epoch of which everything is posted. */
  close(epoch: number): void {
    const own = this.#epochs.get(epoch);
    if (own?.state !== "live") return;
    own.state = "closed";
    for (const lease of this.#leases.filter((one) => one.epoch === epoch)) {
      this.#moveOn(lease.budget);
      this.#sumsOf(lease.budget, lease.startMs).leased -= lease.out;
    }
    this.#leases = this.#leases.filter((one) => one.epoch !== epoch);
    this.#clearPending();
  }

  /** Sets the one budget of a scope; answers its id, and the number of the change or 0 where nothing changed. */
  setBudget(set: {
    id: string;
    scope: string;
    currency: string;
    limitNano: bigint;
    period: PeriodKind;
    fresh?: boolean;
  }): { id: string; seq: number } {
    const known = [...this.#budgets.values()].find(({ scope }) => scope === set.scope);
    if (known && known.limit === set.limitNano && known.period === set.period) return { id: known.id, seq: 0 };
    // Another kind of period makes another budget.
    if (known && known.period !== set.period) this.removeBudget(known.id);
    const old = known?.period === set.period ? known : undefined;
    const isFresh = set.fresh && !known;
    const startMs =
      set.period === "total"
        ? isFresh
          ? 0
          : this.nowMs
        : startOf(set.period, isFresh ? this.nowMs : this.#newestMs(set.scope));
    const budget = old ?? this.#newBudget(set, startMs);
    if (isFresh) return { id: budget.id, seq: 0 };
    const seq = this.#changed(budget);
    const isTighter = !old || set.limitNano < budget.limit;
    if (old) this.#moveOn(old.id);
    budget.limit = set.limitNano;
    budget.change = seq;
    budget.pending ||=
      isTighter && [...this.#epochs.values()].some(({ state, seen }) => state === "live" && seen < seq);
    return { id: budget.id, seq };
  }

  removeBudget(id: string): boolean {
    const budget = this.#budgets.get(id);
    if (!budget) return false;
    this.#budgets.delete(id);
    this.#leases = this.#leases.filter((lease) => lease.budget !== id);
    this.#changed(budget);
    return true;
  }

  changesAfter(seq: number): BudgetChange[] {
    return this.#changes.slice(seq);
  }

  /** What is asked back from an epoch. */
  recallsOf(epoch: number): GivenBack[] {
    const recalled = this.#leases.filter((lease) => lease.epoch === epoch && lease.recall > 0n);
    return recalled.map(({ budget, startMs, recall }) => ({ budget, period: periodName(startMs), amountNano: recall }));
  }

  figures(id: string): ModelFigures {
    const { limit, spent, leased, lost, pending } = this.#budgets.get(id)!;
    return { limit, spent, leased, lost, pending };
  }

  /** What an epoch has of a budget, in all periods. */
  outOf(epoch: number, budget: string): bigint {
    return this.#leases
      .filter((lease) => lease.epoch === epoch && lease.budget === budget)
      .reduce((sum, { out }) => sum + out, 0n);
  }

  /** What an epoch has of a budget's period. */
  outIn(epoch: number, budget: string, period: string): bigint {
    return this.#leaseOf(epoch, budget, Date.parse(period))?.out ?? 0n;
  }

  /** What an attempt was charged; undefined where no settlement of it was posted. */
  settledFor(attempt: string): bigint | undefined {
    return this.#settled.get(attempt)?.amountNano;
  }

  budgets(): string[] {
    return [...this.#budgets.keys()];
  }

  /** Sums of a period that is over; undefined where there was nothing. */
  pastOf(id: string, period: string): Sums | undefined {
    return this.#budgets.get(id)?.past.get(Date.parse(period));
  }

  #requireLive(epoch: number): void {
    if (!this.isLive(epoch)) throw new EpochFencedError(epoch);
  }

  /** `short`: budgets of which an earlier ask of the statement found too little. */
  #takeOne(epoch: number, { ask, parts }: Ask, short: Set<string>): LeaseAnswer[] {
    const isShort = (id: string, least: bigint) => {
      const budget = this.#budgets.get(id);
      return !budget || leftOf(budget) < least;
    };
    const isRefused = parts.some(({ budget, leastNano }) => short.has(budget) || isShort(budget, leastNano));
    return parts
      .toSorted((a, b) => compare(a.budget, b.budget))
      .map((part) => {
        const budget = this.#budgets.get(part.budget);
        const nothing = { ask, budget: part.budget, grantedNano: 0n, silentElsewhere: false, cut: false };
        if (!budget) return { ...nothing, state: "gone", facts: undefined, leftNano: 0n };
        if (!isRefused) {
          const grantedNano = this.#grantOf(epoch, budget, part);
          this.#addLease(epoch, budget.id, budget.startMs, grantedNano);
          Object.assign(this.#leaseOf(epoch, budget.id, budget.startMs)!, {
            stuckYoungestMs: undefined,
            answeredMs: undefined,
          });
          const facts = this.#stateOf(epoch, budget);
          return { ...nothing, state: "granted", facts, grantedNano, leftNano: leftOf(budget) };
        }
        const own = this.#leaseOf(epoch, budget.id, budget.startMs);
        if (own) Object.assign(own, { stuckYoungestMs: part.stuckYoungestMs, stuckAtMs: this.nowMs });
        const lacks = isShort(budget.id, part.leastNano);
        if (lacks) short.add(budget.id);
        const cut = lacks && this.#mustCut(epoch, budget);
        if (lacks) this.#recall(epoch, budget, part.needNano - leftOf(budget));
        const silentElsewhere = this.#leases.some(
          (lease) =>
            this.#isElsewhere(lease, epoch, budget) && lease.recall > 0n && lease.recalledMs < this.nowMs - silentMs,
        );
        const facts = this.#stateOf(epoch, budget);
        const state = short.has(budget.id) ? "short" : "spared";
        return { ...nothing, state, facts, leftNano: leftOf(budget), silentElsewhere, cut };
      });
  }

  #grantOf(epoch: number, budget: ModelBudget, part: Ask["parts"][number]): bigint {
    const left = leftOf(budget);
    const own = this.#leaseOf(epoch, budget.id, budget.startMs)?.out ?? 0n;
    if (budget.scope.startsWith("run:") && part.wantNano > part.needNano && budget.leased === own) return left;
    const live = BigInt([...this.#epochs.values()].filter(({ state }) => state === "live").length);
    const share = smaller(part.wantNano, left / (2n * live));
    return larger(larger(smaller(part.needNano, left), share), part.leastNano);
  }

  /** Money of the current period that another epoch has. */
  #isElsewhere(lease: Lease, epoch: number, { id, startMs }: ModelBudget): boolean {
    return lease.budget === id && lease.startMs === startMs && lease.epoch !== epoch && lease.out > 0n;
  }

  #recall(epoch: number, budget: ModelBudget, missing: bigint): void {
    for (const lease of this.#leases) {
      if (!this.#isElsewhere(lease, epoch, budget)) continue;
      if (lease.recall === 0n) lease.recalledMs = this.nowMs;
      lease.recall = larger(lease.recall, missing);
    }
  }

  #mustCut(epoch: number, budget: ModelBudget): boolean {
    const holders = this.#leases.filter(
      (lease) => lease.budget === budget.id && lease.startMs === budget.startMs && lease.out > 0n,
    );
    const isStuck = (lease: Lease) => lease.stuckYoungestMs !== undefined && lease.stuckAtMs > this.nowMs - stuckMs;
    const hasAnswered = ({ epoch: of, answeredMs = -Infinity }: Lease) =>
      of === epoch || answeredMs > this.nowMs - stuckMs;
    if (holders.length === 0 || !holders.every(isStuck) || !holders.every(hasAnswered)) return false;
    const youngest = holders.toSorted((a, b) => b.stuckYoungestMs! - a.stuckYoungestMs! || b.epoch - a.epoch)[0]!;
    return youngest.epoch === epoch;
  }

  #release(epoch: number, id: string, startMs: number, amount: bigint): void {
    if (amount === 0n) return;
    if (this.#epochs.get(epoch)!.state === "fenced") return this.#draw(epoch, id, startMs, amount);
    const lease = this.#leaseOf(epoch, id, startMs);
    if (!lease) return;
    const released = smaller(amount, lease.out);
    lease.out -= released;
    this.#sumsOf(id, lease.startMs).leased -= released;
  }

  #draw(epoch: number, budget: string, startMs: number, amount: bigint): void {
    const item = this.#lost.find((one) => one.epoch === epoch && one.budget === budget && one.startMs === startMs);
    if (!item) return;
    const drawn = smaller(amount, item.amount - item.drawn);
    item.drawn += drawn;
    if (this.#budgets.has(budget)) this.#sumsOf(budget, item.startMs).lost -= drawn;
  }

  #countSpent(budget: ModelBudget, { amountNano, countedAtMs }: ModelSettlement): void {
    if (countedAtMs >= budget.startMs) budget.spent += amountNano;
    else if (budget.period !== "total") {
      const past = budget.past.get(startOf(budget.period, countedAtMs));
      if (past) past.spent += amountNano;
    }
  }

  #newBudget(
    set: { id: string; scope: string; currency: string; limitNano: bigint; period: PeriodKind },
    startMs: number,
  ) {
    const budget: ModelBudget = {
      id: set.id,
      scope: set.scope,
      currency: set.currency,
      limit: set.limitNano,
      period: set.period,
      startMs,
      change: 0,
      pending: false,
      spent: this.#spentSince(set.scope, startMs),
      leased: 0n,
      lost: 0n,
      past: new Map(),
    };
    this.#budgets.set(set.id, budget);
    return budget;
  }

  #changed({ id, scope }: ModelBudget): number {
    const seq = this.#changes.length + 1;
    this.#changes.push({ seq, budget: id, scope });
    return seq;
  }

  #clearPending(): void {
    for (const { id, pending } of this.#budgets.values()) if (pending) this.#moveOn(id);
    const seen = [...this.#epochs.values()].filter(({ state }) => state === "live").map((epoch) => epoch.seen);
    for (const budget of this.#budgets.values())
      if (budget.pending) budget.pending = seen.some((one) => one < budget.change);
  }

  #spentSince(scope: string, startMs: number): bigint {
    return [...this.#settled.values()]
      .filter(({ scopes, countedAtMs }) => scopes.includes(scope) && countedAtMs >= startMs)
      .reduce((sum, { amountNano }) => sum + amountNano, 0n);
  }

  /** The present, or the newest moment at which something of a scope was counted where that lies ahead. */
  #newestMs(scope: string): number {
    const counted = [...this.#settled.values()].filter(({ scopes }) => scopes.includes(scope));
    return Math.max(this.nowMs, ...counted.map(({ countedAtMs }) => countedAtMs));
  }

  /** Begins a budget's new period where one has begun. A clock that goes back begins none again. */
  #moveOn(id: string, atMs = this.nowMs): void {
    const budget = this.#budgets.get(id);
    if (!budget || budget.period === "total" || startOf(budget.period, atMs) <= budget.startMs) return;
    const { spent, leased, lost, startMs } = budget;
    budget.past.set(startMs, { spent, leased, lost });
    Object.assign(budget, { spent: 0n, leased: 0n, lost: 0n, startMs: startOf(budget.period, atMs) });
  }

  #sumsOf(id: string, startMs: number): Sums {
    const budget = this.#budgets.get(id)!;
    return startMs === budget.startMs ? budget : budget.past.get(startMs)!;
  }

  #addLease(epoch: number, budget: string, startMs: number, amount: bigint): void {
    const lease = this.#leaseOf(epoch, budget, startMs);
    if (lease) lease.out += amount;
    else
      this.#leases.push({
        epoch,
        budget,
        startMs,
        out: amount,
        recall: 0n,
        recalledMs: -Infinity,
        stuckYoungestMs: undefined,
        stuckAtMs: 0,
        answeredMs: undefined,
      });
    this.#sumsOf(budget, startMs).leased += amount;
  }

  #leaseOf(epoch: number, budget: string, startMs: number): Lease | undefined {
    return this.#leases.find((one) => one.epoch === epoch && one.budget === budget && one.startMs === startMs);
  }

  #dropEmpty(): void {
    this.#leases = this.#leases.filter(({ out }) => out > 0n);
  }

  #stateOf(epoch: number, budget: ModelBudget): BudgetFacts {
    const outNano = this.#leaseOf(epoch, budget.id, budget.startMs)?.out ?? 0n;
    return {
      budget: budget.id,
      scope: scopeOf(budget.scope) satisfies Scope,
      currency: budget.currency,
      limitNano: budget.limit,
      period: periodName(budget.startMs),
      periodStartsAtMs: budget.startMs,
      periodEndsAtMs: endOf(budget.period, budget.startMs),
      periodEndMs: endOf(budget.period, budget.startMs),
      spentNano: budget.spent,
      lostNano: budget.lost,
      outNano,
      elsewhereNano: budget.leased - outNano,
    };
  }
}
