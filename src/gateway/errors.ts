// Why a call was not served, as one class that becomes an HTTP answer in one place: in the protocol's shape (protocols/) on the token
// path, in our own on /api. Every code stands in docs/errors.md.
import { CheckBusyError } from "../bounded/index.ts";
import { EngineError } from "../engines/index.ts";
import { isStorageFull, isStoreAway, storable } from "../store/index.ts";
import { LineshaftError } from "../errors/index.ts";
import { limits } from "./limits.ts";

/**
 * Why a call or a request was not served: an HTTP `status`, a stable `code` (docs/errors.md), a sentence for a person, a hint that says
 * what to do next, and where it applies the field at fault (`param`) and the seconds after which to try again.
 */
export class GatewayError extends LineshaftError {}

/**
 * The message as a client shows it. SDKs show `message` alone, so what to do next is part of it on the wire, also where the hint has a
 * field of its own. A message that contains the hint already is left as it is.
 */
export function spoken({ message, hint }: { message: string; hint?: string | undefined }): string {
  if (hint === undefined || message.includes(hint)) return message;
  return `${message}${/[.!?:]$/.test(message) ? "" : "."} ${hint}`;
}

/** Anything that was thrown, as an error that may be shown. An unforeseen error becomes `internal_error` without its own message. */
export function asGatewayError(error: unknown): GatewayError {
  if (error instanceof GatewayError) return error;
  if (error instanceof EngineError)
    // The engine may have said anything: its words are bounded and storable from here on.
    return new GatewayError({
      status: error.status,
      code: storable(error.code, limits.engineCodeCharacters),
      message: storable(error.message, limits.engineMessageCharacters),
      hint: storable(error.hint ?? usualEngineHint, limits.engineMessageCharacters),
      param: error.param === undefined ? undefined : storable(error.param, limits.engineCodeCharacters),
      retryAfterSeconds: error.retryAfterSeconds,
      cause: error,
    });
  if (isStorageFull(error)) return storageFull(error);
  if (error instanceof CheckBusyError)
    return new GatewayError({
      status: 503,
      code: "checks_busy",
      message: `${error.message} Try again in a second.`,
      retryAfterSeconds: 1,
      cause: error,
    });
  if (isStoreAway(error))
    return new GatewayError({
      status: 503,
      code: "store_unavailable",
      message:
        "The database does not answer, so nothing can be held or recorded. Try again in a moment; `lineshaft status` says when it is back.",
      hint: "The embedded database is started again by itself; one of your own is named by DATABASE_URL.",
      retryAfterSeconds: 1,
      cause: error,
    });
  if (error instanceof LineshaftError && error.isPublic) {
    const { status, code, message, why, hint, param, retryAfterSeconds } = error;
    return new GatewayError({ status, code, message, why, hint, param, retryAfterSeconds, cause: error });
  }
  return new GatewayError({
    status: 500,
    code: "internal_error",
    message: "Lineshaft failed to serve this request, for a reason that was not foreseen.",
    hint: "Try again; if it fails again, report it with the log's lines of this request's id (x-request-id).",
    cause: error,
  });
}

/** The disk has no room: nothing new is taken until it has, because a database that cannot write its log ends. */
export function storageFull(cause?: unknown): GatewayError {
  return new GatewayError({
    status: 507,
    code: "storage_full",
    message:
      "The disk is full, so nothing can be held or recorded. Free some space on the disk of LINESHAFT_HOME (or of your own Postgres); work goes on by itself then.",
    hint: "`lineshaft doctor` says how much is free.",
    retryAfterSeconds: 10,
    cause,
  });
}

const usualEngineHint = "Try again; `lineshaft status` shows the state of its engine.";
