// All requests of the console to the API pass here. The key is added, JSON is read, and every failure becomes an `ApiFailure` with a
// sentence and a next step, whether the server refused, a proxy answered in its place, or there was no answer.
import { currentKey } from "./session.ts";

export class ApiFailure extends Error {
  readonly status: number;
  readonly code: string;
  readonly hint: string | undefined;
  readonly requestId: string | undefined;

  constructor(detail: { status: number; code: string; message: string; hint?: string; requestId?: string }) {
    super(detail.message);
    this.name = "ApiFailure";
    this.status = detail.status;
    this.code = detail.code;
    this.hint = detail.hint;
    this.requestId = detail.requestId;
  }
}

interface Options {
  method?: "GET" | "POST" | "PUT" | "DELETE";
  body?: unknown;
  key?: string;
  signal?: AbortSignal;
  /** A creation that is repeated with the same key answers the result of the first one. */
  idempotencyKey?: string;
  headers?: Record<string, string>;
}

/** Place of the newest record that this page's calls have made: reads after it include it, whichever process answers. */
let after: string | undefined;

/** Notes the place that an answer named, in its headers or at the end of its stream. */
export function noteAfter(place: string | null): void {
  after = place ?? after;
}

/** Sends a request and returns its response when the status is 2xx. Throws ApiFailure otherwise. */
export async function send(path: string, options: Options = {}): Promise<Response> {
  const headers: Record<string, string> = { accept: "application/json", ...options.headers };
  const key = options.key ?? currentKey();
  if (key !== null) headers["authorization"] = `Bearer ${key}`;
  if (after !== undefined) headers["x-lineshaft-after"] = after;
  if (options.body !== undefined) headers["content-type"] = "application/json";
  if (options.idempotencyKey !== undefined) headers["idempotency-key"] = options.idempotencyKey;
  let response: Response;
  try {
    response = await fetch(path, {
      method: options.method ?? "GET",
      headers,
      ...(options.body === undefined ? {} : { body: JSON.stringify(options.body) }),
      ...(options.signal === undefined ? {} : { signal: options.signal }),
      cache: "no-store",
    });
  } catch (error) {
    if (options.signal?.aborted) throw error;
    throw new ApiFailure({
      status: 0,
      code: "unreachable",
      message: "Lineshaft does not answer.",
      hint: "Look whether it runs with `npx lineshaft status`, or start it with `npm start`.",
    });
  }
  if (!response.ok) throw await failureOf(response);
  noteAfter(response.headers.get("x-lineshaft-after"));
  return response;
}

export async function getJson<T>(path: string, options: Options = {}): Promise<T> {
  const response = await send(path, options);
  return (response.status === 204 ? undefined : await response.json()) as T;
}

/** `/api/calls` + `{status: "failed", run: undefined}` -> `/api/calls?status=failed` */
export function withQuery(path: string, query: Record<string, string | number | undefined | null>): string {
  const search = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) {
    if (value !== undefined && value !== null && value !== "") search.set(name, String(value));
  }
  const text = search.toString();
  return text === "" ? path : `${path}?${text}`;
}

async function failureOf(response: Response): Promise<ApiFailure> {
  const requestId = response.headers.get("x-request-id") ?? undefined;
  const parsed: unknown = await response.json().catch(() => undefined);
  const error = (parsed as { error?: Record<string, unknown> } | undefined)?.error;
  const text = (value: unknown) => (typeof value === "string" && value !== "" ? value : undefined);
  const hint = text(error?.["hint"]);
  const id = text(error?.["request_id"]) ?? requestId;
  return new ApiFailure({
    status: response.status,
    code: text(error?.["code"]) ?? `http_${response.status}`,
    message:
      text(error?.["message"]) ?? `The server answered ${response.status} ${response.statusText}.`.replace(" .", "."),
    ...(hint === undefined ? {} : { hint }),
    ...(id === undefined ? {} : { requestId: id }),
  });
}
