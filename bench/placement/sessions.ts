// The agent sessions that are replayed: recorded ones, scaled down to a small model on a few cores.
//
// All lengths are divided by the trace's block size, so that one recorded block of 64 tokens becomes one token: what two prompts
// have in common in the trace, they have in common here, token for token. Time is divided too. Of each session its first calls
// are taken, as many as fit the small context, sub-agents included; main threads share the system prompt that deployments
// share.
import { fileURLToPath } from "node:url";
import { Random } from "../../src/simulator/random.ts";
import { readAgentSessions, type AgentRequest, type AgentSession } from "../../src/simulator/traces/agentFiles.ts";
import { recordedCalls, sessionsToWorkload } from "../../src/simulator/traces/agentSessions.ts";
import { findTrace } from "../../src/simulator/traces/files.ts";
import type { Workload } from "../../src/simulator/types.ts";

export interface SessionOptions {
  sessions: number;
  /** Calls of a session at most. */
  calls: number;
  /** Tokens of a worker's sequence. */
  contextTokens: number;
  /** Recorded seconds of a gap are divided by this; longer ones than `mostGapS` recorded seconds are cut first. */
  timeShrink: number;
  mostGapS: number;
  seed: number;
}

export interface Sessions {
  workload: Workload;
  /** Leading tokens of each program's main thread that its system prompt takes. */
  systemTokens: number[];
  /** Where they come from, for the heading. */
  source: string;
}

/** Kept for the templates around a dozen turns and for answers that are longer than recorded. */
const reservedTokens = 200;
/** A session that begins with more than this, in recorded tokens, was not seen from its beginning. */
const coldStartTokens = 40_000;
const leastCalls = 6;
const leastOutputTokens = 4;
/** Of all sessions, at least this share has sub-agents, where the trace has so many. */
const subagentShare = 0.25;

/** Without starts: a session's first call has no predecessors and no delay. */
export async function readSessions(options: SessionOptions): Promise<Sessions> {
  const recorded = findTrace("claude-code-kvct/traces.compact.jsonl.gz");
  const path = recorded ?? fileURLToPath(new URL("../../test/data/traces/sessions.jsonl", import.meta.url));
  const fitting: AgentSession[] = [];
  let shrink = 1;
  for await (const session of readAgentSessions(path)) {
    if (recorded !== undefined) shrink = session.blockTokens;
    const cut = cutSession(session, options.calls, (options.contextTokens - reservedTokens) * shrink);
    if (recorded === undefined || (cut.requests >= Math.min(leastCalls, options.calls) && cut.first <= coldStartTokens))
      fitting.push(cut.session);
  }
  const chosen = choose(fitting, options.sessions, options.seed);
  const workload = sessionsToWorkload(chosen, {
    meanStartGapS: 0,
    seed: options.seed,
    shrink,
    shareSystemPrompt: true,
    maxGapS: options.mostGapS,
  });
  return {
    workload: {
      ...workload,
      calls: workload.calls.map((call) => ({
        ...call,
        outputTokens: Math.max(leastOutputTokens, call.outputTokens),
        delayMs: call.delayMs / options.timeShrink,
      })),
    },
    systemTokens: chosen.map(({ sharedTokens }) => Math.floor(sharedTokens / shrink)),
    source:
      recorded === undefined
        ? "made-up sessions of test/data (LINESHAFT_TRACES names no recorded ones)"
        : `recorded Claude Code sessions, lengths / ${shrink}, gaps / ${options.timeShrink}`,
  };
}

/** The first calls of a session, in order of their start, up to the first that does not fit. */
function cutSession(session: AgentSession, calls: number, mostTokens: number) {
  const kept = new Set<AgentRequest>();
  for (const { request } of recordedCalls(session)) {
    if (kept.size === calls || request.promptTokens + request.outputTokens > mostTokens) break;
    kept.add(request);
  }
  const keep = (requests: AgentRequest[]) => requests.filter((request) => kept.has(request));
  const cut: AgentSession = {
    ...session,
    main: { ...session.main, requests: keep(session.main.requests) },
    subagents: session.subagents
      .map((thread) => ({ ...thread, requests: keep(thread.requests) }))
      .filter(({ requests }) => requests.length > 0),
  };
  return { session: cut, requests: kept.size, first: [...kept][0]?.promptTokens ?? Infinity };
}

/** Sessions drawn without repetition, some with sub-agents among them; where there are too few, they are played again. */
function choose(fitting: readonly AgentSession[], count: number, seed: number): AgentSession[] {
  const random = Random.stream(seed, "sessions");
  const shuffled = fitting.map((session) => ({ session, at: random.next() })).toSorted((a, b) => a.at - b.at);
  const withSubagents = shuffled.filter(({ session }) => session.subagents.length > 0);
  const first = new Set(withSubagents.slice(0, Math.ceil(count * subagentShare)));
  const rest = shuffled.filter((entry) => !first.has(entry));
  const chosen = [...first, ...rest].slice(0, count).toSorted((a, b) => a.at - b.at);
  return Array.from({ length: count }, (_, i) => {
    const { session } = chosen[i % chosen.length]!;
    return i < chosen.length ? session : { ...session, id: `${session.id} again ${Math.floor(i / chosen.length)}` };
  });
}

/** The sessions with Poisson starts, `meanGapMs` apart. */
export function withStarts(workload: Workload, meanGapMs: number, seed: number): Workload {
  const random = Random.stream(seed, "session starts");
  const starts: number[] = [];
  let atMs = 0;
  for (let program = 0; program < workload.programs; program++) {
    starts.push(atMs);
    atMs += random.exponential(meanGapMs);
  }
  return {
    ...workload,
    calls: workload.calls.map((call) =>
      call.after.length > 0 ? call : { ...call, delayMs: call.delayMs + starts[call.program]! },
    ),
  };
}
