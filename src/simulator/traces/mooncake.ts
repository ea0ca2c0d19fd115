// Mooncake's FAST'25 traces: JSON lines `{timestamp, input_length, output_length, hash_ids}`, timestamps in ms, 512 tokens a
// block, the last block of a prompt possibly partial. Ids are already chained by prefix. There is no session id, so every
// call is a program of its own: affinity by session cannot be studied on these traces. A row may name a `tenant`, which the published
// traces do not.
import { z } from "zod";
import { SimulatorError, type Workload } from "../types.ts";
import { WorkloadBuilder } from "./builder.ts";
import { faultText, parseLine, readLines, tokenCount, wholeNumbers } from "./files.ts";

const mooncakeBlockTokens = 512;

const row = z.object({
  timestamp: z.number().nonnegative(),
  input_length: tokenCount.positive(),
  output_length: tokenCount,
  hash_ids: wholeNumbers,
  tenant: z.string().optional(),
});

/**
 * Reads a Mooncake trace.
 * @param limit stop after this many rows
 * @throws SimulatorError `trace_unreadable` naming the line
 */
export async function readMooncake(path: string, limit = Infinity): Promise<Workload> {
  const builder = new WorkloadBuilder("mooncake", mooncakeBlockTokens);
  const dense = new Map<number, number>();
  let lineNumber = 0;
  for await (const line of readLines(path, limit)) {
    lineNumber++;
    const parsed = row.safeParse(parseLine(line, path, lineNumber));
    if (!parsed.success) {
      throw new SimulatorError(
        "trace_unreadable",
        `Line ${lineNumber} of ${path} is not a Mooncake row: ${faultText(parsed.error)}`,
        "A row is {timestamp, input_length, output_length, hash_ids}.",
      );
    }
    const { timestamp, input_length, output_length, hash_ids, tenant } = parsed.data;
    const blocks = new Int32Array(hash_ids.length);
    for (let i = 0; i < hash_ids.length; i++) {
      let id = dense.get(hash_ids[i]!);
      if (id === undefined) dense.set(hash_ids[i]!, (id = builder.freshBlock()));
      blocks[i] = id;
    }
    builder.add({
      ...(tenant !== undefined && { tenant }),
      program: String(lineNumber),
      promptTokens: input_length,
      outputTokens: output_length,
      blocks,
      delayMs: timestamp,
    });
  }
  builder.notes.push(
    "Mooncake rows carry no session: every call is its own program, and outputs are never reused as prompts.",
  );
  return builder.build();
}
