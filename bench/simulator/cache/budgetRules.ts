// Eviction rules of a KV pool, which the budget study compares. A rule ranks segments; the highest rank is evicted first, among equals the
// least recently used. Only the clairvoyant rule knows future requests.
import { Waits } from "../../../src/scheduler/index.ts";
import type { BudgetRequest } from "./budgetWorkload.ts";
import type { Segment } from "./kvBudget.ts";

/** The facts that a rule may use beside the segment. */
export interface RuleContext {
  nowS: number;
  sessionEndS: Float64Array;
}

/** A rule's state in one pool, with what it has learned. */
export interface Ranking {
  /** The rank; higher is evicted first. */
  rank(segment: Segment, context: RuleContext): number;
  /** Called for each request. */
  served?(request: BudgetRequest): void;
}

export interface BudgetRule {
  name: string;
  start(): Ranking;
  /** Evicts everything of a thread this long after its last response, even if there is room. */
  ttlS?: number;
  /** Whether dead state, as reported by the runtime, is freed at once. */
  dropsDead?: boolean;
}

/** From this rank on, blocks will never be requested again. */
export const dead = 1e15;

/** From this rank on, blocks are unlikely to be requested again; they are evicted before those of waiting threads. */
export const superseded = dead / 2;

const lru: Ranking = { rank: (segment) => -segment.order };

export const budgetRules: readonly BudgetRule[] = [
  { name: "lru", start: () => lru },
  { name: "ttl-5min", start: () => lru, ttlS: 300 },
  { name: "tool-window", start: toolWindow, dropsDead: true },
  {
    name: "clairvoyant",
    start: () => ({ rank: ({ nextUseS }) => (nextUseS === Infinity ? dead : nextUseS) }),
  },
];

/** Initial estimates of waits: for a model call, and for a tool. */
const startMs = { service: 5_000, tool: 10_000, turn: 20_000, unknown: 10_000, any: 10_000 };

type Kinds = Record<keyof typeof startMs, Waits>;
const newKinds = (all?: Kinds): Kinds => ({
  service: new Waits(all?.service),
  tool: new Waits(all?.tool),
  turn: new Waits(all?.turn),
  unknown: new Waits(all?.unknown),
  any: new Waits(all?.any),
});

/**
 * The rule of the runtime. State that the runtime reports as dead (ended sub-agents and sessions) is freed at once. When room is needed,
 * superseded states are evicted next (a few percent of their tokens are requested again, so nothing is gained by dropping them earlier),
 * then the state that is expected to be requested last, by the observed waits of the session and of all sessions. For a thread that
 * computes, that is the rest of its call and a wait; for a waiting thread, the rest of its wait. A wait after which the session began anew
 * counts as a wait that did not come back.
 */
function toolWindow(): Ranking {
  const everybody = newKinds();
  const sessions = new Map<number, Kinds>();
  const last = new Map<number, BudgetRequest>();
  const kindsOf = (session: number): Kinds => {
    let kinds = sessions.get(session);
    if (kinds === undefined) sessions.set(session, (kinds = newKinds(everybody)));
    return kinds;
  };
  const nextUseMs = (segment: Segment, nowS: number): number => {
    const waits = kindsOf(segment.session);
    const idleMs = (nowS - segment.endS) * 1000;
    if (idleMs < 0) {
      // The thread computes, so the reason of its next wait is unknown.
      const inServiceMs = (nowS - segment.atS) * 1000;
      return waits.service.remainingMs(inServiceMs, startMs.service) + waits.any.remainingMs(0, startMs.any);
    }
    const kind = segment.then === "end" ? "any" : segment.then;
    return waits[kind].remainingMs(idleMs, startMs[kind]);
  };
  return {
    served(request) {
      const before = last.get(request.thread);
      if (before !== undefined) {
        const waits = kindsOf(request.session);
        const waitedMs = Math.max(0, request.atS - before.endS) * 1000;
        const used = before.blocks.length === 0 ? 1 : leadingBlocks(before, request) / before.blocks.length;
        waits.any.add(waitedMs, used);
        waits.service.add((before.endS - before.atS) * 1000);
        if (before.then !== "end") waits[before.then].add(waitedMs, used);
      }
      last.set(request.thread, request);
    },
    rank(segment, { nowS, sessionEndS }) {
      const ended = segment.then === "end" && segment.endS <= nowS;
      if (ended || sessionEndS[segment.session]! <= nowS) return dead;
      if (segment.superseded) return superseded;
      return nextUseMs(segment, nowS);
    },
  };
}

/** Blocks that two prompts begin with alike; a block's id stands for all before it, so the search may halve. */
function leadingBlocks(a: BudgetRequest, b: BudgetRequest): number {
  let low = 0;
  let high = Math.min(a.blocks.length, b.blocks.length);
  while (low < high) {
    const middle = Math.ceil((low + high) / 2);
    if (a.blocks[middle - 1] === b.blocks[middle - 1]) low = middle;
    else high = middle - 1;
  }
  return low;
}
