// Lengths without arrivals (Vidur's CSV): calls whose lengths are drawn from the file, by a Poisson process.
import { Random } from "../../../src/simulator/random.ts";
import { WorkloadBuilder } from "../../../src/simulator/traces/builder.ts";
import { readLines } from "../../../src/simulator/traces/files.ts";
import type { Workload } from "../../../src/simulator/types.ts";

const blockTokens = 512;
const rows = new Map<string, Promise<[number, number][]>>();

/** `count` calls with lengths from rows of `num_prefill_tokens,num_decode_tokens,...`; no two share a beginning. */
export async function lengthsOf(path: string, count: number, seed: number): Promise<Workload> {
  let read = rows.get(path);
  if (read === undefined) rows.set(path, (read = readRows(path)));
  const lengths = await read;
  const random = Random.stream(seed, "lengths");
  const builder = new WorkloadBuilder("lengths", blockTokens);
  let atMs = 0;
  for (let i = 0; i < count; i++) {
    const [promptTokens, outputTokens] = lengths[random.below(lengths.length)]!;
    const blocks = Math.floor(promptTokens / blockTokens);
    const first = builder.freshRange(blocks);
    builder.add({
      program: String(i),
      promptTokens,
      outputTokens,
      blocks: Int32Array.from({ length: blocks }, (_, b) => first + b),
      delayMs: atMs,
    });
    atMs += random.exponential(1000);
  }
  return builder.build();
}

async function readRows(path: string): Promise<[number, number][]> {
  const lengths: [number, number][] = [];
  for await (const line of readLines(path)) {
    const [prompt, output] = line.split(",").map(Number);
    if (prompt! > 0 && output! > 0) lengths.push([prompt!, output!]);
  }
  return lengths;
}
