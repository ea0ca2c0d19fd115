// Dynamo's request trace v1: JSON lines of events from engine and harness. `request_end` carries the lengths, times and the
// prompt's block hashes (16 tokens each, the last possibly partial); `agent_context` names session and parent session, so
// that sub-agents are threads of their root's program. Tool events say why a session waited.
import { z } from "zod";
import { SimulatorError, type Workload } from "../types.ts";
import { WorkloadBuilder } from "./builder.ts";
import { dependencies, type RecordedCall } from "./closedLoop.ts";
import { faultText, parseLine, readLines, tokenCount } from "./files.ts";

/** Checked at once, so that a list of wrong values is one fault. 64-bit hashes are read as the nearest doubles. */
const numbers = z.custom<number[]>(
  (value) => Array.isArray(value) && value.every((hash) => typeof hash === "number"),
  "it must be a list of numbers",
);

const line = z.object({
  event: z.object({
    schema: z.literal("dynamo.request.trace.v1"),
    event_type: z.string(),
    agent_context: z.object({ session_id: z.string(), parent_session_id: z.string().nullish() }).nullish(),
    request: z
      .object({
        input_tokens: tokenCount,
        output_tokens: tokenCount,
        request_received_ms: z.number(),
        total_time_ms: z.number().nonnegative(),
        replay: z.object({ trace_block_size: z.number().int().positive(), input_sequence_hashes: numbers }),
      })
      .optional(),
    tool: z.object({ started_at_unix_ms: z.number().optional() }).optional(),
  }),
});

interface Ended extends RecordedCall {
  promptTokens: number;
  outputTokens: number;
  hashes: readonly number[];
}

/** Reads a Dynamo request trace as a closed loop. Throws SimulatorError `trace_unreadable`. */
export async function readDynamo(path: string, limit = Infinity): Promise<Workload> {
  const parents = new Map<string, string>();
  const toolStarts = new Map<string, number[]>();
  const ended: (Omit<Ended, "program" | "parentThread"> & { blockTokens: number })[] = [];
  let lineNumber = 0;
  for await (const text of readLines(path)) {
    lineNumber++;
    const parsed = line.safeParse(parseLine(text, path, lineNumber));
    if (!parsed.success) {
      throw new SimulatorError(
        "trace_unreadable",
        `Line ${lineNumber} of ${path} is not a Dynamo request trace event: ${faultText(parsed.error)}`,
        'Expected events with schema "dynamo.request.trace.v1".',
      );
    }
    const { event } = parsed.data;
    const session = event.agent_context?.session_id ?? `line ${lineNumber}`;
    if (event.agent_context?.parent_session_id) parents.set(session, event.agent_context.parent_session_id);
    if (event.tool?.started_at_unix_ms !== undefined) {
      toolStarts.set(session, [...(toolStarts.get(session) ?? []), event.tool.started_at_unix_ms]);
    }
    if (event.event_type !== "request_end" || event.request === undefined || ended.length >= limit) continue;
    const { request } = event;
    ended.push({
      thread: session,
      startMs: request.request_received_ms,
      endMs: request.request_received_ms + request.total_time_ms,
      promptTokens: request.input_tokens,
      outputTokens: request.output_tokens,
      hashes: request.replay.input_sequence_hashes,
      blockTokens: request.replay.trace_block_size,
    });
  }
  const rootOf = (session: string): string => {
    let root = session;
    for (let hops = 0; parents.has(root) && hops < 100; hops++) root = parents.get(root)!;
    return root;
  };
  const calls = ended
    .map((call): Ended & { blockTokens: number } => {
      const parent = parents.get(call.thread);
      return { ...call, program: rootOf(call.thread), ...(parent === undefined ? {} : { parentThread: parent }) };
    })
    .toSorted((a, b) => a.startMs - b.startMs);
  const builder = new WorkloadBuilder("dynamo request trace", calls[0]?.blockTokens ?? 16);
  dependencies(calls).forEach((dependency, i) => {
    const call = calls[i]!;
    const usedTool = (toolStarts.get(call.thread) ?? []).some((at) => at >= call.endMs - 1000);
    builder.add({
      tenant: call.program,
      program: call.program,
      thread: call.thread,
      promptTokens: call.promptTokens,
      outputTokens: call.outputTokens,
      blocks: builder.chain(call.hashes, call.hashes.length),
      after: dependency.after,
      delayMs: dependency.delayMs,
      then: dependency.last ? "end" : usedTool ? "tool" : "turn",
    });
  });
  return builder.build();
}
