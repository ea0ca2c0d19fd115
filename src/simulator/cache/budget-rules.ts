// Which blocks a KV pool gives up first: the rules that the budget study compares. A rule ranks segments; the highest goes
// first, of equals the deepest. Only the clairvoyant looks at what comes.
import { Waits } from "../../scheduler/index.ts";
import type { BudgetRequest } from "./budget-workload.ts";
import type { Segment } from "./kv-budget.ts";

/** What a rule may know beside the segment. */
export interface RuleContext {
  nowS: number;
  sessionEndS: Float64Array;
}

/** A rule at work in one pool: what it has learned is its own. */
export interface Ranking {
  /** Higher goes first. Of equals the later (deeper) segment goes first. */
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

/** Ahead of everything that may live. */
export const dead = 1e15;

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
const startMs = { service: 5_000, tool: 10_000, turn: 20_000, any: 10_000 };

/**
 * The rule of the runtime. What it says is dead goes at once: ended sub-agents and sessions, superseded states. Of the rest
 * goes first what will be asked for last, by the waits that it has seen end: of a thread that computes, the rest of its call
 * and a wait; of one that waits, the rest of that. Expectations within a factor of two are equal, and of equals the deepest
 * blocks go: every thread keeps the beginning of its prompt, and no thread loses all of it to another as good as itself.
 */
function toolWindow(): Ranking {
  const waits = { service: new Waits(), tool: new Waits(), turn: new Waits(), any: new Waits() };
  const last = new Map<number, BudgetRequest>();
  const nextUseMs = (segment: Segment, nowS: number): number => {
    const idleMs = (nowS - segment.endS) * 1000;
    if (idleMs < 0) {
      // It computes: nobody knows yet why it will wait.
      const inServiceMs = (nowS - segment.atS) * 1000;
      return waits.service.remainingMs(inServiceMs, startMs.service) + waits.any.remainingMs(0, startMs.any);
    }
    const kind = segment.then === "tool" ? "tool" : "turn";
    return waits[kind].remainingMs(idleMs, startMs[kind]);
  };
  return {
    served(request) {
      const before = last.get(request.thread);
      if (before !== undefined) {
        const waitedMs = Math.max(0, request.atS - before.endS) * 1000;
        waits.any.add(waitedMs);
        waits.service.add((before.endS - before.atS) * 1000);
        if (before.then !== "end") waits[before.then].add(waitedMs);
      }
      last.set(request.thread, request);
    },
    rank(segment, { nowS, sessionEndS }) {
      const ended = segment.then === "end" && segment.endS <= nowS;
      if (segment.superseded || ended || sessionEndS[segment.session]! <= nowS) return dead - segment.order;
      return Math.round(Math.log2(nextUseMs(segment, nowS)));
    },
  };
}
