// Lineshaft's own call log: what the gateway knows of each call without any of its content, one JSON object a line, in any
// order. Read back it is a closed-loop workload: calls of one thread follow each other by the gaps that were recorded.
import { z } from "zod";
import { SimulatorError, type Workload } from "../types.ts";
import { WorkloadBuilder } from "./builder.ts";
import { dependencies } from "./closedLoop.ts";
import { faultText, parseLine, readLines, tokenCount } from "./files.ts";

/** Checked at once, so that a list of wrong values is one fault. */
const hexHashes = z.custom<string[]>(
  (value) => Array.isArray(value) && value.every((hash) => typeof hash === "string"),
  "it must be a list of texts",
);

const callLogSchema = z.object({
  schema: z.literal("lineshaft.call.v1"),
  /** When the call arrived, ISO 8601. */
  at: z.iso.datetime({ offset: true }),
  tenant: z.string(),
  /** Run or session; a call without one stands alone. */
  program: z.string().nullish(),
  /** Conversation inside the program (a sub-agent); the program's main thread when absent. */
  thread: z.string().nullish(),
  parentThread: z.string().nullish(),
  promptTokens: tokenCount,
  outputTokens: tokenCount,
  cachedTokens: z.number().int().nonnegative().nullish(),
  ttftMs: z.number().nonnegative().nullish(),
  totalMs: z.number().nonnegative(),
  /** Class of service, order within the tenant, and the deadline of the first token, as the caller asked (`Call` of the scheduler). */
  batch: z.boolean().nullish(),
  priority: z.number().int().min(-100).max(100).nullish(),
  deadlineMs: z.number().positive().nullish(),
  /** Why the thread waits after this call. */
  then: z.enum(["tool", "turn", "end"]).nullish(),
  blockTokens: z.number().int().positive().default(16),
  /** Chained content hashes of the prompt's whole blocks, in hex, salted by tenant. */
  blocks: hexHashes.default([]),
});

/** Reads a call log. Throws SimulatorError `trace_unreadable` naming the line. */
export async function readCallLog(path: string, limit = Infinity): Promise<Workload> {
  const rows: { log: z.output<typeof callLogSchema>; line: number }[] = [];
  let lineNumber = 0;
  for await (const text of readLines(path, limit)) {
    lineNumber++;
    const parsed = callLogSchema.safeParse(parseLine(text, path, lineNumber));
    if (!parsed.success) {
      throw new SimulatorError(
        "trace_unreadable",
        `Line ${lineNumber} of ${path} is not a call log line: ${faultText(parsed.error)}`,
        'Lines are {"schema": "lineshaft.call.v1", "at", "tenant", "promptTokens", "outputTokens", "totalMs", ...}.',
      );
    }
    rows.push({ log: parsed.data, line: lineNumber });
  }
  const calls = rows
    .map(({ log, line }) => {
      const program = log.program ?? `call ${line}`;
      const startMs = Date.parse(log.at);
      const recorded = { log, program, thread: log.thread ?? "main", startMs, endMs: startMs + log.totalMs };
      if (log.thread === null || log.thread === undefined) return recorded;
      return { ...recorded, parentThread: log.parentThread ?? "main" };
    })
    .toSorted((a, b) => a.startMs - b.startMs);
  const builder = new WorkloadBuilder("call log", calls[0]?.log.blockTokens ?? 16);
  if (calls.some(({ log }) => log.blockTokens !== calls[0]!.log.blockTokens)) {
    builder.notes.push("The log mixes block sizes; prompts with another size than the first share nothing.");
  }
  dependencies(calls).forEach((dependency, i) => {
    const { log, program, thread } = calls[i]!;
    const comparable = log.blockTokens === calls[0]!.log.blockTokens;
    builder.add({
      tenant: log.tenant,
      program,
      thread,
      promptTokens: log.promptTokens,
      outputTokens: log.outputTokens,
      blocks: comparable ? builder.chain(log.blocks, log.blocks.length) : new Int32Array(0),
      after: dependency.after,
      delayMs: dependency.delayMs,
      then: log.then ?? (dependency.last ? "end" : "turn"),
      batch: log.batch ?? undefined,
      priority: log.priority ?? undefined,
      deadlineMs: log.deadlineMs ?? undefined,
    });
  });
  return builder.build();
}
