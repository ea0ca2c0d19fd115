// Recorded coding-agent sessions (kv-cache-tester's Claude Code captures, compact form): lengths, block ids, tool gaps and
// nested sub-agents, without any text. Two views of them:
// - `readAgentSessions` gives the sessions as recorded, for studies that keep the recorded clock (TTL, KV budgets);
// - `sessionsToWorkload` gives a closed loop: a call is sent when its predecessors have ended plus the recorded gap, so
//   that a slower fleet stretches the session as it would in life.
import { z } from "zod";
import { Random } from "../random.ts";
import { SimulatorError, type SimCall, type Workload } from "../types.ts";
import { WorkloadBuilder } from "./builder.ts";
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
export interface AgentThread {
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

/** The block ids that run-length pairs stand for, in order. */
export function* expandRuns(runs: readonly number[]): Generator<number> {
  for (let i = 0; i < runs.length; i += 2) {
    for (let n = 0; n < runs[i + 1]!; n++) yield runs[i]! + n;
  }
}

/** How a session is turned into load. */
export interface SessionLoadOptions {
  /** Mean seconds between session starts (Poisson); 0 starts all at once. */
  meanStartGapS: number;
  seed: number;
  /** Sessions whose longest prompt exceeds this are left out (to fit a model's context). */
  maxContextTokens?: number;
  /** Recorded gaps longer than this are cut to it: nobody replays a night. */
  maxGapS?: number;
  /** Divide all token counts and block lengths by this, to fit small models. */
  shrink?: number;
  /** Give all sessions the same leading blocks for the tokens that deployments share (tools and system prompt). */
  shareSystemPrompt?: boolean;
}

/** A closed-loop workload of recorded sessions; gaps and sub-agents kept. One tenant a session. */
export function sessionsToWorkload(sessions: readonly AgentSession[], options: SessionLoadOptions): Workload {
  const random = Random.stream(options.seed, "session starts");
  const shrink = options.shrink ?? 1;
  const blockTokens = Math.max(1, Math.round((sessions[0]?.blockTokens ?? 64) / shrink));
  const builder = new WorkloadBuilder("agent sessions", blockTokens);
  let left = 0;
  let startMs = 0;
  sessions.forEach((session, number) => {
    const longest = longestPrompt(session);
    if (options.maxContextTokens !== undefined && longest > options.maxContextTokens) {
      left++;
      return;
    }
    addSession(builder, session, number, startMs, shrink, blockTokens, options);
    startMs += options.meanStartGapS > 0 ? random.exponential(options.meanStartGapS * 1000) : 0;
  });
  if (left > 0)
    builder.notes.push(
      `${left} of ${sessions.length} sessions exceed ${options.maxContextTokens} tokens of context and were left out.`,
    );
  if (options.maxGapS !== undefined) builder.notes.push(`Gaps longer than ${options.maxGapS} s were cut to that.`);
  return builder.build();
}

function longestPrompt(session: AgentSession): number {
  let longest = 0;
  for (const thread of [session.main, ...session.subagents]) {
    for (const request of thread.requests) longest = Math.max(longest, request.promptTokens + request.outputTokens);
  }
  return longest;
}

/** A request with its place on the session's clock. */
interface Placed {
  thread: AgentThread;
  request: AgentRequest;
  position: number;
  startS: number;
  endS: number;
}

function addSession(
  builder: WorkloadBuilder,
  session: AgentSession,
  number: number,
  startMs: number,
  shrink: number,
  blockTokens: number,
  options: SessionLoadOptions,
): void {
  const placed: Placed[] = [];
  for (const thread of [session.main, ...session.subagents]) {
    thread.requests.forEach((request, position) => {
      const startS = thread.offsetS + request.startS;
      placed.push({ thread, request, position, startS, endS: startS + request.apiS });
    });
  }
  placed.sort((a, b) => a.startS - b.startS);
  const lastOfThread = new Map<AgentThread, { index: number; endS: number }>();
  const zeroS = placed[0]?.startS ?? 0;
  const firstStart = new Map<AgentThread, number>();
  const sharedBlocks = options.shareSystemPrompt === true ? Math.floor(session.sharedTokens / session.blockTokens) : 0;
  for (const entry of placed) {
    const { thread, request } = entry;
    const after: { index: number; endS: number }[] = [];
    const own = lastOfThread.get(thread);
    if (own !== undefined) after.push(own);
    if (thread === session.main) {
      // Sub-agents that ended between the previous request and this one were waited for.
      for (const [other, last] of lastOfThread) {
        if (other !== thread && last.endS <= entry.startS && last.endS > (own?.endS ?? -1)) after.push(last);
      }
    } else if (own === undefined) {
      const parent = lastOfThread.get(session.main);
      if (parent !== undefined) after.push(parent);
    }
    if (!firstStart.has(thread)) firstStart.set(thread, entry.startS);
    const lastEndS = after.reduce((latest, a) => Math.max(latest, a.endS), -Infinity);
    let delayS = after.length > 0 ? Math.max(0, entry.startS - lastEndS) : entry.startS - zeroS;
    if (options.maxGapS !== undefined) delayS = Math.min(delayS, options.maxGapS);
    const isLast = entry.position === thread.requests.length - 1;
    const then: SimCall["then"] = isLast ? "end" : request.stop === "tool_use" ? "tool" : "turn";
    const contents = function* (): Generator<number | string> {
      let position = 0;
      for (const id of expandRuns(request.runs)) {
        yield position < sharedBlocks ? `s${position}` : position === sharedBlocks ? `${number}:${id}` : id;
        position++;
      }
    };
    const call = builder.add({
      tenant: session.id,
      program: session.id,
      thread: thread.id,
      promptTokens: Math.max(1, Math.round(request.promptTokens / shrink)),
      outputTokens: Math.max(1, Math.round(request.outputTokens / shrink)),
      blocks: builder.chain(
        contents(),
        Math.min(request.blocks, Math.floor(request.promptTokens / shrink / blockTokens)),
        sharedBlocks > 0 ? 0 : number + 1,
      ),
      after: after.map((a) => a.index),
      delayMs: after.length > 0 ? delayS * 1000 : startMs + delayS * 1000,
      then,
    });
    lastOfThread.set(thread, { index: call.index, endS: entry.endS });
  }
}
