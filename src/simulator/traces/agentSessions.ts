// Recorded coding-agent sessions (kv-cache-tester's Claude Code captures, compact form): lengths, block ids, tool gaps and
// nested sub-agents, without any text. Two views of them:
// - `readAgentSessions` gives the sessions as recorded, for studies that keep the recorded clock (TTL, KV budgets);
// - `sessionsToWorkload` gives a closed loop: a call is sent when its predecessors have ended plus the recorded gap, so
//   that a slower fleet stretches the session as it would in life.
import { z } from "zod";
import { Random } from "../random.ts";
import { SimulatorError, type Workload } from "../types.ts";
import { WorkloadBuilder } from "./builder.ts";
import { dependencies, type RecordedCall } from "./closedLoop.ts";
import { parseLine, readLines } from "./files.ts";

/** One recorded model request. Times in seconds since the session's start (a sub-agent's: since the sub-agent's). */
export interface AgentRequest {
  startS: number;
  /** Server time; 0 where the capture lacks it. */
  apiS: number;
  promptTokens: number;
  outputTokens: number;
  /** Block ids as [start, length, start, length, ...]; local to the session. */
  runs: readonly number[];
  /** Number of whole blocks in `runs`. */
  blocks: number;
  stop: string;
}

/** One linear conversation: the main thread or a sub-agent. */
interface AgentThread {
  id: string;
  /** Seconds from the session's start to this thread's zero. */
  offsetS: number;
  requests: AgentRequest[];
}

export interface AgentSession {
  id: string;
  blockTokens: number;
  /** Leading tokens (tools and system prompt) that deployments share between sessions. */
  sharedTokens: number;
  main: AgentThread;
  subagents: AgentThread[];
}

const requestRow = z.object({
  t: z.number(),
  in: z.number().int().nonnegative(),
  out: z.number().int().nonnegative(),
  hash_runs: z.array(z.number().int()),
  api_time: z.number().nullish(),
  stop: z.string().nullish(),
});
const subagentRow = z.object({
  t: z.number(),
  type: z.literal("subagent"),
  agent_id: z.string(),
  requests: z.array(requestRow),
});
const sessionRow = z.object({
  id: z.string(),
  block_size: z.number().int().positive(),
  tool_tokens: z.number().nullish(),
  system_tokens: z.number().nullish(),
  requests: z.array(z.union([subagentRow, requestRow])),
});

/** Reads sessions in file order; `limit` stops early. Throws SimulatorError `trace_unreadable` naming the line. */
export async function* readAgentSessions(path: string, limit = Infinity): AsyncGenerator<AgentSession> {
  let lineNumber = 0;
  for await (const line of readLines(path, limit)) {
    lineNumber++;
    const parsed = sessionRow.safeParse(parseLine(line, path, lineNumber));
    if (!parsed.success) {
      throw new SimulatorError(
        "trace_unreadable",
        `Line ${lineNumber} of ${path} is not an agent session: ${z.prettifyError(parsed.error)}`,
        "Expected one session a line with id, block_size and requests[].",
      );
    }
    yield toSession(parsed.data);
  }
}

function toSession(data: z.infer<typeof sessionRow>): AgentSession {
  const main: AgentThread = { id: "main", offsetS: 0, requests: [] };
  const subagents: AgentThread[] = [];
  for (const entry of data.requests) {
    if ("agent_id" in entry) {
      subagents.push({ id: entry.agent_id, offsetS: entry.t, requests: entry.requests.map(toRequest) });
    } else {
      main.requests.push(toRequest(entry));
    }
  }
  return {
    id: data.id,
    blockTokens: data.block_size,
    sharedTokens: (data.tool_tokens ?? 0) + (data.system_tokens ?? 0),
    main,
    subagents,
  };
}

function toRequest(row: z.infer<typeof requestRow>): AgentRequest {
  let blocks = 0;
  for (let i = 1; i < row.hash_runs.length; i += 2) blocks += row.hash_runs[i]!;
  return {
    startS: row.t,
    apiS: row.api_time ?? 0,
    promptTokens: row.in,
    outputTokens: row.out,
    runs: row.hash_runs,
    blocks,
    stop: row.stop ?? "",
  };
}

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
  let startMs = 0;
  sessions.forEach((session) => {
    const longest = longestPrompt(session);
    if (options.maxContextTokens !== undefined && longest > options.maxContextTokens) {
      left++;
      return;
    }
    addSession(builder, session, startMs, shrink, blockTokens, options);
    startMs += options.meanStartGapS > 0 ? random.exponential(options.meanStartGapS * 1000) : 0;
  });
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

function addSession(
  builder: WorkloadBuilder,
  session: AgentSession,
  startMs: number,
  shrink: number,
  blockTokens: number,
  options: SessionLoadOptions,
): void {
  const recorded = recordedCalls(session);
  const depends = dependencies(recorded);
  const shared = options.shareSystemPrompt === true ? sharedBlocks(session) : 0;
  const arrays = blockArrays(session, builder.freshRange(idRange(session)), shared);
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
      tenant: session.id,
      program: session.id,
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
