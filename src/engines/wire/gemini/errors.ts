// Refusals of Google's API: {"error": {"code", "message", "status", "details"}}. The status says whose fault it is, the details how long to
// wait, and that a key is wrong, which this API says with a 400. A stream without `alt=sse` wraps the object in a list.
// Source: Google's pages "Troubleshooting" of the Gemini API and google/rpc/error_details.proto, as of November 2026.
import { EngineError } from "../../types.ts";
import { refusalOf } from "../chat/usage.ts";
import { inTable, listIn, object, textIn } from "../values.ts";

type Json = Record<string, unknown>;

/** Statuses of the words that an error inside an answer names. */
const statuses: Readonly<Record<string, number>> = {
  INVALID_ARGUMENT: 400,
  FAILED_PRECONDITION: 400,
  UNAUTHENTICATED: 401,
  PERMISSION_DENIED: 403,
  NOT_FOUND: 404,
  RESOURCE_EXHAUSTED: 429,
  INTERNAL: 500,
  UNAVAILABLE: 503,
  DEADLINE_EXCEEDED: 504,
};

const tooLong = /input token count|exceeds the maximum number of tokens/i;

/** `status` 502 stands for an error inside an answer. */
export function geminiRefusal(status: number, text: string, retryAfter: number | undefined): EngineError {
  const error = errorIn(text);
  if (!error) return refusalOf(status, text, retryAfter);
  const said = status === 502 ? (inTable(statuses, textIn(error, "status")) ?? status) : status;
  const details = listIn(error, "details");
  const hasBadKey = details.some((detail) => textIn(detail, "reason") === "API_KEY_INVALID");
  const message = textIn(error, "message");
  // `code` is the status as a number, which is no code of ours.
  const read = refusalOf(
    hasBadKey ? 401 : said,
    JSON.stringify({ error: { message } }),
    retryAfter ?? delayIn(details),
  );
  if (read.code !== "invalid_request" || !tooLong.test(message)) return read;
  return new EngineError({
    status: read.status,
    code: "context_length_exceeded",
    message: read.message,
    hint: "Shorten the conversation, or ask a model with a longer context.",
    retryable: false,
  });
}

function errorIn(text: string): Json | undefined {
  try {
    const read: unknown = JSON.parse(text);
    return object(object(Array.isArray(read) ? read[0] : read)?.["error"]);
  } catch {
    return undefined;
  }
}

/** Seconds of a RetryInfo, which writes them like `34.074s`. */
function delayIn(details: readonly Json[]): number | undefined {
  const delay = details.map((detail) => textIn(detail, "retryDelay")).find((one) => one !== "") ?? "";
  const seconds = /^(\d{1,6}(?:\.\d{1,9})?)s$/.exec(delay)?.[1];
  return seconds === undefined ? undefined : Number(seconds);
}
