// What load 1 means, the same for every fleet and trace: the rate of arrivals at which every endpoint is busy all of the time, if no token
// that any endpoint has computed were computed twice. A call's work is then its part of the steps' time: its uncached prompt tokens, and
// its output in batches as large as the sequences, KV and half of the level for a time per token let them be.
import { stepMs, type EngineProfile } from "../../../src/simulator/engine/profile.ts";
import type { Workload } from "../../../src/simulator/types.ts";

/** Service levels of every point of the grid. */
export const slo = { ttftMs: 5000, timePerTokenMs: 100 };

interface IdealWork {
  /** Mean time of an endpoint for a call, ms. */
  msPerCall: number;
  /** Sequences that are decoded together. */
  batch: number;
  /** Time that a call alone in its place takes, ms: what sessions are laid out with. */
  serviceMs: (index: number) => number;
}

/** The work of a workload's calls on endpoints of this kind under ideal caching, calls in the workload's order. */
export function idealWork(workload: Workload, profile: EngineProfile): IdealWork {
  const { calls } = workload;
  const uncached = uncachedTokens(workload);
  let prefillTokens = 0;
  let pairs = 0;
  let outputs = 0;
  let outputContext = 0;
  for (const { index, promptTokens, outputTokens } of calls) {
    const own = uncached[index]!;
    prefillTokens += own;
    pairs += own * (promptTokens - own / 2);
    outputs += outputTokens;
    outputContext += outputTokens * (promptTokens + outputTokens / 2);
  }
  const meanContext = outputContext / outputs;
  const prefillMs = prefillTokens * profile.step.tokenMs + pairs * profile.step.attentionMsPerPair;
  const baseMs = stepMs(profile, 0, 0, 0, 0);
  // What one more sequence adds to a step: its token, its KV, and the prompt tokens that come for each output token.
  const sequenceMs = stepMs(profile, 0, 0, 1, meanContext) - baseMs + prefillMs / outputs;
  const byKv = profile.kvCapacityTokens / meanContext;
  const byLevel = (slo.timePerTokenMs / 2 - baseMs) / sequenceMs;
  const batch = Math.max(1, Math.floor(Math.min(profile.maxSequences, byKv, byLevel)));
  const steps = Math.max(outputs / batch, prefillTokens / profile.maxBatchTokens);
  const msPerCall = (steps * baseMs + outputs * sequenceMs) / calls.length;
  const tokenMs = baseMs + batch * sequenceMs;
  return {
    msPerCall,
    batch,
    serviceMs: (index) =>
      profile.callOverheadMs + uncached[index]! * profile.step.tokenMs + calls[index]!.outputTokens * tokenMs,
  };
}

/** By call: prompt tokens that no call before it has computed. */
function uncachedTokens({ calls, blockCount, blockTokens }: Workload): Float64Array {
  const seen = new Uint8Array(blockCount);
  const uncached = new Float64Array(calls.length);
  for (const { index, blocks, outputBlocks, promptTokens } of calls) {
    let hit = 0;
    while (hit < blocks.length && seen[blocks[hit]!] === 1) hit++;
    for (let i = hit; i < blocks.length; i++) seen[blocks[i]!] = 1;
    for (const block of outputBlocks ?? []) seen[block] = 1;
    uncached[index] = Math.max(1, promptTokens - hit * blockTokens);
  }
  return uncached;
}
