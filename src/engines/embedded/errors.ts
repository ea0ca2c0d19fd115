// Errors a caller of the worker sees, in OpenAI's shape with a code and a next step. They become HTTP in http.ts alone.

export class ApiError extends Error {
  readonly status: number;
  readonly code: string;
  readonly param: string | null;
  readonly hint: string;
  readonly retryAfterSeconds: number | undefined;

  constructor(detail: {
    status: number;
    code: string;
    message: string;
    hint: string;
    param?: string;
    retryAfterSeconds?: number;
  }) {
    super(detail.message);
    this.name = "ApiError";
    this.status = detail.status;
    this.code = detail.code;
    this.param = detail.param ?? null;
    this.hint = detail.hint;
    this.retryAfterSeconds = detail.retryAfterSeconds;
  }

  /** The body of the answer: `{error: {message, type, param, code, hint}}`. */
  body(): { error: { message: string; type: string; param: string | null; code: string; hint: string } } {
    return {
      error: { message: this.message, type: typeOf(this.status), param: this.param, code: this.code, hint: this.hint },
    };
  }
}

function typeOf(status: number): string {
  if (status === 401) return "authentication_error";
  if (status === 404) return "not_found_error";
  if (status === 429) return "rate_limit_error";
  return status >= 500 ? "server_error" : "invalid_request_error";
}

/** A field that is unknown or not served here: named, never ignored. */
export function unsupported(param: string, why: string, hint = `Leave \`${param}\` out.`): ApiError {
  return new ApiError({ status: 400, code: "unsupported_parameter", message: `\`${param}\` ${why}.`, param, hint });
}

/** A field with a value that cannot be meant. */
export function invalid(param: string, why: string, hint = `Correct \`${param}\` and send the call again.`): ApiError {
  return new ApiError({ status: 400, code: "invalid_value", message: `\`${param}\` ${why}.`, param, hint });
}

/** KV that was computed elsewhere cannot be had: the call can be tried again, and its prompt is then computed anew. */
export function kvLost(why: string): ApiError {
  return new ApiError({
    status: 409,
    code: "kv_lost",
    message: `The KV that this call was to go on from is lost: ${why}.`,
    hint: "Send the call again without it: its prompt is then computed here.",
  });
}

/** Anything unforeseen: says so without leaking the inside. */
export function internal(cause: unknown): ApiError {
  const detail = cause instanceof Error ? cause.message : String(cause);
  return new ApiError({
    status: 500,
    code: "engine_error",
    message: `The engine failed at this call: ${detail}`,
    hint: "Send the call again; if it fails again, look at the worker's log.",
  });
}
