// Answers on node:http: JSON, and errors in the shape that the path's clients know.
import type { ServerResponse } from "node:http";
import type { GatewayError } from "../errors.ts";
import { openAiErrorBody } from "../errors.ts";

export function sendJson(response: ServerResponse, status: number, json: string): void {
  response.writeHead(status, {
    "content-type": "application/json; charset=utf-8",
    "content-length": Buffer.byteLength(json),
  });
  response.end(json);
}

/** Headers that tell a client when, and whether, to try again. */
export function retryHeaders(error: GatewayError): Record<string, string> {
  return {
    ...(error.retryAfterSeconds !== undefined && { "retry-after": String(Math.ceil(error.retryAfterSeconds)) }),
    // OpenAI's clients try again on 429 and 5xx by themselves. Where that cannot help they are told so.
    ...(neverBetter.has(error.code) && { "x-should-retry": "false" }),
  };
}

const neverBetter = new Set(["budget_exceeded", "output_invalid", "engine_auth_failed", "engine_model_missing"]);

/** An error on /v1, in OpenAI's shape. */
export function sendOpenAiError(response: ServerResponse, error: GatewayError): void {
  if (response.headersSent || response.destroyed) {
    response.destroy();
    return;
  }
  for (const [name, value] of Object.entries(retryHeaders(error))) response.setHeader(name, value);
  // A body that was not read to its end cannot be followed by another request.
  if (error.status === 413) response.setHeader("connection", "close");
  sendJson(response, error.status, JSON.stringify(openAiErrorBody(error)));
}

export function apiErrorBody(error: GatewayError, requestId: string): { error: Record<string, string> } {
  return {
    error: {
      code: error.code,
      message: error.message,
      ...(error.hint !== undefined && { hint: error.hint }),
      docs: "/api/docs#errors",
      request_id: requestId,
    },
  };
}
