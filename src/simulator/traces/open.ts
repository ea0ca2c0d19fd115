// Opens any trace. The format of a file is recognised by its beginning (detect.ts); generated loads have names.
import type { Workload } from "../types.ts";
import { readAgentSessions, type AgentSession } from "./agentFiles.ts";
import { sessionsToWorkload } from "./agentSessions.ts";
import { readAzure } from "./azure.ts";
import { readCallLog } from "./callLog.ts";
import { readDynamo } from "./dynamo.ts";
import { detectFormat } from "./detect.ts";
import { resolveTrace } from "./files.ts";
import { readMooncake } from "./mooncake.ts";
import type { OpenOptions } from "./options.ts";
import { dealTenants, headOf, scaleWorkload } from "./scale.ts";
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

export type { OpenOptions } from "./options.ts";

/** Reads or generates the workload. Throws SimulatorError `trace_missing`, `trace_is_folder`, `trace_unknown`, `trace_unreadable` or `trace_too_large`. */
export async function openWorkload(options: OpenOptions): Promise<Workload> {
  const seed = options.seed ?? 1;
  const limit = options.limit ?? Infinity;
  const generate = Object.hasOwn(generators, options.trace) ? generators[options.trace] : undefined;
  const workload = generate === undefined ? await readAny(options, seed, limit) : generate(seed, options.limit);
  const { speed, keepGaps, copies, tenants } = options;
  const dealt = tenants === undefined ? workload : dealTenants(workload, tenants);
  return scaleWorkload(dealt, { speed, keepGaps, copies, seed, shiftMs: 60_000 });
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
