// The end of a call: its record is written, its metrics are counted, live events tell it, and it is taken off the list of those under way.
// The record has the call's own fields and a row for each of its attempts; the money in it is the sum of theirs.
import { storable } from "../store/index.ts";
import type { LiveEvents, Logger, Metrics } from "../telemetry/index.ts";
import type { AttemptResource, Call, LiveEvent } from "../contract/index.ts";
import { asGatewayError } from "./errors.ts";
import type { GatewayError } from "./errors.ts";
import { limits } from "./limits.ts";
import type { Recorder } from "./calls/recorder.ts";
import { refusesRequest } from "./scheduling/faults.ts";
import type { CallState, EndedAttempt, Outcome } from "./state.ts";
import type { CallRecord } from "./types.ts";

interface Rooms {
  recorder: Recorder;
  events: LiveEvents<LiveEvent>;
  metrics: Metrics;
  log: Logger;
}

export class Reporting {
  readonly #rooms: Rooms;

  constructor(rooms: Rooms) {
    this.#rooms = rooms;
  }

  /** Records a call that an engine has begun to serve. */
  async finish(call: CallState, outcome: Outcome, ended: EndedAttempt): Promise<CallRecord> {
    const { usage, timings, priceNano, currency, failure, finishReason } = ended;
    await this.#record(call, outcome, failure?.code ?? null, finishReason ?? null);
    return {
      id: call.id,
      status: outcome,
      usage,
      timings,
      priceNano,
      currency,
      ...(failure && { errorCode: failure.code }),
      ...(finishReason !== undefined && { finishReason }),
    };
  }

  /** Records a call that was refused, or that failed before any answer began; answers the error for the caller. */
  refuse(call: CallState, error: unknown): GatewayError {
    const failure = asGatewayError(error);
    if (failure.code === "internal_error")
      this.#rooms.log.error({ call: call.id, err: (error as Error).stack }, "a call failed for an unforeseen reason");
    const refused = call.attempts.length === 0 || refusesRequest(failure);
    const outcome = call.signal.aborted ? "cancelled" : refused ? "refused" : "failed";
    void this.#record(call, outcome, failure.code, null);
    return failure;
  }

  #record(
    call: CallState,
    status: Call["status"],
    errorCode: string | null,
    finishReason: string | null,
  ): Promise<void> {
    const { recorder, events, metrics, log } = this.#rooms;
    const { attempts, firstTokenMs } = call;
    const { principal, asked } = call.request;
    const durationMs = call.now();
    const shown = shownCall(call, { status, errorCode, finishReason, durationMs });
    // A model name that is not served is the caller's own text, which must not become a label.
    const model = errorCode === "model_not_found" ? "unknown" : asked.model;
    metrics.callEnded({ model, outcome: status, durationMs, firstTokenMs });
    // Codes, never messages: an engine's message may repeat a part of the prompt.
    log.debug({ call: call.id, model, status, code: errorCode, durationMs }, "call ended");
    const { organisation, project } = principal;
    const written = recorder.add({ organisation, project, call: shown, attempts });
    events.publish({ organisation, project }, { type: "call", call: shown });
    call.release();
    return written;
  }
}

/** The call as it is recorded and shown. */
function shownCall(
  { id, request, attempts, startedAt, firstTokenMs }: CallState,
  ended: { status: Call["status"]; errorCode: string | null; finishReason: string | null; durationMs: number },
): Call {
  const { asked, principal } = request;
  const { status, errorCode, finishReason, durationMs } = ended;
  const sum = (of: (attempt: AttemptResource) => number) => attempts.reduce((total, one) => total + of(one), 0);
  return {
    id,
    endpoint: asked.endpoint,
    model: asked.model,
    stream: asked.stream,
    status,
    error_code: errorCode,
    finish_reason: finishReason === null ? null : storable(finishReason, limits.engineCodeCharacters),
    key: principal.key,
    agent: request.agent ?? null,
    run: request.run ?? null,
    program: request.program ?? null,
    prompt_tokens: sum((one) => one.prompt_tokens),
    cached_tokens: sum((one) => one.cached_tokens),
    output_tokens: sum((one) => one.output_tokens),
    price_nano: attempts.reduce((total, one) => total + BigInt(one.price_nano), 0n).toString(),
    currency: principal.currency,
    started_at: new Date(startedAt).toISOString(),
    first_token_ms: firstTokenMs ?? null,
    duration_ms: durationMs,
  };
}
