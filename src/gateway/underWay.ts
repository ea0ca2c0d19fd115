// The calls that are under way, each with a way to stop it. A call is stopped by its client's going, by the revocation of its key, or by
// the server (a run was stopped, the process ends); the reason of its signal says which (`whyAborted`).
import { processMemory } from "../bounded/index.ts";
import type { LineshaftError } from "../errors/index.ts";
import type { Identity } from "../governance/index.ts";
import { newId } from "../store/index.ts";
import type { OutputCheck } from "./output.ts";
import { keyRevoked } from "./refusals.ts";
import type { CallState } from "./state.ts";
import type { CallRequest } from "./types.ts";

interface UnderWay {
  request: CallRequest;
  stop: (reason: LineshaftError) => void;
}

export class CallsUnderWay {
  readonly #keys: Pick<Identity, "watch">;
  readonly #calls = new Map<string, UnderWay>();
  /** Wait until no call is under way. */
  #waiting: (() => void)[] = [];

  constructor(keys: Pick<Identity, "watch">) {
    this.#keys = keys;
  }

  /** Registers a call. Its `release` takes it off the list again. */
  begin(request: CallRequest, check: OutputCheck | undefined): CallState {
    const stop = new AbortController();
    const onAbort = () => stop.abort(request.signal?.reason);
    if (request.signal?.aborted) onAbort();
    else request.signal?.addEventListener("abort", onAbort, { once: true });
    const id = request.id ?? newId("call");
    const origin = performance.now();
    const buffered = processMemory.open();
    const unwatch = this.#keys.watch(request.principal.key, () => stop.abort(keyRevoked()));
    this.#calls.set(id, { request, stop: (reason) => stop.abort(reason) });
    return {
      id,
      request,
      model: request.asked.model,
      marksPrompt: false,
      check,
      startedAt: Date.now(),
      signal: stop.signal,
      attempts: [],
      isUnsettled: false,
      firstTokenMs: undefined,
      savedTokens: undefined,
      counted: undefined,
      losing: undefined,
      buffered,
      // Microseconds: further digits say nothing, and every time would carry them into the spool and the database.
      now: () => Math.round(1_000 * (performance.now() - origin)) / 1_000,
      release: () => {
        unwatch();
        buffered.release();
        request.signal?.removeEventListener("abort", onAbort);
        this.#calls.delete(id);
        if (this.#calls.size > 0) return;
        for (const wake of this.#waiting.splice(0)) wake();
      },
    };
  }

  stop(which: (request: CallRequest) => boolean, reason: LineshaftError): void {
    for (const { request, stop } of this.#calls.values()) if (which(request)) stop(reason);
  }

  /** Resolves when no call is under way. */
  async ended(): Promise<void> {
    if (this.#calls.size > 0) await new Promise<void>((resolve) => this.#waiting.push(resolve));
  }
}
