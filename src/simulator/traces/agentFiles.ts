// Files of kv-cache-tester (recorded Claude Code sessions): lengths, block ids, tool gaps and nested sub-agents, without any text. A raw
// file is one session as a JSON object, `hash_ids` written out, on one line or many; files may be joined one after the other or in a list.
// The compact form has one session a line and `hash_runs`, pairs of a first id and a length.
import { z } from "zod";
import { blockIdsMost } from "../limits.ts";
import { readDocuments } from "./documents.ts";
import { faultText, tokenCount, tooLarge, unreadable, wholeNumbers } from "./files.ts";

/** One recorded model request. Times in seconds since the session's start (a sub-agent's: since the sub-agent's). */
export interface AgentRequest {
  startS: number;
  /** Server time; 0 where the capture lacks it. */
  apiS: number;
  promptTokens: number;
  outputTokens: number;
  /** Block ids as [start, length, start, length, ...]. */
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
  /** Who pays for it, where the file says so. */
  tenant?: string | undefined;
  /** Whether equal block ids are equal content in all sessions, and not in this one alone. */
  globalIds?: boolean;
  /** Leading tokens (tools and system prompt) that deployments share between sessions. */
  sharedTokens: number;
  main: AgentThread;
  subagents: AgentThread[];
}

const requestRow = z.object({
  t: z.number(),
  in: tokenCount,
  out: tokenCount,
  hash_ids: wholeNumbers.optional(),
  hash_runs: wholeNumbers.optional(),
  api_time: z.number().nullish(),
  stop: z.string().nullish(),
});
const subagentRow = z.object({
  t: z.number(),
  type: z.literal("subagent"),
  agent_id: z.string(),
  requests: z.array(z.unknown()),
});
const sessionRow = z.object({
  id: z.string(),
  block_size: z.number().int().positive(),
  hash_id_scope: z.enum(["local", "global"]).default("local"),
  tenant: z.string().optional(),
  tool_tokens: z.number().nullish(),
  system_tokens: z.number().nullish(),
  requests: z.array(z.unknown()),
});

/**
 * Reads sessions in file order; `limit` stops early.
 * @throws SimulatorError `trace_unreadable` naming the session's line and its first fault, `trace_too_large`
 */
export async function* readAgentSessions(path: string, limit = Infinity): AsyncGenerator<AgentSession> {
  let blocks = 0;
  for await (const { value, line } of readDocuments(path, limit)) {
    const where = `the session on line ${line}`;
    const { id, requests, ...session } = parsed(sessionRow, value, path, where);
    const main: AgentThread = { id: "main", offsetS: 0, requests: [] };
    const subagents: AgentThread[] = [];
    for (const [i, entry] of requests.entries()) {
      const at = `requests[${i}] of ${where}`;
      if (isSubagent(entry)) {
        const { t, agent_id, requests: own } = parsed(subagentRow, entry, path, at);
        const read = own.map((each, n) =>
          toRequest(parsed(requestRow, each, path, `requests[${n}] of ${at}`), path, at),
        );
        subagents.push({ id: agent_id, offsetS: t, requests: read });
      } else main.requests.push(toRequest(parsed(requestRow, entry, path, at), path, at));
    }
    for (const thread of [main, ...subagents]) for (const request of thread.requests) blocks += request.blocks;
    if (blocks > blockIdsMost) throw tooLarge(path, `its prompts have more than ${blockIdsMost} blocks together`);
    yield {
      id,
      tenant: session.tenant,
      globalIds: session.hash_id_scope === "global",
      blockTokens: session.block_size,
      sharedTokens: (session.tool_tokens ?? 0) + (session.system_tokens ?? 0),
      main,
      subagents,
    };
  }
}

function parsed<T>(schema: z.ZodType<T>, value: unknown, path: string, where: string): T {
  const result = schema.safeParse(value);
  if (!result.success) throw unreadable(path, faultText(result.error), where);
  return result.data;
}

const isSubagent = (entry: unknown): boolean =>
  typeof entry === "object" && entry !== null && (entry as { type?: unknown }).type === "subagent";

function toRequest(row: z.infer<typeof requestRow>, path: string, where: string): AgentRequest {
  const runs = row.hash_runs ?? (row.hash_ids && runsOf(row.hash_ids));
  if (runs === undefined) throw unreadable(path, "it has neither hash_ids nor hash_runs", where);
  if (runs.length % 2 === 1) throw unreadable(path, "hash_runs has an odd number of values", where);
  let blocks = 0;
  for (let i = 1; i < runs.length; i += 2) blocks += runs[i]!;
  return {
    startS: row.t,
    apiS: row.api_time ?? 0,
    promptTokens: row.in,
    outputTokens: row.out,
    runs,
    blocks,
    stop: row.stop ?? "",
  };
}

/** Ids that follow each other as pairs of the first and the number of them. */
function runsOf(hashIds: readonly number[]): number[] {
  const runs: number[] = [];
  for (const id of hashIds) {
    if (runs.length > 0 && id === runs.at(-2)! + runs.at(-1)!) runs[runs.length - 1]!++;
    else runs.push(id, 1);
  }
  return runs;
}
