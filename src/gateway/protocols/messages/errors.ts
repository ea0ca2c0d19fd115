// A failure as Anthropic's clients read it: {type: "error", error: {type, message}, request_id}. They try again by status and type, and
// show the message alone. `code` is Lineshaft's own and stands in docs/errors.md.
import type { LineshaftError } from "../../../errors/index.ts";
import { saidIn, spoken } from "../../errors.ts";

/**
 * The status that Anthropic's clients understand. They try 529 (overloaded) again after a wait, also where a budget is held only by calls
 * under way. A budget that is spent is no matter of waiting: Claude Code would try a 429 again for minutes.
 */
export function messagesStatus({ status, code }: LineshaftError): number {
  if (code === "budget_exceeded") return 400;
  return status === 503 || code === "budget_held" ? 529 : status;
}

const types: Readonly<Record<number, string>> = {
  401: "authentication_error",
  403: "permission_error",
  404: "not_found_error",
  413: "request_too_large",
  429: "rate_limit_error",
  504: "timeout_error",
  529: "overloaded_error",
};

function typeOf(error: LineshaftError): string {
  if (error.code === "budget_exceeded") return "billing_error";
  const status = messagesStatus(error);
  return types[status] ?? (status < 500 ? "invalid_request_error" : "api_error");
}

export function messagesErrorBody(error: LineshaftError, requestId?: string): Record<string, unknown> {
  const said = saidIn(error, "messages");
  if (said) return JSON.parse(said.text) as Record<string, unknown>;
  const { code } = error;
  const message = code === "context_length_exceeded" ? tooLong(spoken(error)) : spoken(error);
  return {
    type: "error",
    error: { type: typeOf(error), message, code },
    ...(requestId !== undefined && { request_id: requestId }),
  };
}

/**
 * The words by which Claude Code shortens its conversation, with the tokens of the prompt and of the context where the engine named both.
 * Of two numbers in an engine's sentence the greater one is the prompt's, because the prompt was refused.
 */
function tooLong(message: string): string {
  if (/^prompt is too long/i.test(message)) return message;
  const numbers = (message.match(/\d[\d,]*(?= (?:input |prompt )?tokens?\b)/g) ?? [])
    .map((text) => Number(text.replaceAll(",", "")))
    .filter((tokens) => tokens > 0);
  const [most, least] = [Math.max(...numbers), Math.min(...numbers)];
  if (numbers.length < 2 || most === least) return `prompt is too long: ${message}`;
  return `prompt is too long: ${most} tokens > ${least} maximum. ${message}`;
}
