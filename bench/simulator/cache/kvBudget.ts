// The cost of a KV budget for agents: recorded sessions on their recorded clock, one pool of KV, and eviction rules to compare. Sub-agents
// of a session are threads of their own. There is no engine: a request takes its recorded time, whatever is recomputed, so all rules see
// the same arrivals and differ only in the blocks that they keep.
//
// The pool works in segments: runs of consecutive blocks of one thread with the same last use and the same next use. A segment is always
// trimmed from its tail, which is evicting leaf blocks. Rules rank segments; the highest rank is evicted first. The borders of segments
// come from their next use, which no rule may exploit: segments of one request are evicted from the tail, and between requests of equal
// rank the older first.
import { superseded, type BudgetRule, type Ranking } from "./budgetRules.ts";
import type { BudgetRequest, BudgetWorkload } from "./budgetWorkload.ts";

/** A run of blocks of one thread that were last used, and will next be used, together. */
export interface Segment {
  thread: number;
  session: number;
  /** The number of the request that stored it; later is larger. */
  order: number;
  atS: number;
  endS: number;
  then: BudgetRequest["then"];
  /** Whether it is no longer part of its thread's newest prompt. */
  superseded: boolean;
  nextUseS: number;
  blocks: Int32Array;
  from: number;
  /** Exclusive; trimming lowers it. */
  to: number;
  /** Blocks in [from, to) that still belong to this segment. */
  live: number;
  id: number;
  tier: 0 | 1;
}

export interface BudgetResult {
  rule: string;
  budgetTokens: number;
  deviceTokens: number;
  promptTokens: number;
  recomputedTokens: number;
  /** Tokens that were hits below the device and had to be loaded. */
  reloadedTokens: number;
}

/**
 * Runs one rule.
 * @param budgetTokens all tiers together
 * @param deviceTokens of these, on the device; the same by default
 */
export function runBudget(
  workload: BudgetWorkload,
  rule: BudgetRule,
  budgetTokens: number,
  deviceTokens = budgetTokens,
): BudgetResult {
  const pool = new Pool(workload, rule, budgetTokens, deviceTokens);
  for (const request of workload.requests) pool.serve(request);
  return {
    rule: rule.name,
    budgetTokens,
    deviceTokens,
    promptTokens: workload.promptTokens,
    recomputedTokens: pool.recomputedTokens,
    reloadedTokens: pool.reloadedTokens,
  };
}

class Pool {
  recomputedTokens = 0;
  reloadedTokens = 0;
  readonly #workload: BudgetWorkload;
  readonly #rule: BudgetRule;
  readonly #ranking: Ranking;
  readonly #capacity: number;
  readonly #deviceCapacity: number;
  readonly #owner: Int32Array;
  readonly #segments = new Map<number, Segment>();
  /** Segments of each thread's newest prompt. */
  readonly #newest = new Map<number, Segment[]>();
  /** Last requests of threads, by the time at which the rule is told, latest first; and the threads that it has been told of. */
  readonly #ends: { thread: number; toldS: number }[] = [];
  readonly #ended = new Set<number>();
  #nextId = 1;
  #order = 0;
  #resident = 0;
  #onDevice = 0;

  constructor(workload: BudgetWorkload, rule: BudgetRule, budgetTokens: number, deviceTokens: number) {
    this.#workload = workload;
    this.#rule = rule;
    this.#ranking = rule.start();
    this.#capacity = Math.floor(budgetTokens / workload.blockTokens);
    this.#deviceCapacity = Math.floor(deviceTokens / workload.blockTokens);
    this.#owner = new Int32Array(workload.blockCount);
    if (rule.toldAfterS !== undefined) this.#ends = endsOf(workload, rule.toldAfterS);
  }

  serve(request: BudgetRequest): void {
    const nowS = request.atS;
    this.#ranking.served?.(request);
    this.#expire(nowS);
    const hit = this.#hits(request.blocks);
    this.recomputedTokens += request.promptTokens - hit * this.#workload.blockTokens;
    this.#insert(request);
    this.#hear(nowS);
    this.#evict(nowS);
  }

