// How anything that was thrown becomes the error of an answer. Its shape on the wire is made elsewhere: by the protocol (protocols/) on
// the token path, by api/ on /api. Every code stands in docs/errors.md.
import { CheckBusyError } from "../bounded/index.ts";
import { EngineError, type SaidByEngine, type Shape } from "../engines/index.ts";
import { isStorageFull, isStoreAway, storable } from "../store/index.ts";
import { LineshaftError } from "../errors/index.ts";
import { limits } from "./limits.ts";

/**
 * The message as a client shows it. SDKs show `message` alone, so what to do next is part of it on the wire, also where the hint has a
 * field of its own. A message that contains the hint already is left as it is.
 */
export function spoken({ message, hint }: { message: string; hint?: string | undefined }): string {
  if (hint === undefined || message.includes(hint)) return message;
  return `${message}${/[.!?:]$/.test(message) ? "" : "."} ${hint}`;
}

/**
 * Anything that was thrown, as an error that may be answered. An error without a status of its own (errors/statuses.ts), and everything
 * that was not foreseen, becomes `internal_error` without its message.
 */
export function asLineshaftError(error: unknown): LineshaftError {
  if (error instanceof EngineError)
    // The engine may have said anything: its words are bounded and storable from here on.
    return new LineshaftError({
      status: error.status,
      code: storable(error.code, limits.engineCodeCharacters),
      message: storable(error.message, limits.engineMessageCharacters),
      hint: storable(error.hint ?? usualEngineHint, limits.engineMessageCharacters),
      param: error.param === undefined ? undefined : storable(error.param, limits.engineCodeCharacters),
      retryAfterSeconds: error.retryAfterSeconds,
      cause: error,
    });
  if (error instanceof CheckBusyError)
    return new LineshaftError({
      code: "checks_busy",
      message: `${error.message} Try again in a second.`,
      retryAfterSeconds: 1,
      cause: error,
    });
  const isAway = isStoreAway(error);
  if (error instanceof LineshaftError && error.isPublic && !isAway) return error;
  if (isStorageFull(error)) return storageFull(error);
  if (isAway)
    return new LineshaftError({
      code: "store_unavailable",
      message:
        "The database does not answer, so nothing can be held or recorded. Try again in a moment; `lineshaft status` says when it is back.",
      hint: "The embedded database is started again by itself; one of your own is named by DATABASE_URL.",
      retryAfterSeconds: 1,
      cause: error,
    });
  return new LineshaftError({
    code: "internal_error",
    message: "Lineshaft failed to serve this request, for a reason that was not foreseen.",
    hint: "Try again; if it fails again, report it with the log's lines of this request's id (x-request-id).",
    cause: error,
  });
}

/** The disk has no room: new requests are refused until it has, because a database that cannot write its log ends. */
export function storageFull(cause?: unknown): LineshaftError {
  return new LineshaftError({
    code: "storage_full",
    message:
      "The disk is full, so nothing can be held or recorded. Free some space on the disk of LINESHAFT_HOME (or of your own Postgres); work goes on by itself then.",
    hint: "`lineshaft doctor` says how much is free.",
    retryAfterSeconds: 10,
    cause,
  });
}

/**
 * A provider's own words of a refusal, for a client that speaks the provider's API and tries again by their wording. Undefined where the
 * failure is none of a provider's, where its words are about our key or account, and for clients of other APIs.
 */
export function saidIn(failure: LineshaftError, shape: Shape): SaidByEngine | undefined {
  const engine = failure instanceof EngineError ? failure : failure.cause;
  return engine instanceof EngineError && engine.said?.shape === shape ? engine.said : undefined;
}

const usualEngineHint = "Try again; `lineshaft status` shows the state of its engine.";
