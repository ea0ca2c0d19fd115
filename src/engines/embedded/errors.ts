// Refusals of the worker, as its callers see them: a code (its status is in errors/statuses.ts), a sentence and a next step. They become
// HTTP in answers.ts alone.
import { LineshaftError } from "../../errors/index.ts";

/** A field that is unknown or not supported: it is refused by name, never ignored. */
export function unsupported(param: string, why: string, hint = `Leave \`${param}\` out.`): LineshaftError {
  return new LineshaftError({ code: "unsupported_parameter", message: `\`${param}\` ${why}.`, param, hint });
}

/** A field with an invalid value. */
export function invalid(
  param: string,
  why: string,
  hint = `Correct \`${param}\` and send the call again.`,
): LineshaftError {
  return new LineshaftError({ code: "invalid_value", message: `\`${param}\` ${why}.`, param, hint });
}

/** KV that another worker computed cannot be loaded. The call can be tried again, and its prompt is then computed here. */
export function kvLost(why: string): LineshaftError {
  return new LineshaftError({
    code: "kv_lost",
    message: `The KV that this call was to go on from is lost: ${why}.`,
    hint: "Send the call again without it: its prompt is then computed here.",
    // The gateway's own `kv_lost`, for calls that cannot be tried again, is a 503.
    status: 409,
  });
}

/** An unexpected error. */
export function internal(cause: unknown): LineshaftError {
  const detail = cause instanceof Error ? cause.message : String(cause);
  return new LineshaftError({
    code: "engine_error",
    message: `The engine failed at this call: ${detail}`,
    hint: "Send the call again; if it fails again, look at the worker's log.",
    cause,
  });
}
