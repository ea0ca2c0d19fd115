// Why a call was not served, as one class that becomes an HTTP answer in one place: OpenAI's shape on /v1
// ({error: {message, type, param, code, hint}}), ours on /api. Every code stands in docs/errors.md.
import { EngineError } from "../engines/index.ts";

export class GatewayError extends Error {
  readonly status: number;
  readonly code: string;
  readonly hint: string | undefined;
  readonly param: string | undefined;
  readonly retryAfterSeconds: number | undefined;

  constructor(detail: {
    status: number;
    code: string;
    message: string;
    hint?: string | undefined;
    param?: string | undefined;
    retryAfterSeconds?: number | undefined;
    cause?: unknown;
  }) {
    super(detail.message, { cause: detail.cause });
    this.name = "GatewayError";
    this.status = detail.status;
    this.code = detail.code;
    this.hint = detail.hint;
    this.param = detail.param;
    this.retryAfterSeconds = detail.retryAfterSeconds;
  }
}

/** Anything that was thrown, as an error that may be shown: what nobody foresaw says nothing of its inside. */
export function asGatewayError(error: unknown): GatewayError {
  if (error instanceof GatewayError) return error;
  if (error instanceof EngineError)
    return new GatewayError({
      status: error.status,
      code: error.code,
      message: error.message,
      hint: error.hint,
      param: error.param,
      retryAfterSeconds: error.retryAfterSeconds,
      cause: error,
    });
  if (isStoreAway(error))
    return new GatewayError({
      status: 503,
      code: "store_unavailable",
      message: "The database does not answer, so nothing can be held or recorded.",
      hint: "It is started again by itself if it is Lineshaft's own: try again in a moment. See lineshaft status.",
      retryAfterSeconds: 1,
      cause: error,
    });
  return new GatewayError({
    status: 500,
    code: "internal_error",
    message: "Lineshaft failed to serve this request.",
    hint: "Look for the request id in the log; start with LINESHAFT_LOG=debug for more.",
    cause: error,
  });
}

/** Of connections (Node) and of servers that start, stop or break (Postgres' classes 08 and 57P). */
const storeAway = /^(ECONNREFUSED|ECONNRESET|EPIPE|ETIMEDOUT|ENOTFOUND|57P0[1-5]|08\d{3}|53300)$/;

/** Whether Postgres could not be reached, or broke off: engines' connections fail as EngineError, so these are the store's. */
function isStoreAway(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  const { code } = error as NodeJS.ErrnoException;
  if (code !== undefined && storeAway.test(code)) return true;
  if (error instanceof AggregateError) return error.errors.some(isStoreAway);
  return /^Connection terminated/.test(error.message);
}

/** The `type` that OpenAI's clients know, by status and code. */
export function openAiErrorType(error: GatewayError): string {
  if (error.code === "budget_exceeded") return "insufficient_quota";
  if (error.status === 401) return "authentication_error";
  if (error.status === 403) return "permission_error";
  if (error.status === 404) return "not_found_error";
  if (error.status === 429) return "rate_limit_error";
  return error.status < 500 ? "invalid_request_error" : "server_error";
}

export function openAiErrorBody(error: GatewayError): { error: Record<string, unknown> } {
  return {
    error: {
      message: error.message,
      type: openAiErrorType(error),
      param: error.param ?? null,
      code: error.code,
      ...(error.hint !== undefined && { hint: error.hint }),
    },
  };
}