  #hits(blocks: Int32Array): number {
    const owner = this.#owner;
    let hit = 0;
    let reloaded = 0;
    let id = 0;
    let below = false;
    for (; hit < blocks.length; hit++) {
      const found = owner[blocks[hit]!]!;
      if (found === 0) break;
      if (found !== id) {
        id = found;
        below = this.#segments.get(id)!.tier === 1;
      }
      if (below) reloaded++;
    }
    this.reloadedTokens += reloaded * this.#workload.blockTokens;
    return hit;
  }

  /** The prompt's blocks become the thread's newest segments, one for each step of next use. */
  #insert(request: BudgetRequest): void {
    const { blocks } = request;
    const order = this.#order++;
    for (const segment of this.#newest.get(request.thread) ?? []) segment.superseded = true;
    this.#newest.set(request.thread, []);
    for (let step = 0; step < request.nextUse.length; step++) {
      const { from, atS } = request.nextUse[step]!;
      const to = request.nextUse[step + 1]?.from ?? blocks.length;
      this.#add({
        thread: request.thread,
        session: request.session,
        order,
        atS: request.atS,
        endS: request.endS,
        then: request.then,
        superseded: false,
        nextUseS: atS,
        blocks,
        from,
        to,
        live: to - from,
        id: this.#nextId++,
        tier: 0,
      });
    }
  }

  /** Takes over the segment's blocks from the segments that held them. */
  #add(segment: Segment): void {
    const owner = this.#owner;
    const { id, blocks, from, to } = segment;
    // Neighbouring blocks mostly have one holder.
    let holder: Segment | undefined;
    for (let p = from; p < to; p++) {
      const block = blocks[p]!;
      const before = owner[block]!;
      owner[block] = id;
      if (before === 0) {
        this.#resident++;
        continue;
      }
      if (holder?.id !== before) holder = this.#segments.get(before)!;
      this.#lose(holder);
    }
    if (segment.tier === 0) this.#onDevice += to - from;
    this.#segments.set(segment.id, segment);
    if (!segment.superseded) this.#newest.get(segment.thread)!.push(segment);
  }

  #lose(segment: Segment): void {
    if (segment.tier === 0) this.#onDevice--;
    if (--segment.live === 0) this.#segments.delete(segment.id);
  }

  #evict(nowS: number): void {
    if (this.#resident <= this.#capacity && this.#onDevice <= this.#deviceCapacity) return;
    const victims = this.#byRank(nowS);
    // Useless segments are evicted first from every tier, then those of the lowest tier, to which the device's victims have been moved.
    this.#free(victims.filter(({ rank }) => rank >= superseded));
    this.#free(victims.filter(({ segment }) => segment.tier === 1));
    this.#free(victims);
    for (const { segment } of victims) {
      if (this.#onDevice <= this.#deviceCapacity) break;
      if (segment.tier === 1 || segment.live === 0) continue;
      const moved = this.#trim(segment, this.#onDevice - this.#deviceCapacity);
      this.#add({ ...segment, ...moved, live: moved.count, id: this.#nextId++, tier: 1 });
    }
  }

  /** Trims in this order until what remains fits. */
  #free(victims: readonly { segment: Segment }[]): void {
    for (const { segment } of victims) {
      if (this.#resident <= this.#capacity) return;
      if (segment.live > 0) this.#trim(segment, this.#resident - this.#capacity);
    }
  }

  /** All segments in the order of eviction. */
  #byRank(nowS: number): { segment: Segment; rank: number }[] {
    const ranked = Array.from(this.#segments.values(), (segment) => ({
      segment,
      rank: this.#ranking.rank(segment, nowS),
    }));
    return ranked.sort(
      (a, b) => b.rank - a.rank || a.segment.order - b.segment.order || b.segment.from - a.segment.from,
    );
  }

  /** Removes up to `count` live blocks from the segment's tail. Returns their range. */
  #trim(segment: Segment, count: number): { from: number; to: number; count: number; blocks: Int32Array } {
    const owner = this.#owner;
    const kept: number[] = [];
    let p = segment.to;
    while (p > segment.from && kept.length < count) {
      const block = segment.blocks[--p]!;
      if (owner[block] !== segment.id) continue;
      owner[block] = 0;
      kept.push(block);
      this.#resident--;
      if (segment.tier === 0) this.#onDevice--;
    }
    segment.to = p;
    segment.live -= kept.length;
    if (segment.live === 0) this.#segments.delete(segment.id);
    const blocks = Int32Array.from(kept.toReversed());
    return { from: 0, to: blocks.length, count: blocks.length, blocks };
  }

  /** The rule is told of the threads that have ended, and what they have left is freed. */
  #hear(nowS: number): void {
    const before = this.#ended.size;
    for (let next = this.#ends.at(-1); next !== undefined && next.toldS <= nowS; next = this.#ends.at(-1)) {
      this.#ends.pop();
      this.#ended.add(next.thread);
      this.#ranking.ended?.(next.thread, nowS);
    }
    if (this.#ended.size === before) return;
    for (const segment of this.#segments.values()) if (this.#ended.has(segment.thread)) this.#trim(segment, Infinity);
  }

  /** A rule with a time-to-live frees what has idled longer, strictly. */
  #expire(nowS: number): void {
    const { ttlS } = this.#rule;
    if (ttlS === undefined) return;
    for (const segment of this.#segments.values()) {
      if (nowS - segment.endS > ttlS) this.#trim(segment, Infinity);
    }
  }
}

/** When a rule is told of the ends of threads, latest first. A session ends with its last thread. */
function endsOf({ requests }: BudgetWorkload, afterS: number): { thread: number; toldS: number }[] {
  const ends = requests.filter(({ last }) => last).map(({ thread, endS }) => ({ thread, toldS: endS + afterS }));
  return ends.sort((a, b) => b.toldS - a.toldS);
}
