// Coding-agent sessions as load: a call is sent when its predecessors have ended plus the recorded gap, so that a slower fleet stretches
// the session as it would in life. The sessions as recorded, for studies that keep the recorded clock, are read by agentFiles.ts.
import { Random } from "../random.ts";
import type { Workload } from "../types.ts";
import { WorkloadBuilder } from "./builder.ts";
import { dependencies, type RecordedCall } from "./closedLoop.ts";
import type { AgentRequest, AgentSession } from "./agentFiles.ts";

/** Number of leading equal block ids of two run-length lists, without expanding them. */
export function leadingEqual(a: readonly number[], b: readonly number[]): number {
  let equal = 0;
  let i = 0;
  let j = 0;
  let usedA = 0;
  let usedB = 0;
  while (i < a.length && j < b.length) {
    if (a[i]! + usedA !== b[j]! + usedB) return equal;
    const step = Math.min(a[i + 1]! - usedA, b[j + 1]! - usedB);
    equal += step;
    usedA += step;
    usedB += step;
    if (usedA === a[i + 1]!) {
      i += 2;
      usedA = 0;
    }
    if (usedB === b[j + 1]!) {
      j += 2;
      usedB = 0;
    }
  }
  return equal;
}

/** How a session is turned into load. */
interface SessionLoadOptions {
  /** Mean seconds between session starts (Poisson); 0 starts all at once. */
  meanStartGapS: number;
  seed: number;
  /** Sessions whose longest prompt exceeds this are left out (to fit a model's context). */
  maxContextTokens?: number;
  /** Recorded gaps longer than this are cut to it, so that a night is not replayed. */
  maxGapS?: number;
  /** Divide all token counts and block lengths by this, to fit small models. */
  shrink?: number;
  /** Decoded blocks that the next prompt of the thread begins with stay in cache, as in real engines; on by default. */
  reuseOutputs?: boolean;
  /** Give all main threads the same leading blocks for the tokens that deployments share (tools and system prompt). */
  shareSystemPrompt?: boolean;
}

/** A closed-loop workload of recorded sessions; gaps and sub-agents kept. One tenant a session. */
export function sessionsToWorkload(sessions: readonly AgentSession[], options: SessionLoadOptions): Workload {
  const random = Random.stream(options.seed, "session starts");
  const shrink = options.shrink ?? 1;
  const blockTokens = Math.max(1, Math.round((sessions[0]?.blockTokens ?? 64) / shrink));
  const builder = new WorkloadBuilder("agent sessions", blockTokens);
  if (options.shareSystemPrompt === true) builder.freshRange(Math.max(0, ...sessions.map(sharedBlocks)));
  let left = 0;
  let otherBlocks = 0;
  let startMs = 0;
  sessions.forEach((session, number) => {
    // Blocks of different sizes cannot be counted together.
    if (session.blockTokens !== sessions[0]!.blockTokens) {
      otherBlocks++;
      return;
    }
    const longest = longestPrompt(session);
    if (options.maxContextTokens !== undefined && longest > options.maxContextTokens) {
      left++;
      return;
    }
    addSession(builder, session, number, startMs, { shrink, blockTokens, options });
    startMs += options.meanStartGapS > 0 ? random.exponential(options.meanStartGapS * 1000) : 0;
  });
  if (otherBlocks > 0)
    builder.notes.push(
      `${otherBlocks} of ${sessions.length} sessions have blocks of another size than the first and were left out.`,
    );
  if (left > 0)
    builder.notes.push(
      `${left} of ${sessions.length} sessions exceed ${options.maxContextTokens} tokens of context and were left out.`,
    );
  if (options.maxGapS !== undefined) builder.notes.push(`Gaps longer than ${options.maxGapS} s were cut to that.`);
  return builder.build();
}

function sharedBlocks(session: AgentSession): number {
  return Math.floor(session.sharedTokens / session.blockTokens);
}

function longestPrompt(session: AgentSession): number {
  let longest = 0;
  for (const thread of [session.main, ...session.subagents]) {
    for (const request of thread.requests) longest = Math.max(longest, request.promptTokens + request.outputTokens);
  }
  return longest;
}

interface Laying {
  shrink: number;
  blockTokens: number;
  options: SessionLoadOptions;
}

