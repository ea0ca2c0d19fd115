// A scripted engine with the routes that only one open software has, for tests. Its answers come from a file of exchanges that were recorded
// from a real server.
import { readFileSync } from "node:fs";
import { onTestFinished } from "vitest";
import type { Engine } from "./engine.ts";
import { createOpenAiEngine } from "./openai/adapter.ts";
import { scriptedEngine, type Script, type ScriptedEngine, type ScriptedRoutes } from "./testing.ts";
import type { EngineAnswer, EngineRequest } from "./types.ts";

type Json = Record<string, unknown>;

interface Exchanges {
  made: "recorded";
  answers: Record<string, Json>;
  refusals?: Record<string, Json>;
  /** Calls and their answers, by names. */
  calls?: Record<string, RecordedCall>;
}

interface RecordedCall {
  request: { path: string; body: Json };
  response: { status: number; type: string; body: string };
}

/** Answers that an open server's tests begin with. */
const exchangesOf = (file: URL): Exchanges => JSON.parse(readFileSync(file, "utf8")) as Exchanges;

/** A recorded call: the request that was sent, and the answer that came. */
export function recordedCall(file: URL, name: string): { request: EngineRequest; script: Script } {
  const { request, response } = exchangesOf(file).calls![name]!;
  const { status, type, body } = response;
  const shape = request.path.includes("/chat/") ? "chat" : request.path.split("/").at(-1)!;
  return {
    request: {
      shape: shape as EngineRequest["shape"],
      body: request.body as EngineRequest["body"],
      hints: { attempt: "att_1", cacheSalt: "prj_1", project: "prj_1" },
    },
    script:
      status === 200 ? { raw: { contentType: type, body } } : { fail: { status, body: JSON.parse(body) as Json } },
  };
}

/** The adapter at a server that answers as a file says, until the test ends; `more` adds routes that compute their answers. */
export async function scriptedRun(
  file: URL,
  more: ScriptedRoutes["routes"] = {},
  model = "scripted",
): Promise<{ server: ScriptedServer; engine: Engine }> {
  const server = await scriptedServer(file, more);
  onTestFinished(() => server[Symbol.asyncDispose]());
  return { server, engine: createOpenAiEngine({ url: server.url, model }) };
}

/** Opens a recorded call at a server that answers as was recorded. */
export async function replayed(file: URL, name: string, more?: ScriptedRoutes["routes"]): Promise<EngineAnswer> {
  const { server, engine } = await scriptedRun(file, more);
  const { request, script } = recordedCall(file, name);
  await engine.probe();
  server.next(script);
  return engine.open(request);
}

/** What a recorded call is read as, and what is counted of it. */
export async function replayedWhole(file: URL, name: string, more?: ScriptedRoutes["routes"]) {
  const answer = await replayed(file, name, more);
  const content = await contentOf(answer, recordedCall(file, name).request.body.stream === true);
  return { content, usage: answer.usage(), soFar: answer.outputSoFar() };
}

/** A route that answers as a script says. */
export const answeredBy = ({ fail, raw }: Script): ScriptedRoutes["routes"][string] => {
  if (raw) return () => raw.body;
  return () => (response) => {
    response.writeHead(fail!.status, { "content-type": "application/json" });
    response.end(JSON.stringify(fail!.body));
  };
};

/** Text, tool call and finish of an answer, read to its end. */
export async function contentOf(answer: EngineAnswer, streams: boolean) {
  const content = { text: "", tool: "", arguments: "", finish: "" };
  for await (const { deltas } of streams ? answer.chunks : [await answer.whole()])
    for (const { text = "", toolCalls = [], finish } of deltas) {
      content.text += text;
      for (const call of toolCalls) {
        content.tool += call.name ?? "";
        content.arguments += call.arguments ?? "";
      }
      content.finish = finish ?? content.finish;
    }
  return content;
}

interface ScriptedServer extends ScriptedEngine {
  /** By method and path; changed by tests. Undefined: 404. */
  answers: Record<string, unknown>;
  /** Paths that were asked beside calls, in order, with their bodies. */
  asked: [route: string, body: unknown][];
  /** From now on /models does not answer. */
  silence(): void;
}

/** Serves the answers of a file; `more` adds routes that compute theirs. */
export async function scriptedServer(file: URL, more: ScriptedRoutes["routes"] = {}): Promise<ScriptedServer> {
  const { answers, refusals = {} } = structuredClone(exchangesOf(file));
  const all: Record<string, unknown> = { ...answers };
  const asked: ScriptedServer["asked"] = [];
  let silent = false;
  const routes: ScriptedRoutes["routes"] = {};
  for (const route of new Set([...Object.keys(answers), ...Object.keys(refusals), ...Object.keys(more)]))
    routes[route] = (body, path) => {
      asked.push([route, body]);
      if (silent && route === "GET /v1/models") return () => {};
      const computed = more[route];
      if (computed) return computed(body, path);
      const refusal = refusals[route];
      if (refusal && all[route] === undefined)
        return (response) => {
          response.writeHead(501, { "content-type": "application/json" });
          response.end(JSON.stringify(refusal));
        };
      return all[route] as object | string | undefined;
    };
  const engine = await scriptedEngine({}, ["scripted"], 0, { routes });
  return Object.assign(engine, { answers: all, asked, silence: () => void (silent = true) });
}
