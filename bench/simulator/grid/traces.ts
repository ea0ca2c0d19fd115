// The traces of the grid, each for a fleet of any size: recorded ones that lie in the traces folder, llm-d's two published loads, and three
// generated kinds. A larger fleet gets more of a trace, not the same calls faster, so that the work and the contents for an
// endpoint stay what they were.
import type { FleetInput } from "../../../src/simulator/fleet.ts";
import { readAgentSessions, type AgentSession } from "../../../src/simulator/traces/agentFiles.ts";
import { sessionsToWorkload } from "../../../src/simulator/traces/agentSessions.ts";
import { findTrace, resolveTrace } from "../../../src/simulator/traces/files.ts";
import { agentTrees } from "../../../src/simulator/traces/generated/agentTrees.ts";
import { longPrompts } from "../../../src/simulator/traces/generated/longPrompts.ts";
import { tenantChats } from "../../../src/simulator/traces/generated/tenantChats.ts";
import { openWorkload } from "../../../src/simulator/traces/open.ts";
import { readServeGen } from "../../../src/simulator/traces/servegen.ts";
import { sharedPrefix } from "../../../src/simulator/traces/sharedPrefix.ts";
import type { Workload } from "../../../src/simulator/types.ts";
import { lengthsOf } from "./lengths.ts";

export interface GridTrace {
  name: string;
  /** File in the traces folder that it needs; absent for generated ones. */
  file?: string;
  pool: Omit<FleetInput["pools"][number], "name" | "replicas">;
  /** Sessions are laid out by their starts, with these gaps; absent: an open loop with its own rhythm. */
  sessions?: { startCv: number; shuffled: boolean };
  /** At least `calls` calls for `endpoints` endpoints, or for an open loop what there is. */
  read(calls: number, endpoints: number, seed: number): Promise<Workload> | Workload;
}

const h100 = { profile: "h100-llama-3.1-70b-tp8" };
/** For short calls: with 32 sequences the calls of an endpoint are many times what it runs at once. */
const h100Small = { ...h100, maxSequences: 32 };
const recorded = (name: string, file: string): GridTrace => ({ name, file, pool: h100, read: () => once(file) });
const claudeCode = "claude-code-kvct/traces.compact.jsonl.gz";
const dynamo = "dynamo-agent-trace/pi_request_trace.jsonl.gz";
const vidur = "vidur/arxiv_summarization_lengths.csv.gz";
const hourS = 3600;

const serveGen = (model: string, ratePerS: number, pool = h100Small): GridTrace => {
  const file = `servegen/${model}-rates.csv.gz`;
  return {
    name: `ServeGen ${model}`,
    file,
    pool,
    // A ten-minute window of another hour for each seed, thinned to the calls that are wanted.
    read: (calls, _endpoints, seed) =>
      readServeGen(resolveTrace(file), resolveTrace(file.replace("-rates.csv", "-lengths.jsonl")), {
        fromS: ((seed * 5) % 24) * hourS,
        durationS: 600,
        rateScale: (1.3 * calls) / (ratePerS * 600),
        seed,
      }),
  };
};

export const traces: Readonly<Record<string, GridTrace>> = {
  conversation: recorded("Mooncake conversation", "mooncake/conversation_trace.jsonl.gz"),
  toolagent: recorded("Mooncake tool and agent (first 1,000)", "mooncake/arxiv_trace_head1000.jsonl.gz"),
  "claude-code": {
    name: "Claude Code sessions, gaps up to 30 s",
    file: claudeCode,
    pool: h100,
    sessions: { startCv: 1, shuffled: true },
    read: readClaudeCode,
  },
  dynamo: {
    name: "Dynamo agent run",
    file: dynamo,
    pool: h100Small,
    sessions: { startCv: 1, shuffled: true },
    read: () => once(dynamo),
  },
  "servegen-m-large": serveGen("m-large", 196),
  "servegen-m-mid": serveGen("m-mid", 1790),
  "servegen-m-small": serveGen("m-small", 1174, { ...h100, maxSequences: 4 }),
  "servegen-deepseek-r1": serveGen("deepseek-r1", 16),
  "servegen-mm-image": serveGen("mm-image", 9.5),
  "vidur-arxiv": {
    name: "arXiv summarisation lengths (Vidur), Poisson",
    file: vidur,
    pool: h100Small,
    read: (calls, _endpoints, seed) => lengthsOf(resolveTrace(vidur), calls, seed),
  },
  "llm-d-37pct": {
    name: "llm-d 37 %",
    pool: { profile: "h100-llama-3.1-70b-tp4", maxSequences: 32, kvCapacityTokens: 461_376 },
    read: (calls, endpoints, seed) => llmd(calls, seed, Math.round((83 * endpoints) / 4), 3, 8000, 1000),
  },
  "llm-d-73pct": {
    name: "llm-d 73 %",
    pool: { profile: "h100-llama-3.1-70b-tp4", maxSequences: 32, kvCapacityTokens: 307_328 },
    read: (calls, endpoints, seed) => llmd(calls, seed, Math.round((150 * endpoints) / 8), 5, 6000, 1200),
  },
  "long-prompts": {
    name: "generated: long prompts of shared documents, mean 15,000 tokens, 65 % shareable, CV 1",
    pool: h100,
    read: (calls, _endpoints, seed) => longPrompts({ seed, prompts: calls }),
  },
  "agent-trees": {
    name: "generated: agents with sub-agents",
    pool: h100,
    sessions: { startCv: 1, shuffled: false },
    // A run has 30 calls on average.
    read: (calls, _endpoints, seed) => agentTrees({ seed, runs: Math.ceil(calls / 10) }),
  },
  "tenant-chats": {
    name: "generated: chats of 20 tenants in bursts, CV 3",
    pool: h100Small,
    sessions: { startCv: 3, shuffled: false },
    read: (calls, _endpoints, seed) => tenantChats({ seed, chats: Math.ceil(calls / 2) }),
  },
};

/** Names of the traces that this machine has. */
export function tracesAtHand(): string[] {
  return Object.keys(traces).filter((key) => {
    const { file } = traces[key]!;
    return file === undefined || findTrace(file) !== undefined;
  });
}

/** Recorded files do not depend on the seed: a process reads each once. */
const read = new Map<string, Promise<Workload>>();

function once(file: string): Promise<Workload> {
  let workload = read.get(file);
  if (workload === undefined) read.set(file, (workload = openWorkload({ trace: file })));
  return workload;
}

let sessions: Promise<AgentSession[]> | undefined;

async function readClaudeCode(_calls: number, _endpoints: number, seed: number): Promise<Workload> {
  sessions ??= readSessions();
  return sessionsToWorkload(await sessions, { seed, meanStartGapS: 60, maxGapS: 30, maxContextTokens: 200_000 });
}

async function readSessions(): Promise<AgentSession[]> {
  const all: AgentSession[] = [];
  for await (const session of readAgentSessions(resolveTrace(claudeCode))) all.push(session);
  return all;
}

/** The published load at one rate: the same groups for an endpoint, prompts in a drawn order. */
function llmd(calls: number, seed: number, groups: number, promptsPerGroup: number, shared: number, question: number) {
  return sharedPrefix({
    name: "llm-d",
    groups,
    promptsPerGroup,
    sharedTokens: shared,
    questionTokens: question,
    outputTokens: 1000,
    stages: [{ ratePerS: 10, durationS: calls / 10, arrivals: "poisson" }],
    seed,
  }).workload;
}
