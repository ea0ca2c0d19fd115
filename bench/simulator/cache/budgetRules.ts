// Which blocks a KV pool gives up first: the rules that the budget study compares. A rule ranks segments; the highest goes
// first, of equals what was used longest ago. Only the clairvoyant looks at what comes.
import { Waits } from "../../../src/scheduler/index.ts";
import type { BudgetRequest } from "./budgetWorkload.ts";
import type { Segment } from "./kvBudget.ts";

/** What a rule may know beside the segment. */
export interface RuleContext {
  nowS: number;
  sessionEndS: Float64Array;
}

/** A rule at work in one pool: what it has learned is its own. */
export interface Ranking {
  /** Higher goes first. */
  rank(segment: Segment, context: RuleContext): number;
  /** A request has come. */
  served?(request: BudgetRequest): void;
}

export interface BudgetRule {
  name: string;
  start(): Ranking;
  /** Kept nothing longer than this after the thread's last response, even with room to spare. */
  ttlS?: number;
  /** Frees what the runtime says is dead at once. */
  dropsDead?: boolean;
}

/** Rank from which nothing will ever be asked for. */
export const dead = 1e15;

/** Rank from which it is unlikely to be asked for: ahead of everything that waits. */
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

/** Waits before anything has been learned of them: what a model call takes, and a tool. */
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
 * The rule of the runtime. What the runtime reports as dead goes at once: ended sub-agents and sessions. When room is wanted, superseded
 * states go next (of a hundred of their tokens a few are asked for again: nothing is gained by dropping them earlier), and then
 * what will be asked for last, by the waits that it has seen end, the session's own beside those of all sessions. For a thread
 * that computes, that is the rest of its call and a wait; for a waiting thread, the rest of its wait. A wait after which the session began
 * anew counts as a wait that did not come back.
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
      // It computes: it is not known yet why it will wait.
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
