// A PD call: one endpoint computes the prompt and keeps its KV, another pulls the KV and writes the answer. The scheduler's states
// (scheduler/pd/states.ts) decide what happens next; here it is carried out.
//
// The answer begins only on KV that was pulled whole and in time. If anything fails before, the decoder computes the prompt itself. Both
// legs are told of every end of the call.
import { setTimeout as sleep } from "node:timers/promises";
import { EngineError } from "../../engines/index.ts";
import type {
  EngineAnswer,
  EngineRegistry,
  EngineRequest,
  KvEngine,
  KvTransfer,
  Prefilled,
  RegisteredEndpoint,
  Usage,
} from "../../engines/index.ts";
import type { PdAction } from "../../scheduler/index.ts";
import { whyAborted } from "../refusals.ts";
import type { Dispatcher } from "./dispatcher.ts";
import { faultOf, ofEndpoint } from "./faults.ts";

/** The KV cache of an endpoint. Throws EngineError where its engine has none that can be steered. */
function kvOf({ endpoint, engine }: RegisteredEndpoint): KvEngine {
  if (engine.kv) return engine.kv;
  throw new EngineError({
    status: 501,
    code: "kv_unsupported",
    message: `The endpoint ${endpoint} cannot prefill for another.`,
    retryable: false,
  });
}

/** Node's timers hold no more. */
const longestTimerMs = 2 ** 31 - 1;

interface SplitLegs {
  prefill: RegisteredEndpoint;
  decode: RegisteredEndpoint;
}

/** An attempt's request to an endpoint; `leg` keeps the engines' names of its parts apart. */
export type LegRequest = (
  endpoint: RegisteredEndpoint,
  leg?: "prefill" | "again",
  transfer?: KvTransfer,
) => EngineRequest;

export class SplitCall {
  readonly #dispatcher: Dispatcher;
  readonly #engines: EngineRegistry;
  readonly #call: string;
  readonly #legs: SplitLegs;
  readonly #prefillLeg = new AbortController();
  readonly #decodeLeg = new AbortController();
  readonly #prefillMostMs: number;
  #kept: string | undefined;
  #recompute = false;
  #failed: Extract<PdAction, { type: "pd_fail" }> | undefined;
  /** What the prefill leg has computed, also when it was not used. */
  prefilled: Prefilled | undefined;

  /** A prompt that is not computed after `prefillMostMs` is computed by the decoder instead. */
  constructor(
    dispatcher: Dispatcher,
    engines: EngineRegistry,
    call: string,
    legs: SplitLegs,
    prefillMostMs = Number.POSITIVE_INFINITY,
  ) {
    this.#prefillMostMs = prefillMostMs;
    this.#dispatcher = dispatcher;
    this.#engines = engines;
    this.#call = call;
    this.#legs = legs;
  }

  /** What is to be paid for when the call ends before the decoder has said anything. */
  get usage(): Usage | undefined {
    return this.prefilled?.usage;
  }

  /** Usage as it is billed: the decode leg reports transferred tokens as cached, so the prefill leg's count is taken. */
  billed(usage: Usage): Usage {
    const billed = this.#dispatcher.billed(this.#call, usage);
    const cachedByTier = this.prefilled?.usage.cachedByTier;
    return billed === usage || !cachedByTier ? billed : { ...billed, cachedByTier };
  }

