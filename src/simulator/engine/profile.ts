// What a chip (or group of chips) serving one model costs in time: seven measured or derived numbers. A step is one forward
// pass over whatever is batched: prompt chunks of calls that prefill and one token of every call that decodes.
//
//   step = base + max(0, tokens - free) * token + sequences * sequence + kvRead * kv + pair * pairs
//
// base reads the weights once; up to `free` tokens ride along with that read (memory-bound), beyond it every token costs
// compute; decode attention reads each sequence's KV; prefill attention touches (query, key) pairs. It is the shape of
// every serving engine that batches continuously, from llama.cpp on two cores to vLLM on eight GPUs.
import { z } from "zod";

const nonNegative = z.number().finite().nonnegative();
const positive = z.number().finite().positive();

/** A lower KV tier: how much it holds and how fast its blocks come back to the device. */
export const tierSchema = z.strictObject({
  tier: z.enum(["host", "disk", "remote"]),
  capacityTokens: nonNegative,
  /** Fixed cost of one load, ms. */
  latencyMs: nonNegative.default(0.1),
  /** Transfer time per token of KV, ms. */
  msPerToken: nonNegative,
});

/** A profile as a file holds it: step times in ms, sizes in tokens, prices an hour. Unknown keys are errors. */
export const profileSchema = z.strictObject({
  name: z.string().min(1),
  /** Model and chip as a person would name them. */
  model: z.string().min(1),
  chip: z.string().min(1),
  /** Chips that work together on one replica (tensor parallel width). */
  chips: z.number().int().positive().default(1),
  step: z.strictObject({
    baseMs: positive,
    freeTokens: nonNegative.default(0),
    tokenMs: positive,
    sequenceMs: nonNegative.default(0),
    kvReadMsPerToken: nonNegative.default(0),
    attentionMsPerPair: nonNegative.default(0),
  }),
  /** Time a call costs beside its tokens, before its first token: network, tokenising, templates. */
  callOverheadMs: nonNegative.default(0),
  /** Tokens a step may hold (chunked prefill). */
  maxBatchTokens: z.number().int().positive(),
  /** How prompts share a step; absent: first come, first served, up to maxBatchTokens (vLLM, SGLang). */
  chunking: z
    .strictObject({
      /** Prompt tokens that a chosen call gets while other calls decode, and while none does. */
      busyTokens: z.number().int().positive(),
      idleTokens: z.number().int().positive(),
      /** Calls that get a chunk in one step: the oldest, then those nearest to their first token. */
      callsPerStep: z.number().int().positive(),
    })
    .optional(),
  /** Sequences that may run at once. */
  maxSequences: z.number().int().positive(),
  kvCapacityTokens: z.number().int().positive(),
  /** What stays on the device: whole conversations, one a sequence; absent: blocks of a paged cache. */
  keeps: z.literal("conversations").optional(),
  kvBytesPerToken: positive,
  tiers: z.array(tierSchema).max(3).default([]),
  /** Network of one replica for KV transfers (prefill to decode). */
  network: z.strictObject({ gigabytesPerSecond: positive, latencyMs: nonNegative.default(1) }).optional(),
  /** From asking for a replica until it serves. */
  startUpMs: nonNegative.default(0),
  /** Price of one chip for an hour, in the currency that the report names. */
  pricePerChipHour: nonNegative.default(0),
  /** Where the numbers come from; printed in reports. */
  source: z.string().min(1),
});

export type EngineProfile = z.infer<typeof profileSchema>;
export type KvTierProfile = z.infer<typeof tierSchema>;

/** Time of one step in ms. */
export function stepMs(
  profile: EngineProfile,
  prefillTokens: number,
  attentionPairs: number,
  decoding: number,
  kvTokens: number,
): number {
  const s = profile.step;
  const tokens = prefillTokens + decoding - s.freeTokens;
  return (
    s.baseMs +
    (tokens > 0 ? tokens * s.tokenMs : 0) +
    decoding * s.sequenceMs +
    kvTokens * s.kvReadMsPerToken +
    attentionPairs * s.attentionMsPerPair
  );
}

/** Time to prefill `tokens` new tokens after `context` cached ones on an idle replica, chunk by chunk, in ms. */
export function prefillMs(profile: EngineProfile, tokens: number, context: number): number {
  let ms = 0;
  let done = 0;
  while (done < tokens) {
    const chunk = Math.min(profile.maxBatchTokens, tokens - done);
    ms += stepMs(profile, chunk, chunk * (context + done + chunk / 2), 0, 0);
    done += chunk;
  }
  return ms;
}

/** Price of one replica for an hour. */
export function replicaPricePerHour(profile: EngineProfile): number {
  return profile.pricePerChipHour * profile.chips;
}
