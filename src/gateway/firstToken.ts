// The bound on the wait for an attempt's first token, where another endpoint could serve the call. An endpoint that accepts calls and then
// says nothing must not keep them, but a call that is only slow is never cut:
//
//   - a call that asks for reasoning has no bound: reasoning is often hidden, and takes minutes without a chunk;
//   - the bound comes from the engine's or the deployment's settings, or from the prompt and the endpoint's measured speed (Decision.firstTokenMostMs);
//     then it is never below the longest first token that the endpoint has honestly taken;
//   - it begins anew whenever the endpoint sends a token to any of its calls, because then this call may still be waiting its turn;
//   - a whole answer shows no first token. When the bound is over the endpoint is probed, and only silence ends the wait before the time
//     that all of its output may take;
//   - while no other endpoint may take the call, the wait goes on, unless the engine's owner has set the bound for this engine.
import { setTimeout as sleep } from "node:timers/promises";
import { EngineError } from "../engines/index.ts";
import type { RegisteredEndpoint } from "../engines/index.ts";
import { limits } from "./limits.ts";
import type { ModelCall } from "./modelCall.ts";

interface FirstTokenWait {
  endpoint: RegisteredEndpoint;
  mostMs: number;
  /** What a whole answer's tokens may take after the first; undefined: it streams. */
  outputMs: number | undefined;
  /** Whether another endpoint may take the call now. */
  elsewhere: () => boolean;
}

/** How long a call may wait for its first token; undefined: without a bound. */
export function firstTokenBound(
  { thinking }: Pick<ModelCall, "thinking">,
  { setMs, decidedMs, longestMs }: { setMs: number | undefined; decidedMs: number; longestMs: number },
): number | undefined {
  if (thinking.asked) return undefined;
  return setMs ?? Math.max(decidedMs, longestMs);
}

/** Resolves with the error of an endpoint that has been silent for too long; with undefined when the signal aborts before. */
export async function lateFirstToken(wait: FirstTokenWait, signal: AbortSignal): Promise<EngineError | undefined> {
  const sentMs = performance.now();
  const pause = (ms: number) => sleep(ms, undefined, { signal, ref: false }).catch(() => {});
  while (!signal.aborted) {
    const now = performance.now();
    // Signs of life lengthen the wait up to a bound, because one call may hang where others are answered.
    const lifeMs = Math.min(wait.endpoint.aliveMs, sentMs + limits.firstTokenLifeMs);
    const leftMs = Math.max(sentMs, lifeMs) + wait.mostMs - now;
    if (leftMs > 0) await pause(leftMs);
    else if (!wait.elsewhere()) await pause(limits.firstTokenLookMs);
    else if (await isBusy(wait, now - sentMs, signal)) await pause(Math.max(limits.firstTokenLookMs, wait.mostMs));
    else if (!signal.aborted) return silent(now - sentMs);
  }
  return undefined;
}

/** Whether a whole answer may still be on its way. */
async function isBusy({ endpoint, mostMs, outputMs }: FirstTokenWait, waitedMs: number, signal: AbortSignal) {
  if (outputMs === undefined || waitedMs >= mostMs + outputMs) return false;
  return endpoint.engine.probe(signal).then(
    () => true,
    () => false,
  );
}

function silent(waitedMs: number): EngineError {
  return new EngineError({
    status: 504,
    code: "engine_timeout",
    message: `The engine accepted the call and sent no token for ${Math.round(waitedMs / 100) / 10} s.`,
    hint: "Look at its log and load: lineshaft status.",
    retryable: true,
  });
}
