// Refusals of Anthropic's API: {"type": "error", "error": {"type", "message"}}. The status says whose fault it is; `type` says it again inside
// a stream, which has no status of its own. Source: Anthropic's API reference, "Errors".
import { EngineError } from "../../types.ts";
import { refusalOf } from "../chat/usage.ts";
import { aboutAccount, object } from "../values.ts";

/** Statuses of the types that an event of a stream names. */
const statuses: Readonly<Record<string, number>> = {
  invalid_request_error: 400,
  authentication_error: 401,
  billing_error: 402,
  permission_error: 403,
  not_found_error: 404,
  request_too_large: 413,
  rate_limit_error: 429,
  api_error: 500,
  timeout_error: 504,
  overloaded_error: 529,
};

/** `status` 502 stands for an error inside an answer. */
export function messagesRefusal(status: number, text: string, retryAfter: number | undefined): EngineError {
  const { type, message } = detailOf(text);
  const named = status === 502 ? (statuses[type ?? ""] ?? status) : status;
  // The account's money is gone, which is no fault of the request.
  const said = aboutAccount.test(message ?? "") ? 402 : named;
  const error = refusalOf(said, text, retryAfter);
  if (said === 529)
    return new EngineError({
      status: 503,
      code: "engine_busy",
      message: message ?? "The engine is overloaded.",
      hint: "Try again a little later.",
      retryable: true,
      ...(retryAfter !== undefined && { retryAfterSeconds: retryAfter }),
    });
  if (error.code !== "invalid_request" || !/^prompt is too long/i.test(message ?? "")) return error;
  return new EngineError({
    status: error.status,
    code: "context_length_exceeded",
    message: error.message,
    hint: "Shorten the conversation, or ask a model with a longer context.",
    retryable: false,
  });
}

function detailOf(text: string): { type?: string; message?: string } {
  try {
    const error = object(object(JSON.parse(text))?.["error"]);
    const { type, message } = error ?? {};
    return {
      ...(typeof type === "string" && { type }),
      ...(typeof message === "string" && { message: message.slice(0, 2_000) }),
    };
  } catch {
    return {};
  }
}
