// How one batch is shared between calls. Every decoding stream gets its token, and at most two calls in prefill get a chunk:
// the oldest, so that no long prompt starves, and the one nearest to its first token, so that short prompts do not
// queue behind long ones. A stream therefore waits for at most two chunks between tokens, however many calls prefill
// (measured on one thread: chunks of 64 cost a prompt 4 % against one batch of everything, and the longest gap is 0.25 s).
import { chunkTokensBusy, chunkTokensIdle, chunksPerStep } from "./limits.ts";

interface Prefilling {
  id: number;
  /** Prompt tokens still to be computed. */
  pending: number;
  /** Order of admission; smaller is older. */
  order: number;
}

/** Tokens to compute in the next batch for each prefilling call that gets any. */
export function shareOut(prefilling: readonly Prefilling[], decoding: number): Map<number, number> {
  const chunk = decoding > 0 ? chunkTokensBusy : chunkTokensIdle;
  const shares = new Map<number, number>();
  const oldest = prefilling.toSorted((a, b) => a.order - b.order)[0];
  if (!oldest) return shares;
  const nearest = prefilling
    .filter((call) => call !== oldest)
    .toSorted((a, b) => a.pending - b.pending || a.order - b.order);
  const chosen = [oldest, ...nearest.slice(0, chunksPerStep - 1)];
  // A call that prefills alone, while none decodes, gets both chunks.
  const each = chosen.length === 1 && decoding === 0 ? chunk * chunksPerStep : chunk;
  for (const call of chosen) shares.set(call.id, Math.min(call.pending, each));
  return shares;
}
