// Lines of a batch's output and of its error file, as they are written (developers.openai.com/api/docs/guides/batch) and as they are read
// again for the clients of Anthropic's API, who have one file of results with shapes of its own.
import { limits } from "../limits.ts";
import type { ClaimedLine } from "./lineStore.ts";

/** A line of the output or the error file. Line feeds can stand between the values of a body only, where a space says the same. */
export const outputLine = (
  { project: _project, number, batch, customId }: ClaimedLine,
  { status, requestId, body }: { status: number; requestId: string; body: string },
): string =>
  `{"id":${JSON.stringify(lineId(batch, number))},"custom_id":${JSON.stringify(customId)},"response":{"status_code":${status},"request_id":"${requestId}","body":${body.replaceAll(/[\r\n]+/g, " ")}},"error":null}`;

/** A line of the error file for a request that was not served. */
export const unservedLine = (
  { batch, number, customId }: Pick<ClaimedLine, "batch" | "number" | "customId">,
  code: string,
): string =>
  JSON.stringify({
    id: lineId(batch, number),
    custom_id: customId,
    response: null,
    error: { code, message: whyUnserved[code] ?? "This request was not served." },
  });

const whyUnserved: Readonly<Record<string, string>> = {
  batch_expired: "This request could not be served before the completion window was over.",
  batch_cancelled: "The batch was cancelled before this request was served.",
  key_revoked: "The key that made the batch was revoked before this request was served.",
  process_ended: `The process that served this request ended, ${limits.lineTriesMost} times.`,
};

const lineId = (batch: string, number: number): string => `batch_req_${batch.slice(batch.indexOf("_") + 1)}_${number}`;

/** Where the body of an answer begins in its line: no text within a line has these characters, because its quotes are escaped. */
const beforeBody = '"body":';
const afterBody = '},"error":null}';

/** What a line of the output or of the error file says. */
interface OutputRead {
  customId: string;
  /** JSON text of the answer, or of its error; absent for a request that was not served. */
  answer?: { status: number; body: string };
  /** Why it was not served. */
  error?: { code: string; message: string };
}

/** Reads a line that was written here. The body stays the text that it is. */
export function readOutputLine(text: string): OutputRead {
  const {
    custom_id: customId,
    response,
    error,
  } = JSON.parse(text) as {
    custom_id: string;
    response: { status_code: number } | null;
    error: OutputRead["error"] | null;
  };
  if (error) return { customId, error };
  const body = text.slice(text.indexOf(beforeBody) + beforeBody.length, text.length - afterBody.length);
  return { customId, answer: { status: response!.status_code, body } };
}
