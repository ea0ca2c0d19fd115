// Answers on node:http: JSON, and errors in the shape that the path's clients know.
import type { ServerResponse } from "node:http";
import { processMemory } from "../../bounded/index.ts";
import type { LineshaftError } from "../../errors/index.ts";
import { saidIn, spoken, storageFull } from "../../gateway/errors.ts";
import type { Protocol } from "../../gateway/protocols/types.ts";
import type { Storage } from "../../gateway/types.ts";

/** `headers` is a flat list, name and value in turn: Node writes one out as it is, where each `setHeader` is checked and kept. */
export function sendJson(response: ServerResponse, status: number, json: string, headers: string[]): void {
  headers.push("content-type", "application/json; charset=utf-8", "content-length", String(Buffer.byteLength(json)));
  response.writeHead(status, headers);
  response.end(json);
  keptUntilRead(response);
}

/** Counts what of an answer its client has not read yet, until it has or has gone. */
function keptUntilRead(response: ServerResponse): void {
  const { writableLength } = response;
  if (writableLength === 0 || response.destroyed) return;
  processMemory.count("answers", writableLength);
  response.once("close", () => processMemory.release("answers", writableLength));
}

/** Headers that tell a client when, and whether, to try again. */
export function retryHeaders(error: LineshaftError): Record<string, string> {
  return {
    ...error.headers,
    ...(error.retryAfterSeconds !== undefined && { "retry-after": String(Math.ceil(error.retryAfterSeconds)) }),
    // OpenAI's clients try 429 and 5xx again by themselves. The header says so where another try cannot help, and where it will.
    ...(neverBetter.has(error.code) && { "x-should-retry": "false" }),
    ...(soonBetter.has(error.code) && { "x-should-retry": "true" }),
  };
}

const neverBetter = new Set([
  "budget_exceeded",
  "call_over_limit",
  "output_invalid",
  "engine_auth_failed",
  "engine_model_missing",
]);
const soonBetter = new Set([
  "shutting_down",
  "budget_held",
  "budget_leased",
  "not_yet_posted",
  "rate_limit_exceeded",
  "memory_full",
]);

/** An error in the shape of its request's protocol, or in the words of the provider that refused it (`saidIn`). Where an answer has begun already, its connection is closed. */
export function sendError(
  response: ServerResponse,
  protocol: Protocol,
  error: LineshaftError,
  requestId: string,
): void {
  if (response.headersSent || response.destroyed) {
    response.destroy();
    return;
  }
  const headers = [protocol.requestIdHeader, requestId, ...Object.entries(retryHeaders(error)).flat()];
  // A body that was not read to its end cannot be followed by another request.
  if (error.status === 413) headers.push("connection", "close");
  const said = saidIn(error, protocol.shape);
  if (said) return sendJson(response, said.status, said.text, headers);
  sendJson(response, protocol.statusOf?.(error) ?? error.status, protocol.error(error, "body", { requestId }), headers);
}

export function apiErrorBody(error: LineshaftError, requestId: string): { error: Record<string, string> } {
  return {
    error: {
      code: error.code,
      message: spoken(error),
      ...(error.hint !== undefined && { hint: error.hint }),
      docs: "/api/docs#errors",
      request_id: requestId,
    },
  };
}

/** The failure as clients are told it: `storage_full` where the database does not answer because its disk is full. */
export function explained(failure: LineshaftError, storage: Storage | undefined): LineshaftError {
  return storage?.full && failure.code === "store_unavailable" ? storageFull(failure.cause) : failure;
}
