// Opens any trace. The format of a file is recognised by its first line; generated loads have names.
import { SimulatorError, type Workload } from "../types.ts";
import { readAgentSessions, sessionsToWorkload, type AgentSession } from "./agentSessions.ts";
import { readAzure } from "./azure.ts";
import { readCallLog } from "./callLog.ts";
import { readDynamo } from "./dynamo.ts";
import { readLines, resolveTrace } from "./files.ts";
import { readMooncake } from "./mooncake.ts";
import { headOf, scaleWorkload } from "./scale.ts";
import { readServeGen } from "./servegen.ts";
import { agentTrees } from "./generated/agentTrees.ts";
import { longPrompts } from "./generated/longPrompts.ts";
import { tenantChats } from "./generated/tenantChats.ts";
import { llmdWorkloads } from "./sharedPrefix.ts";

/** Generated loads by name; `limit` says how many prompts, runs or chats there are. */
const generators: Readonly<Record<string, (seed: number, limit: number | undefined) => Workload>> = {
  "llm-d-37pct": (seed, limit) => headOf(llmdWorkloads["37pct"](seed).workload, limit ?? Infinity),
  "llm-d-73pct": (seed, limit) => headOf(llmdWorkloads["73pct"](seed).workload, limit ?? Infinity),
  "long-prompts": (seed, limit) => longPrompts({ seed, prompts: limit ?? 1500 }),
  "agent-trees": (seed, limit) => agentTrees({ seed, runs: limit ?? 100 }),
  "tenant-chats": (seed, limit) => tenantChats({ seed, chats: limit ?? 400 }),
};

const traceFormats = ["mooncake", "agent-sessions", "dynamo", "azure", "servegen", "calls"] as const;
type TraceFormat = (typeof traceFormats)[number];

export interface OpenOptions {
  /** A path, a path inside the traces folder, or the name of a generated load. */
  trace: string;
  format?: TraceFormat;
  /** Calls (sessions, for agent sessions) to read at most. */
  limit?: number;
  speed?: number;
  copies?: number;
  seed?: number;
  /** Agent sessions: mean seconds between starts, cut of gaps, longest context taken, division of all lengths. */
  startGapS?: number;
  maxGapS?: number;
  maxContextTokens?: number;
  shrink?: number;
  /** ServeGen: part of the profile. */
  fromS?: number;
  durationS?: number;
}

/** Reads or generates the workload. Throws SimulatorError `trace_missing`, `trace_unknown` or `trace_unreadable`. */
export async function openWorkload(options: OpenOptions): Promise<Workload> {
  const seed = options.seed ?? 1;
  const limit = options.limit ?? Infinity;
  const generate = Object.hasOwn(generators, options.trace) ? generators[options.trace] : undefined;
  const workload = generate === undefined ? await readAny(options, seed, limit) : generate(seed, options.limit);
  return scaleWorkload(workload, { speed: options.speed, copies: options.copies, seed, shiftMs: 60_000 });
}

async function readAny(options: OpenOptions, seed: number, limit: number): Promise<Workload> {
  const path = resolveTrace(options.trace);
  switch (options.format ?? (await detectFormat(path))) {
    case "mooncake":
      return readMooncake(path, limit);
    case "dynamo":
      return readDynamo(path, limit);
    case "azure":
      return readAzure(path, limit);
    case "calls":
      return readCallLog(path, limit);
    case "servegen": {
      const lengths = path.replace(/-rates\.csv/, "-lengths.jsonl");
      const part = { fromS: options.fromS ?? 0, durationS: options.durationS ?? 600, seed };
      return headOf(await readServeGen(path, lengths, part), limit);
    }
    case "agent-sessions": {
      const sessions: AgentSession[] = [];
      for await (const session of readAgentSessions(path, limit)) sessions.push(session);
      return sessionsToWorkload(sessions, {
        seed,
        meanStartGapS: options.startGapS ?? 60,
        maxGapS: options.maxGapS,
        maxContextTokens: options.maxContextTokens,
        shrink: options.shrink,
      });
    }
  }
}

/** Format of a trace file, by its first line. Throws SimulatorError `trace_unknown`. */
export async function detectFormat(path: string): Promise<TraceFormat> {
  let first = "";
  for await (const line of readLines(path, 1)) first = line;
  if (/^TIMESTAMP\s*,/i.test(first)) return "azure";
  if (first.startsWith("client,window_start_s")) return "servegen";
  try {
    const value = JSON.parse(first) as Record<string, unknown>;
    if ("hash_ids" in value && "timestamp" in value) return "mooncake";
    if ("requests" in value && "block_size" in value) return "agent-sessions";
    if ("event" in value) return "dynamo";
    if (value["schema"] === "lineshaft.call.v1") return "calls";
  } catch {
    // Not JSON either: the error is thrown below.
  }
  throw new SimulatorError(
    "trace_unknown",
    `Cannot tell what kind of trace ${path} is; it begins with: ${first.slice(0, 80)}`,
    `Name its format: ${traceFormats.join(", ")}.`,
  );
}
