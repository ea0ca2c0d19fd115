// A scripted engine: an OpenAI-shaped HTTP server that does what a test or a bench tells it, and remembers what it was sent.
// It is no model; it stands where determinism is the point.
import { createServer } from "node:http";
import type { IncomingHttpHeaders, Server, ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import type { Shape } from "./asked.ts";
import { scriptedGemini } from "./testing/gemini.ts";
import { scriptedMessages } from "./testing/messages.ts";
import { scriptedResponses } from "./testing/responses.ts";
import type { ScriptedWire } from "./testing/wire.ts";

export interface Script {
  /** Text of the answer; each element is a chunk of a stream. */
  chunks?: string[];
  /** What the model thinks before it answers; each element is a chunk of a stream. Chat only. */
  reasoning?: string[];
  /** Chat's name of it: servers of open models have both. */
  reasoningField?: "reasoning" | "reasoning_content";
  /** What proves or continues the thought, in APIs that have such a thing. */
  proof?: string;
  /** `id`: `call_` and its place in the answer when absent. */
  toolCalls?: { id?: string; name: string; arguments: string }[];
  finishReason?: string;
  /** Usage to report; null reports none. */
  usage?: {
    prompt: number;
    cached?: number | null;
    /** Written to the cache, for its usual lifetime and for the longer one. Messages only. */
    written?: number;
    writtenLong?: number;
    output: number;
    reasoning?: number;
  } | null;
  /**
   * Tokens of each chunk, where the request asks for a count while the answer streams; one for four characters by default, and never more
   * than the usage that is reported.
   */
  chunkTokens?: number;
  /** Answers with this error instead. */
  fail?: { status: number; body?: unknown; headers?: Record<string, string> };
  /** Closes the connection: before any answer, or after so many chunks. */
  cut?: "before" | number;
  /** Waits for this before answering, or, with `waitAfter`, after so many chunks. */
  wait?: Promise<void>;
  waitAfter?: number;
  /** Sends this instead of an answer. */
  raw?: { contentType?: string; body: string };
}

export interface SeenRequest {
  path: string;
  headers: IncomingHttpHeaders;
  body: Record<string, unknown>;
  /** The body as it came. */
  text: string;
  /** Resolves when the connection was closed before the answer had ended. */
  gone: Promise<void>;
}

export interface ScriptedEngine extends AsyncDisposable {
  url: string;
  seen: SeenRequest[];
  /** The next calls are answered by these, in order; then by `usual` again. */
  next(...scripts: Script[]): void;
  usual: Script;
  /** Decides what answers a call that no `next` is left for; without it, `usual` does. */
  decide?: (request: SeenRequest) => Script;
  /** Names that /models lists. */
  models: string[];
}

/** A route beside OpenAI's own. Undefined as an answer: 404. A function writes the response itself. */
type ScriptedRoute = (
  body: unknown,
  path: string,
) => object | string | undefined | ((response: ServerResponse) => void);

export interface ScriptedRoutes {
  /** By method and path without a query, such as `GET /version`; a path that ends with `*` stands for all that begin so. */
  routes: Record<string, ScriptedRoute>;
  /** What the entries of /models say beside their id. */
  card?: object;
  /** The API that it speaks; OpenAI's completions where absent. */
  shape?: Shape;
}

/** APIs beside OpenAI's completions. */
const wires: Partial<Record<Shape, ScriptedWire>> = {
  responses: scriptedResponses,
  gemini: scriptedGemini,
  messages: scriptedMessages,
};

/** `port`: 0 is any free one. `own`: what makes the server a particular engine. */
export async function scriptedEngine(
  usual: Script = {},
  models = ["scripted"],
  port = 0,
  own: ScriptedRoutes = { routes: {} },
): Promise<ScriptedEngine> {
  const scripts: Script[] = [];
  const seen: SeenRequest[] = [];
  const engine: Pick<ScriptedEngine, "usual" | "models" | "decide"> = { usual, models };
  const wire = own.shape && wires[own.shape];
  const server: Server = createServer((request, response) => {
    const pieces: Buffer[] = [];
    request.on("data", (piece: Buffer) => pieces.push(piece));
    request.on("end", () => {
      const path = request.url!;
      const route = routeOf(own.routes, `${request.method} ${path.split("?")[0]}`);
      if (route) return void sendRoute(response, route, Buffer.concat(pieces).toString("utf8"), path);
      if (path.split("?")[0]!.endsWith("/models")) return void sendModels(response, engine.models, own.card, wire);
      const isCall = wire ? wire.isCall(path) : path.endsWith("/completions");
      if (!isCall) return void response.writeHead(404).end("{}");
      const text = Buffer.concat(pieces).toString("utf8");
      const body = JSON.parse(text) as Record<string, unknown>;
      const gone = new Promise<void>((resolve) =>
        response.once("close", () => {
          if (!response.writableFinished) resolve();
        }),
      );
      const asked: SeenRequest = { path, headers: request.headers, body, text, gone };
      seen.push(asked);
      const script = scripts.shift() ?? engine.decide?.(asked) ?? engine.usual;
      void answer(response, asked, script, wire).catch(() => response.destroy());
    });
  });
  await new Promise<void>((resolve) => server.listen(port, "127.0.0.1", resolve));
  const { port: listening } = server.address() as AddressInfo;
  return Object.assign(engine, {
    url: `http://127.0.0.1:${listening}/v1`,
    seen,
    next: (...more: Script[]) => void scripts.push(...more),
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  });
}

function routeOf(routes: ScriptedRoutes["routes"], asked: string): ScriptedRoute | undefined {
  if (routes[asked]) return routes[asked];
  const prefix = Object.keys(routes).find((path) => path.endsWith("*") && asked.startsWith(path.slice(0, -1)));
  return prefix === undefined ? undefined : routes[prefix];
}

function sendRoute(response: ServerResponse, route: ScriptedRoute, text: string, path: string): void {
  const answer = route(text === "" ? undefined : (JSON.parse(text) as unknown), path);
  if (typeof answer === "function") return answer(response);
  response.writeHead(answer === undefined ? 404 : 200, { "content-type": "application/json" });
  response.end(typeof answer === "string" ? answer : JSON.stringify(answer ?? {}));
}

function sendModels(
  response: ServerResponse,
  models: string[],
  card: object = {},
  wire: ScriptedWire | undefined = undefined,
): void {
  response.writeHead(200, { "content-type": "application/json" });
  const list = wire?.models?.(models) ?? {
    object: "list",
    data: models.map((id) => ({ id, object: "model", ...card })),
  };
  response.end(JSON.stringify(list));
}

async function answer(
  response: ServerResponse,
  { path, body }: SeenRequest,
  script: Script,
  wire: ScriptedWire | undefined,
): Promise<void> {
  if (script.cut === "before") return void response.destroy();
  if (script.wait && script.waitAfter === undefined) await script.wait;
  if (script.fail) {
    const { status, headers = {} } = script.fail;
    const error = script.fail.body ??
      wire?.refusal?.(status) ?? { error: { message: `scripted ${status}`, code: null } };
    response.writeHead(status, { "content-type": "application/json", ...headers });
    return void response.end(JSON.stringify(error));
  }
  if (script.raw) {
    response.writeHead(200, { "content-type": script.raw.contentType ?? "application/json" });
    return void response.end(script.raw.body);
  }
  if (wire?.streams(path, body)) return wire.stream(response, script);
  if (wire) {
    response.writeHead(200, { "content-type": "application/json" });
    return void response.end(JSON.stringify(wire.whole(script)));
  }
  const chat = path.endsWith("/chat/completions");
  await (body["stream"] === true ? stream(response, chat, body, script) : whole(response, chat, script));
}

const defaultChunks = ["Hello", ", ", "world", "."];
const reasoningFieldOf = ({ reasoningField = "reasoning_content" }: Script): string => reasoningField;
const finishOf = (script: Script) => script.finishReason ?? (script.toolCalls ? "tool_calls" : "stop");

function usageOf(script: Script): Record<string, unknown> | undefined {
  if (script.usage === null) return undefined;
  const { prompt, cached = 0, output, reasoning } = script.usage ?? { prompt: 10, output: 4 };
  return {
    prompt_tokens: prompt,
    completion_tokens: output,
    total_tokens: prompt + output,
    ...(cached !== null && { prompt_tokens_details: { cached_tokens: cached } }),
    ...(reasoning !== undefined && { completion_tokens_details: { reasoning_tokens: reasoning } }),
  };
}

async function whole(response: ServerResponse, chat: boolean, script: Script): Promise<void> {
  const text = (script.chunks ?? (script.toolCalls ? [] : defaultChunks)).join("");
  const tools = script.toolCalls?.map(({ id, ...call }, index) => ({
    id: id ?? `call_${index}`,
    type: "function",
    function: call,
  }));
  const reasoning = script.reasoning && { [reasoningFieldOf(script)]: script.reasoning.join("") };
  const message = {
    role: "assistant",
    ...reasoning,
    content: tools ? null : text,
    ...(tools && { tool_calls: tools }),
  };
  const choice = chat ? { message } : { text };
  response.writeHead(200, { "content-type": "application/json" });
  response.end(
    JSON.stringify({
      id: "scripted-1",
      object: chat ? "chat.completion" : "text_completion",
      created: 1,
      model: "scripted",
      choices: [{ index: 0, ...choice, finish_reason: finishOf(script) }],
      usage: usageOf(script),
    }),
  );
}

async function stream(
  response: ServerResponse,
  chat: boolean,
  body: Record<string, unknown>,
  script: Script,
): Promise<void> {
  const chunk = (choices: unknown[], more: Record<string, unknown> = {}) =>
    `data: ${JSON.stringify({ id: "scripted-1", object: chat ? "chat.completion.chunk" : "text_completion", created: 1, model: "scripted", choices, ...more })}\n\n`;
  const part = (text: string, tokens: number) =>
    chunk(
      [chat ? { index: 0, delta: { content: text }, finish_reason: null } : { index: 0, text, finish_reason: null }],
      countOf(body, script, tokens),
    );
  response.writeHead(200, { "content-type": "text/event-stream" });
  for (const thought of script.reasoning ?? [])
    response.write(chunk([{ index: 0, delta: { [reasoningFieldOf(script)]: thought }, finish_reason: null }]));
  const texts = script.chunks ?? (script.toolCalls ? [] : defaultChunks);
  let tokens = 0;
  for (const [place, text] of texts.entries()) {
    if (script.waitAfter === place) await script.wait;
    if (script.cut === place) return void response.destroy();
    tokens += script.chunkTokens ?? Math.max(1, Math.ceil(text.length / 4));
    response.write(part(text, tokens));
    // Chunks arrive one by one, as from an engine, and not in one packet.
    if (script.wait || script.cut !== undefined) await new Promise((resolve) => setImmediate(resolve));
  }
  if (script.cut === texts.length) return void response.destroy();
  for (const [index, call] of (script.toolCalls ?? []).entries()) {
    const begin = {
      index,
      id: call.id ?? `call_${index}`,
      type: "function",
      function: { name: call.name, arguments: "" },
    };
    response.write(chunk([{ index: 0, delta: { tool_calls: [begin] }, finish_reason: null }]));
    for (const piece of [call.arguments.slice(0, 3), call.arguments.slice(3)])
      response.write(
        chunk([{ index: 0, delta: { tool_calls: [{ index, function: { arguments: piece } }] }, finish_reason: null }]),
      );
  }
  response.write(
    chunk([
      chat
        ? { index: 0, delta: {}, finish_reason: finishOf(script) }
        : { index: 0, text: "", finish_reason: finishOf(script) },
    ]),
  );
  const usage = usageOf(script);
  const asked = (body["stream_options"] as { include_usage?: boolean } | undefined)?.include_usage === true;
  if (usage && asked) response.write(chunk([], { usage }));
  response.end("data: [DONE]\n\n");
}

/** Tokens so far, as vLLM and SGLang say them in every chunk, and llama.cpp in its timings. */
function countOf(body: Record<string, unknown>, script: Script, came: number): Record<string, unknown> {
  if (script.usage === null) return {};
  const { prompt, output } = script.usage ?? { prompt: 10, output: 4 };
  const tokens = Math.min(came, output);
  const options = body["stream_options"] as { continuous_usage_stats?: boolean } | undefined;
  return {
    ...(options?.continuous_usage_stats === true && {
      usage: { prompt_tokens: prompt, completion_tokens: tokens, total_tokens: prompt + tokens },
    }),
    ...(body["timings_per_token"] === true && { timings: { prompt_n: prompt, predicted_n: tokens } }),
  };
}
