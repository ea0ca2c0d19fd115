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
import { EngineError } from "../engines/index.ts";
import type { RegisteredEndpoint } from "../engines/index.ts";
import { limits } from "./limits.ts";
import type { ModelCall } from "./modelCall.ts";

interface FirstTokenWait {
  endpoint: RegisteredEndpoint;
  mostMs: number;
  /** Time that the tokens of a whole answer may take after the first one; undefined for a stream. */
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

/**
 * Waits for an attempt's first token, and tells `onLate` once, with an error, where the endpoint has been silent for too long. It is a timer and
 * no promise with a signal: calling off a sleep makes an error with a stack, which costs 50 us of a call.
 */
export class FirstTokenWatch {
  readonly #wait: FirstTokenWait;
  readonly #onLate: (error: EngineError) => void;
  readonly #sentMs = performance.now();
  #timer: NodeJS.Timeout | undefined;
  /** Stops a question whether the endpoint lives. */
  #probing: AbortController | undefined;
  #isOver = false;

  constructor(wait: FirstTokenWait, onLate: (error: EngineError) => void) {
    this.#wait = wait;
    this.#onLate = onLate;
    this.#look();
  }

  /** The wait is over: nothing is told any more. */
  end(): void {
    this.#isOver = true;
    clearTimeout(this.#timer);
    this.#probing?.abort();
  }

  #look(): void {
    if (this.#isOver) return;
    const { endpoint, mostMs, elsewhere } = this.#wait;
    const now = performance.now();
    // Signs of life lengthen the wait up to a bound, because one call may hang where others are answered.
    const lifeMs = Math.min(endpoint.aliveMs, this.#sentMs + limits.firstTokenLifeMs);
    const leftMs = Math.max(this.#sentMs, lifeMs) + mostMs - now;
    if (leftMs > 0) return this.#lookIn(leftMs);
    if (!elsewhere()) return this.#lookIn(limits.firstTokenLookMs);
    const waitedMs = now - this.#sentMs;
    if (!this.#mayBeBusy(waitedMs)) return this.#onLate(silent(waitedMs));
    this.#probing = new AbortController();
    endpoint.engine.probe(this.#probing.signal).then(
      () => this.#lookIn(Math.max(limits.firstTokenLookMs, mostMs)),
      () => this.#isOver || this.#onLate(silent(waitedMs)),
    );
  }

  #lookIn(ms: number): void {
    if (!this.#isOver) this.#timer = setTimeout(() => this.#look(), ms).unref();
  }

  /** A whole answer may still be on its way, which the endpoint is asked. */
  #mayBeBusy(waitedMs: number): boolean {
    const { outputMs, mostMs } = this.#wait;
    return outputMs !== undefined && waitedMs < mostMs + outputMs;
  }
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
