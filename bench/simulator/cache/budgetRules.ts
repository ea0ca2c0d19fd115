// Eviction rules of a KV pool, which the budget study compares. A rule ranks segments; the highest rank is evicted first, among equals the
// least recently used. Only the clairvoyant rule knows future requests.
//
// Most rules are there twice: told of the ends of sessions and sub-agents, as the runtime of an agent is, and without, as a gateway is that
// serves clients.
import { OwnWaits, type OpenWait, Waits } from "../../../src/scheduler/index.ts";
import type { BudgetRequest } from "./budgetWorkload.ts";
import type { Segment } from "./kvBudget.ts";

/** A rule's state in one pool, with what it has learned. */
export interface Ranking {
  /** The rank; higher is evicted first. */
  rank(segment: Segment, nowS: number): number;
  /** Called for each request. */
  served?(request: BudgetRequest): void;
  /** Called when the rule is told that a thread has ended. */
  ended?(thread: number, nowS: number): void;
}

export interface BudgetRule {
  name: string;
  start(): Ranking;
  /** Evicts everything of a thread this long after its last response, even if there is room. */
  ttlS?: number;
  /** How long after it the rule is told of the end of a thread or a session; absent: never. What has ended is freed at once then. */
  toldAfterS?: number;
}

/** From this rank on, blocks will never be requested again. */
const dead = 1e15;

/** From this rank on, blocks are unlikely to be requested again; they are evicted before those of waiting threads. */
export const superseded = dead / 2;

const lru: Ranking = { rank: (segment) => -segment.order };

interface BudgetRules {
  /** Rules that nothing tells of the ends of sessions. */
  untold: readonly BudgetRule[];
  /** The same, told of ends at once. */
  told: readonly BudgetRule[];
  /** The tool window, told late: what the knowledge is worth. */
  late: readonly BudgetRule[];
  /** Knows all requests that come. */
  clairvoyant: BudgetRule;
}

export const budgetRules: BudgetRules = {
  untold: [
    { name: "lru", start: () => lru },
    { name: "ttl-5min", start: () => lru, ttlS: 300 },
    { name: "tool-window", start: toolWindow },
  ],
  told: [
    { name: "lru, told", start: () => lru, toldAfterS: 0 },
    { name: "ttl-5min, told", start: () => lru, ttlS: 300, toldAfterS: 0 },
    { name: "tool-window, told", start: toolWindow, toldAfterS: 0 },
  ],
  late: [
    { name: "told after 5 min", start: toolWindow, toldAfterS: 300 },
    { name: "after 30 min", start: toolWindow, toldAfterS: 1800 },
  ],
  clairvoyant: {
    name: "clairvoyant",
    start: () => ({ rank: ({ nextUseS }) => (nextUseS === Infinity ? dead : nextUseS) }),
  },
};

/** Expected waits before any has been seen, in ms. */
const startMs = { tool: 10_000, turn: 20_000, unknown: 10_000, any: 10_000 };

type Kinds<T> = Record<keyof typeof startMs, T>;
type Kind = keyof typeof startMs;

const kindNames = Object.keys(startMs) as Kind[];
const byKind = <T>(make: (kind: Kind) => T): Kinds<T> =>
  Object.fromEntries(kindNames.map((kind) => [kind, make(kind)])) as Kinds<T>;

/** A thread's last request, and the wait that begins with the end of its response: by its reason, and without one. */
interface Waiting {
  request: BudgetRequest;
  wait: OpenWait;
  anyWait: OpenWait;
}

/**
 * The rule of the runtime. When room is needed, superseded states are evicted first (a few percent of their tokens are requested again),
 * then the state that must be kept longest for a return, by the waits of the session and of all sessions: those that have ended, and those
 * that still last. A thread that computes waits after the rest of its call. A wait after which the session began anew counts by the share
 * of its state that was used.
 */
function toolWindow(): Ranking {
  const allSessions = byKind((kind) => new Waits(startMs[kind]));
  const sessions = new Map<number, Kinds<OwnWaits>>();
  const threads = new Map<number, Waiting>();
  const service = { requests: 0, ms: 0 };
  const ranks = new Map<number, number>();
  let rankedAtS = Number.NaN;
  const ownOf = (session: number): Kinds<OwnWaits> => {
    const own = sessions.get(session) ?? byKind((kind) => new OwnWaits(allSessions[kind]));
    sessions.set(session, own);
    return own;
  };
  const costOf = (segment: Segment, nowS: number): number => {
    const own = ownOf(segment.session);
    const idleMs = (nowS - segment.endS) * 1000;
    if (idleMs >= 0) return own[segment.then].msPerReturn(idleMs);
    // The thread computes, so the reason of its next wait is unknown.
    return own.any.msPerReturn(0, service.ms / service.requests);
  };
  return {
    served(request) {
      const nowMs = request.atS * 1000;
      for (const kind of kindNames) allSessions[kind].advance(nowMs);
      const before = threads.get(request.thread);
      if (before !== undefined) {
        const { blocks, then } = before.request;
        const used = blocks.length === 0 ? 1 : leadingBlocks(before.request, request) / blocks.length;
        const own = ownOf(request.session);
        allSessions[then].ended(before.wait, nowMs, used, own[then]);
        allSessions.any.ended(before.anyWait, nowMs, used, own.any);
      }
      const endMs = request.endS * 1000;
      service.requests++;
      service.ms += endMs - nowMs;
      threads.set(request.thread, {
        request,
        wait: allSessions[request.then].began(endMs),
        anyWait: allSessions.any.began(endMs),
      });
    },
    ended(thread, nowS) {
      for (const kind of kindNames) allSessions[kind].advance(nowS * 1000);
      const { request, wait, anyWait } = threads.get(thread)!;
      allSessions[request.then].left(wait);
      allSessions.any.left(anyWait);
      threads.delete(thread);
    },
    rank(segment, nowS) {
      if (segment.superseded) return superseded;
      if (nowS !== rankedAtS) {
        ranks.clear();
        rankedAtS = nowS;
      }
      const rank = ranks.get(segment.order) ?? Math.min(superseded / 2, costOf(segment, nowS));
      ranks.set(segment.order, rank);
      return rank;
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