  /** The decoder's answer. Throws EngineError, or LineshaftError when the call is no longer wanted. */
  async open(requestOf: LegRequest, signal: AbortSignal, onPrefilled: () => void): Promise<EngineAnswer> {
    this.#dispatcher.follow(this.#call, (action) => this.#carryOut(action));
    const { prefill, decode } = this.#legs;
    await this.#compute(requestOf(prefill, "prefill"), signal);
    onPrefilled();
    if (signal.aborted) throw whyAborted(signal);
    const state = this.prefilled?.state;
    if (state !== undefined && !this.#recompute) {
      const answer = await this.#pull(requestOf(decode, undefined, { state, tokens: this.prefilled!.tokens }), signal);
      if (answer) return answer;
    }
    if (this.#failed)
      throw new EngineError({
        status: 503,
        code: "kv_lost",
        message: `The prompt's KV was lost between two endpoints (${this.#failed.reason}).`,
        hint: "Send the call again.",
        retryable: this.#failed.retryable,
      });
    if (signal.aborted) throw whyAborted(signal);
    return decode.engine.open(requestOf(decode, "again"), signal);
  }

  /** Releases the state that the prefill leg keeps. To be called at every end of the call. */
  close(): void {
    this.#prefillLeg.abort();
    this.#release();
  }

  async #compute(request: EngineRequest, signal: AbortSignal): Promise<void> {
    const { prefill } = this.#legs;
    try {
      const leg = kvOf(prefill).prefill(request, AbortSignal.any([signal, this.#prefillLeg.signal]));
      const prefilled = await this.#inTime(leg, signal);
      this.#dispatcher.outcome(this.#call, prefill.endpoint, "served");
      this.prefilled = prefilled;
      this.#kept = prefilled.state;
      if (prefilled.state === undefined) {
        this.#dispatcher.split(this.#call, { type: "prefill_failed", retryable: true });
        return;
      }
      const { cachedTokens } = prefilled.usage;
      this.#dispatcher.split(this.#call, {
        type: "prefill_done",
        cachedTokens,
        computedTokens: prefilled.tokens - cachedTokens,
        leaseUntilMs: performance.now() + prefilled.leaseMs,
      });
    } catch (thrown) {
      const error = ofEndpoint(thrown, prefill);
      const fault = signal.aborted ? undefined : faultOf(error);
      if (fault !== undefined) this.#dispatcher.outcome(this.#call, prefill.endpoint, fault);
      if (fault === "connect") this.#engines.lost(prefill, (error as EngineError).message);
      const retryable = error instanceof EngineError && error.retryable;
      this.#dispatcher.split(this.#call, { type: "prefill_failed", retryable });
    }
  }

  /** The prefill leg's answer. Throws when it is late; a state that comes later is released. */
  async #inTime(leg: Promise<Prefilled>, signal: AbortSignal): Promise<Prefilled> {
    if (!Number.isFinite(this.#prefillMostMs)) return leg;
    const over = new AbortController();
    const late = sleep(Math.min(this.#prefillMostMs, longestTimerMs), undefined, { signal: over.signal, ref: false });
    try {
      const prefilled = await Promise.race([leg, late.catch(() => undefined)]);
      if (prefilled) return prefilled;
    } finally {
      over.abort();
    }
    this.#prefillLeg.abort();
    leg.then(
      ({ state }) => state !== undefined && void this.#legs.prefill.engine.kv?.release(state),
      () => {},
    );
    if (signal.aborted) throw whyAborted(signal);
    throw new EngineError({
      status: 504,
      code: "engine_timeout",
      message: "The engine accepted a prompt and did not compute it in time.",
      retryable: true,
    });
  }

  /** The decoder's answer on the pulled KV; undefined when it could not have all of it in time. */
  async #pull(request: EngineRequest, signal: AbortSignal): Promise<EngineAnswer | undefined> {
    const { engine } = this.#legs.decode;
    let answer: EngineAnswer;
    try {
      answer = await engine.open(request, AbortSignal.any([signal, this.#decodeLeg.signal]));
    } catch (error) {
      if (signal.aborted) throw whyAborted(signal);
      const lost = error instanceof EngineError && error.code === "kv_lost";
      if (!lost && !this.#recompute) throw error;
      this.#dispatcher.split(this.#call, { type: "pulled", tokens: 0 });
      return undefined;
    }
    this.#dispatcher.split(this.#call, { type: "decode_accepted" });
    this.#dispatcher.split(this.#call, { type: "pulled", tokens: answer.pulledTokens?.() ?? 0 });
    if (!this.#recompute && !this.#failed) return answer;
    await answer.cancel();
    return undefined;
  }

  #carryOut(action: PdAction): void {
    switch (action.type) {
      case "pd_abort":
        if (action.leg === "decode") this.#decodeLeg.abort();
        else this.close();
        break;
      case "pd_release":
        this.#release();
        break;
      case "pd_recompute":
        this.#recompute = true;
        break;
      case "pd_fail":
        this.#failed = action;
        break;
      case "pd_prefill":
      case "pd_decode":
        // `open` does both, in this order.
        break;
    }
  }

  #release(): void {
    const state = this.#kept;
    this.#kept = undefined;
    if (state !== undefined) void this.#legs.prefill.engine.kv?.release(state);
  }
}
