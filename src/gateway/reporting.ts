// The end of a call: its record is written, its metrics are counted, live events tell it, and it is taken off the list of those under way.
// The record has the call's own fields and a row for each of its attempts; the money in it is the sum of theirs.
import type { LineshaftError } from "../errors/index.ts";
import { storable } from "../store/index.ts";
import type { Logger, Metrics } from "../telemetry/index.ts";
import type { AttemptRecord, BilledTokens, CallRecord } from "./calls/record.ts";
import { asLineshaftError } from "./errors.ts";
import { limits } from "./limits.ts";
import type { Recorder } from "./calls/recorder.ts";
import { refusesRequest } from "./scheduling/faults.ts";
import type { CallState, EndedAttempt, Outcome } from "./state.ts";
import type { GatewayDependencies } from "./types.ts";

interface Rooms {
  recorder: Recorder;
  events: GatewayDependencies["events"];
  metrics: Metrics;
  log: Logger;
}

export class Reporting {
  readonly #rooms: Rooms;

  constructor(rooms: Rooms) {
    this.#rooms = rooms;
  }

  /** Records a call that an engine has begun to serve. */
  finish(call: CallState, outcome: Outcome, { failure, finishReason }: EndedAttempt): Promise<CallRecord> {
    return this.#record(call, outcome, failure?.code, finishReason);
  }

  /** Records a call that was refused, or that failed before any answer began; answers the error for the caller. */
  refuse(call: CallState, error: unknown): LineshaftError {
    const failure = asLineshaftError(error);
    if (failure.code === "internal_error")
      this.#rooms.log.error({ call: call.id, err: (error as Error).stack }, "a call failed for an unforeseen reason");
    const refused = call.attempts.length === 0 || refusesRequest(failure);
    const outcome = call.signal.aborted ? "cancelled" : refused ? "refused" : "failed";
    void this.#record(call, outcome, failure.code, undefined);
    return failure;
  }

  /** Resolves with the call's record when that is written, or was given up. */
  async #record(
    call: CallState,
    status: Outcome,
    errorCode: string | undefined,
    finishReason: string | undefined,
  ): Promise<CallRecord> {
    const { recorder, events, metrics, log } = this.#rooms;
    const { attempts, firstTokenMs } = call;
    const { principal, asked } = call.request;
    const durationMs = call.now();
    const record = recordOf(call, { status, errorCode, finishReason, durationMs });
    // A model name that is not served is the caller's own text, which must not become a label.
    const model = errorCode === "model_not_found" ? "unknown" : asked.model;
    metrics.callEnded({ model, outcome: status, durationMs, firstTokenMs });
    // Codes, never messages: an engine's message may repeat a part of the prompt.
    log.debug({ call: call.id, model, status, code: errorCode, durationMs }, "call ended");
    const written = recorder.add({ call: record, attempts });
    events.publish(
      { organisation: principal.organisation, project: principal.project },
      { type: "call", call: record },
    );
    call.counted?.end(sumOf(attempts, "promptTokens") + sumOf(attempts, "outputTokens"));
    call.release();
    await written;
    return record;
  }
}

function recordOf(
  { id, request, attempts, startedAt, firstTokenMs }: CallState,
  ended: {
    status: Outcome;
    errorCode: string | undefined;
    finishReason: string | undefined;
    durationMs: number;
  },
): CallRecord {
  const { asked, principal } = request;
  const { status, errorCode, finishReason, durationMs } = ended;
  return {
    id,
    organisation: principal.organisation,
    project: principal.project,
    key: principal.key,
    agent: request.agent,
    run: request.run,
    program: request.program,
    endpoint: asked.endpoint,
    model: asked.model,
    stream: asked.stream,
    status,
    errorCode,
    finishReason: finishReason === undefined ? undefined : storable(finishReason, limits.engineCodeCharacters),
    promptTokens: sumOf(attempts, "promptTokens"),
    cachedTokens: sumOf(attempts, "cachedTokens"),
    outputTokens: sumOf(attempts, "outputTokens"),
    priceNano: attempts.reduce((total, attempt) => total + attempt.priceNano, 0n),
    currency: principal.currency,
    startedAt: new Date(startedAt),
    firstTokenMs,
    durationMs,
  };
}

function sumOf(attempts: AttemptRecord[], tokens: keyof BilledTokens): number {
  return attempts.reduce((total, attempt) => total + attempt[tokens], 0);
}
