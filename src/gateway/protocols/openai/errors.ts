// A failure in OpenAI's shape: {error: {message, type, param, code, hint}}. Every code stands in docs/errors.md.
import type { LineshaftError } from "../../../errors/index.ts";
import { spoken } from "../../errors.ts";

/** The `type` that OpenAI's clients know, by status and code. */
function openAiErrorType(error: LineshaftError): string {
  if (error.code === "budget_exceeded") return "insufficient_quota";
  if (error.status === 401) return "authentication_error";
  if (error.status === 403) return "permission_error";
  if (error.status === 404) return "not_found_error";
  if (error.status === 429) return "rate_limit_error";
  return error.status < 500 ? "invalid_request_error" : "server_error";
}

export function openAiErrorBody(error: LineshaftError): { error: Record<string, unknown> } {
  const { param = null, code, hint } = error;
  return {
    error: {
      message: spoken(error),
      type: openAiErrorType(error),
      param,
      code,
      ...(hint !== undefined && { hint }),
    },
  };
}
