// Small questions to an engine, apart from calls: which models it serves, how many tokens a prompt has, its status.
import { readText } from "./read.ts";
import { credentialIn, withoutCredential } from "../../egress/index.ts";
import { limits } from "../limits.ts";
import { send } from "../send.ts";
import { EngineError } from "../types.ts";
import { refusalOf, retryAfterSeconds } from "./chat/usage.ts";

/** Fixed headers of every request to an endpoint; `keyHeader` carries the key where it is not a bearer token. */
export function requestHeaders(key: string | undefined, keyHeader?: string): string[] {
  return [
    "content-type",
    "application/json",
    "accept",
    "application/json, text/event-stream",
    "user-agent",
    "lineshaft",
    ...credentialHeader(key, keyHeader),
  ];
}

function credentialHeader(key: string | undefined, keyHeader: string | undefined): string[] {
  if (key === undefined) return [];
  return keyHeader === undefined ? ["authorization", `Bearer ${key}`] : [keyHeader, key];
}

/** A small question with a JSON answer. Throws EngineError when it is not answered 200 within the time. */
export function ask(
  method: "GET" | "POST" | "DELETE",
  url: string,
  headers: string[],
  body?: string | Uint8Array | Uint8Array[],
  signal?: AbortSignal,
  mostMs: number = limits.questionMs,
  connectMs?: number,
): Promise<Record<string, unknown>> {
  return put({ method, url, headers, body, signal, mostMs, connectMs }, (text) => {
    const answer: unknown = text === "" ? {} : JSON.parse(text);
    if (answer === null || typeof answer !== "object") throw new SyntaxError("not an object");
    return answer as Record<string, unknown>;
  });
}

/** A small question with an answer in plain text. Throws EngineError when it is not answered 200 within the time. */
export function askText(url: string, headers: string[], signal?: AbortSignal): Promise<string> {
  return put({ method: "GET", url, headers, signal, mostMs: limits.questionMs }, (text) => text);
}

interface Question {
  method: "GET" | "POST" | "DELETE";
  url: string;
  headers: string[];
  body?: string | Uint8Array | Uint8Array[] | undefined;
  signal?: AbortSignal | undefined;
  mostMs: number;
  connectMs?: number | undefined;
}

async function put<Answer>(question: Question, read: (text: string) => Answer): Promise<Answer> {
  const { url, signal, mostMs } = question;
  const timeout = AbortSignal.timeout(mostMs);
  try {
    const response = await send({
      ...question,
      signal: signal ? AbortSignal.any([signal, timeout]) : timeout,
      firstByteMs: mostMs,
    });
    const text = await readText(response, limits.answerBytes);
    if (response.status !== 200) {
      const shown = withoutCredential(text, credentialIn(question.headers));
      throw refusalOf(response.status, shown, retryAfterSeconds(response.headers["retry-after"]));
    }
    return read(text);
  } catch (error) {
    if (error instanceof EngineError && !(error.code === "aborted" && timeout.aborted)) throw error;
    const silent = timeout.aborted;
    throw new EngineError({
      status: 502,
      code: silent ? "engine_timeout" : "engine_invalid_answer",
      message: silent ? `${url} did not answer within ${mostMs} ms.` : `${url} did not answer in JSON.`,
      hint: "Check that the address belongs to an OpenAI-compatible endpoint, up to and with its /v1.",
      cause: error,
    });
  }
}
