// Generator of long prompts that share beginnings: questions about documents. Most of a prompt is a document, some documents are asked
// about often and most seldom (Zipf's law), and prompts come by a renewal process of a given coefficient of variation.
import { Random } from "../../random.ts";
import type { Workload } from "../../types.ts";
import { WorkloadBuilder } from "../builder.ts";
import { sharedStart } from "./growing.ts";

interface LongPromptOptions {
  prompts: number;
  seed: number;
  /** Different documents; a tenth of the prompts when absent. */
  documents?: number;
  /** Exponent of Zipf's law of the documents' popularity; 0 makes them equally popular. */
  popularity?: number;
  /** Mean length of a prompt, and the share of it that is its document. */
  meanTokens?: number;
  sharedShare?: number;
  meanOutputTokens?: number;
  /** Standard deviation of the logarithm of lengths. */
  spread?: number;
  ratePerS?: number;
  /** Coefficient of variation of the gaps between arrivals. */
  arrivalCv?: number;
  blockTokens?: number;
}

/** Open loop; every prompt is a program of its own, since its client does not come back. */
export function longPrompts(options: LongPromptOptions): Workload {
  const { prompts, seed, popularity = 0.8, meanTokens = 15_000, sharedShare = 0.65 } = options;
  const { meanOutputTokens = 200, spread = 0.7, ratePerS = 1, arrivalCv = 1, blockTokens = 256 } = options;
  const builder = new WorkloadBuilder("long prompts", blockTokens);
  const random = Random.stream(seed, "long prompts");
  const length = (mean: number): number => Math.max(1, Math.round(random.lognormal(mean, spread)));
  const lengths = Array.from({ length: options.documents ?? Math.ceil(prompts / 10) }, () => length(1e6));
  // The documents that are asked about most have a large part in the mean length of prompts: it is set with their weights.
  const weights = lengths.map((_, i) => (i + 1) ** -popularity);
  const weighted = lengths.reduce((sum, tokens, i) => sum + tokens * weights[i]!, 0);
  const scale = (meanTokens * sharedShare * weights.reduce((sum, weight) => sum + weight, 0)) / weighted;
  const documents = lengths.map((tokens) => sharedStart(builder, Math.ceil(tokens * scale), blockTokens));
  const pick = random.zipf(documents.length, popularity);
  let atMs = 0;
  for (let i = 0; i < prompts; i++) {
    const document = documents[pick()]!;
    const promptTokens = document.tokens + length(meanTokens * (1 - sharedShare));
    const shared = document.blocks.length;
    const blocks = new Int32Array(Math.floor(promptTokens / blockTokens));
    blocks.set(document.blocks);
    const own = builder.freshRange(blocks.length - shared);
    for (let b = shared; b < blocks.length; b++) blocks[b] = own + b - shared;
    builder.add({
      program: String(i),
      promptTokens,
      outputTokens: length(meanOutputTokens),
      blocks,
      delayMs: atMs,
    });
    atMs += random.gap(1000 / ratePerS, arrivalCv);
  }
  return builder.build();
}
