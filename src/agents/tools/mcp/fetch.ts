// A fetch over the egress, the only door to the network, for libraries that speak HTTP by fetch (the MCP client). Redirects are
// not followed, and addresses are judged by the egress when they are resolved.
import { processMemory } from "../../../bounded/index.ts";
import { LineshaftError } from "../../../errors/index.ts";
import { EgressError, reasonOf, send, type ByteStream } from "../../../egress/index.ts";
import { limits } from "../../limits.ts";
import { allowanceNow } from "./allowance.ts";

/** Headers that the connection sets itself. */
const connectionHeaders = new Set(["host", "content-length", "connection", "transfer-encoding"]);

/** The bearer token for one request to this address. Throws when it may not be sent there. */
type Authorize = (url: string) => Promise<string>;

/** `firstByteMs` is the time for an answer's headers; a stream may be silent for as long. */
export function egressFetch(
  firstByteMs: number,
  authorize?: Authorize,
): (url: string | URL, init?: RequestInit) => Promise<Response> {
  return async (url, init = {}) => {
    const headers: string[] = [];
    new Headers(init.headers).forEach((value, name) => {
      if (!connectionHeaders.has(name)) headers.push(name, value);
    });
    // Asked for at every request: a secret that was removed, or is for other hosts now, is not sent once more.
    if (authorize) headers.push("authorization", `Bearer ${await authorize(String(url))}`);
    const method = (init.method ?? "GET").toUpperCase();
    if (method !== "GET" && method !== "POST" && method !== "DELETE")
      throw new TypeError(`${method} is not used with tools.`);
    const body = init.body;
    if (body !== undefined && body !== null && typeof body !== "string")
      throw new TypeError("Only text is sent to tools.");
    const answer = await send({
      method,
      url: String(url),
      headers,
      body: body ?? undefined,
      signal: init.signal ?? undefined,
      firstByteMs,
      silenceMs: firstByteMs,
      translate: asConnectionError,
    });
    const responseHeaders = new Headers();
    for (const [name, value] of Object.entries(answer.headers))
      for (const one of Array.isArray(value) ? value : value === undefined ? [] : [value])
        responseHeaders.append(name, one);
    const bodiless = answer.status === 204 || answer.status === 205 || answer.status === 304;
    if (bodiless) answer.body.abort();
    return new Response(bodiless ? null : streamOf(answer.body), {
      status: answer.status,
      headers: responseHeaders,
    });
  };
}

function streamOf(bytes: ByteStream): ReadableStream<Uint8Array<ArrayBuffer>> {
  const iterator = bytes[Symbol.asyncIterator]();
  const allowance = allowanceNow(limits.toolAnswerBytes);
  // Bytes and text, until the answer is whole or was given up.
  const held = processMemory.open();
  return new ReadableStream({
    async pull(controller) {
      const { done, value } = await iterator.next().catch((error: unknown) => {
        held.release();
        allowance.broke(error);
        throw error;
      });
      if (done) {
        held.release();
        return controller.close();
      }
      try {
        allowance.take(value.length);
        held.add("tools", 2 * value.length, false);
      } catch (error) {
        held.release();
        bytes.abort();
        throw error;
      }
      controller.enqueue(value as Uint8Array<ArrayBuffer>);
    },
    cancel: () => {
      held.release();
      bytes.abort();
    },
  });
}

/** Why a tool server could not be reached, as the end of a sentence that names it. */
export class ToolConnectionError extends LineshaftError {
  constructor(message: string, options: ErrorOptions) {
    super({ code: "tool_connection", message, cause: options.cause });
  }
}

/** A failure of the connection, as the end of a sentence that names the tool server. */
function asConnectionError(error: EgressError): Error {
  const { cause, code } = error;
  if (code === "endpoint_unreachable" && cause instanceof Error)
    return new ToolConnectionError(reasonOf(cause), { cause });
  if (code === "endpoint_timeout") return new ToolConnectionError("it was silent for too long", { cause });
  return error;
}
