// The end of a call: its record is written, its metrics are counted, live events tell it, and it is taken off the list of those under way.
// The record has the call's own fields and a row for each of its attempts; the money in it is the sum of theirs.
import type { LineshaftError } from "../errors/index.ts";
import type { AttemptLedger } from "../ledger/index.ts";
import { storable } from "../store/index.ts";
import type { Logger, Metrics } from "../telemetry/index.ts";
import type { AttemptRecord, BilledTokens, CallRecord } from "./calls/record.ts";
import { callToRow } from "./calls/rows.ts";
import { asLineshaftError } from "./errors.ts";
import { limits } from "./limits.ts";
import { refusesRequest } from "./scheduling/faults.ts";
import type { CallState, EndedAttempt, Outcome } from "./state.ts";
import type { GatewayDependencies } from "./types.ts";

interface Rooms {
  ledger: Pick<AttemptLedger, "recordCall">;
  events: GatewayDependencies["events"];
  metrics: Metrics;
  log: Logger;
}

/** The record of a call, and when it is written (`whenWritten`); undefined where it cannot be written at all. */
interface Recorded {
  record: CallRecord;
  written: Promise<void> | undefined;
}

/** Resolves when a record is written. Where the disk fails it lies in memory, and its client is told what has happened all the same. */
export async function whenWritten({ written }: Recorded): Promise<void> {
  try {
    await written;
  } catch {
    // The failure of the spool has its alarm.
  }
}

export class Reporting {
  readonly #rooms: Rooms;

  constructor(rooms: Rooms) {
    this.#rooms = rooms;
  }

  /** Records a call that an engine has begun to serve. Its client reads the end once that is written. */
  finish(
    call: CallState,
    outcome: Outcome,
    { failure, finishReason, cutBy }: Pick<EndedAttempt, "failure" | "finishReason" | "cutBy">,
  ): Recorded {
    return this.#record(call, { status: outcome, errorCode: failure?.code, finishReason, cutBy });
  }

  /** Records a call that was refused, or that failed before any answer began; answers the error for the caller once that is written. */
  async refuse(call: CallState, error: unknown): Promise<LineshaftError> {
    const failure = asLineshaftError(error);
    if (failure.code === "internal_error")
      this.#rooms.log.error({ call: call.id, err: (error as Error).stack }, "a call failed for an unforeseen reason");
    const refused = call.attempts.length === 0 || refusesRequest(failure);
    const status = call.signal.aborted ? "cancelled" : refused ? "refused" : "failed";
    await whenWritten(
      this.#record(call, { status, errorCode: failure.code, finishReason: undefined, cutBy: undefined }),
    );
    return failure;
  }

  #record(call: CallState, ended: HowEnded): Recorded {
    const { ledger, events, metrics, log } = this.#rooms;
    const { firstTokenMs } = call;
    const { status, errorCode } = ended;
    const { principal } = call.request;
    const durationMs = call.now();
    const record = recordOf(call, ended, durationMs);
    // A model name that is not served is the caller's own text, which must not become a label.
    const model = errorCode === "model_not_found" ? "unknown" : call.model;
    metrics.callEnded({ model, outcome: status, durationMs, firstTokenMs });
    // Codes, never messages: an engine's message may repeat a part of the prompt.
    log.debug({ call: call.id, model, status, code: errorCode, durationMs }, "call ended");
    let written: Promise<void> | undefined;
    try {
      // With an attempt that is not settled it is the next start that knows the sums, and writes the record.
      if (!call.isUnsettled) written = ledger.recordCall(record.id, callToRow(record));
    } catch (error) {
      // The money stands in its attempts. A call that was refused because nothing can be written has no record.
      log.error({ call: call.id, err: (error as Error).message }, "the record of a call could not be written");
    }
    events.publish(
      { organisation: principal.organisation, project: principal.project },
      { type: "call", call: record },
    );
    call.counted?.end(record.promptTokens + record.outputTokens);
    call.release();
    return { record, written };
  }
}

/** How a call ended, as its record says it. */
type HowEnded = Pick<CallRecord, "status" | "errorCode" | "finishReason" | "cutBy">;

function recordOf(
  { id, model, request, attempts, startedAt, firstTokenMs, savedTokens }: CallState,
  { status, errorCode, finishReason, cutBy }: HowEnded,
  durationMs: number,
): CallRecord {
  const { asked, principal } = request;
  return {
    id,
    organisation: principal.organisation,
    project: principal.project,
    key: principal.key,
    agent: request.agent,
    run: request.run,
    program: request.program,
    batch: request.line?.batch,
    endpoint: asked.shape,
    model,
    askedModel: asked.model === model ? undefined : asked.model,
    stream: asked.stream,
    status,
    errorCode,
    finishReason: finishReason === undefined ? undefined : storable(finishReason, limits.engineCodeCharacters),
    cutBy,
    promptTokens: sumOf(attempts, "promptTokens"),
    cachedTokens: sumOf(attempts, "cachedTokens"),
    outputTokens: sumOf(attempts, "outputTokens"),
    savedTokens,
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