function addSession(
  builder: WorkloadBuilder,
  session: AgentSession,
  number: number,
  startMs: number,
  { shrink, blockTokens, options }: Laying,
): void {
  const recorded = recordedCalls(session);
  const depends = dependencies(recorded);
  const shared = options.shareSystemPrompt === true ? sharedBlocks(session) : 0;
  const range = idRange(session);
  const arrays =
    session.globalIds || range > sparseFrom + 4 * blocksOf(session)
      ? chainedArrays(builder, session, session.globalIds ? 0 : 1 + (number % scopesMost))
      : blockArrays(session, builder.freshRange(range), shared);
  const first = builder.calls.length;
  const nextOf = new Map<AgentRequest, AgentRequest>();
  for (const thread of [session.main, ...session.subagents]) {
    thread.requests.forEach((request, i) => i > 0 && nextOf.set(thread.requests[i - 1]!, request));
  }
  /** Blocks of the thread's next prompt that this prompt and its output fill, if it goes on from this one. */
  const outputOf = ({ request }: { request: AgentRequest }, own: number): Int32Array | undefined => {
    const next = nextOf.get(request);
    if (next === undefined || leadingEqual(request.runs, next.runs) < request.blocks) return undefined;
    const filled = Math.floor((request.promptTokens + request.outputTokens) / shrink / blockTokens);
    return arrays.get(next)!.subarray(own, Math.max(own, Math.min(filled, next.blocks)));
  };
  recorded.forEach((entry, position) => {
    const { request } = entry;
    const dependency = depends[position]!;
    const delayMs = Math.min(dependency.delayMs, (options.maxGapS ?? Infinity) * 1000);
    const blocks = Math.min(request.blocks, Math.floor(request.promptTokens / shrink / blockTokens));
    builder.add({
      tenant: session.tenant ?? session.id,
      // Joined files may name several sessions alike.
      program: `${number} ${session.id}`,
      thread: entry.thread,
      promptTokens: Math.max(1, Math.round(request.promptTokens / shrink)),
      outputTokens: Math.max(1, Math.round(request.outputTokens / shrink)),
      blocks: arrays.get(request)!.subarray(0, blocks),
      ...(options.reuseOutputs === false ? {} : { outputBlocks: outputOf(entry, blocks) }),
      after: dependency.after.map((index) => first + index),
      delayMs: dependency.after.length > 0 ? delayMs : startMs + delayMs,
      then: dependency.last ? "end" : request.stop === "tool_use" ? "tool" : "turn",
    });
  });
}

/** All requests of a session on its own clock, in order of their start. */
export function recordedCalls(session: AgentSession): (RecordedCall & { request: AgentRequest })[] {
  const all = [session.main, ...session.subagents].flatMap((thread) =>
    thread.requests.map((request) => {
      const startMs = (thread.offsetS + request.startS) * 1000;
      return {
        program: session.id,
        thread: thread.id,
        ...(thread === session.main ? {} : { parentThread: session.main.id }),
        startMs,
        endMs: startMs + request.apiS * 1000,
        request,
      };
    }),
  );
  return all.toSorted((a, b) => a.startMs - b.startMs);
}

/**
 * Block ids of every request as arrays. Ids of a session are chained by prefix already, so they only need an offset. A request
 * whose prompt is a prefix of the next one's in its thread is a view into it: a session costs the memory of its longest
 * prompts, not of all of them.
 * @param firstId id that the session's local id 0 becomes
 * @param shared leading blocks of the main thread that get the ids 0 .. shared - 1 instead
 */
export function blockArrays(session: AgentSession, firstId: number, shared = 0): Map<AgentRequest, Int32Array> {
  const arrays = new Map<AgentRequest, Int32Array>();
  for (const thread of [session.main, ...session.subagents]) {
    const common = thread === session.main ? shared : 0;
    for (let i = thread.requests.length - 1; i >= 0; i--) {
      const request = thread.requests[i]!;
      const next = thread.requests[i + 1];
      if (next !== undefined && leadingEqual(request.runs, next.runs) === request.blocks) {
        arrays.set(request, arrays.get(next)!.subarray(0, request.blocks));
        continue;
      }
      const ids = new Int32Array(request.blocks);
      let at = 0;
      for (let r = 0; r < request.runs.length; r += 2) {
        for (let n = 0; n < request.runs[r + 1]!; n++, at++) {
          ids[at] = at < common ? at : firstId + request.runs[r]! + n;
        }
      }
      arrays.set(request, ids);
    }
  }
  return arrays;
}

/** Block ids must not exceed this and four times the blocks of a session's prompts, because memory is taken for every number up to the largest. */
const sparseFrom = 1024;

/** Scopes of block ids that a builder keeps apart, less the one of ids that are global. */
const scopesMost = 2 ** 20 - 1;

/**
 * The same for ids that are equal in several sessions (scope 0), or that are not small numbers: they are made dense, and chained by
 * prefix, because a hash of a block's own content may stand behind different prefixes.
 */
function chainedArrays(builder: WorkloadBuilder, session: AgentSession, scope: number): Map<AgentRequest, Int32Array> {
  const arrays = new Map<AgentRequest, Int32Array>();
  for (const thread of [session.main, ...session.subagents]) {
    for (const request of thread.requests)
      arrays.set(request, builder.chain(idsOf(request.runs), request.blocks, scope));
  }
  return arrays;
}

function* idsOf(runs: readonly number[]): Generator<number> {
  for (let r = 0; r < runs.length; r += 2) for (let n = 0; n < runs[r + 1]!; n++) yield runs[r]! + n;
}

function blocksOf(session: AgentSession): number {
  let blocks = 0;
  for (const { requests } of [session.main, ...session.subagents])
    for (const request of requests) blocks += request.blocks;
  return blocks;
}

/** One more than the largest local block id of a session. */
export function idRange(session: AgentSession): number {
  let end = 0;
  for (const thread of [session.main, ...session.subagents]) {
    for (const { runs } of thread.requests) {
      for (let r = 0; r < runs.length; r += 2) end = Math.max(end, runs[r]! + runs[r + 1]!);
    }
  }
  return end;
}
