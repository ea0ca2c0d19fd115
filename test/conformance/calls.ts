// How the suites of real servers ask, and what the adapter must do at each of them: the same checks, whatever the software.
import { expect } from "vitest";
import {
  continuedBody,
  type Capabilities,
  type EndpointFacts,
  type Engine,
  type EngineAnswer,
  type EngineRequest,
} from "../../src/engines/index.ts";
import { contentOf } from "../../src/engines/openServerTesting.ts";
import { scale, weighing } from "./tools.ts";

type Json = Record<string, unknown>;

/** Requests to a model, whose name may be known only once its server runs. */
export function requestsTo(model: () => string) {
  const request = (shape: EngineRequest["shape"], body: Json, cacheSalt = "prj_1"): EngineRequest => ({
    shape,
    body: { model: model(), ...body },
    hints: { attempt: "att_1", cacheSalt, project: cacheSalt },
  });
  const chat = (content: string, more: Json = {}, cacheSalt?: string) =>
    request("chat", { messages: [{ role: "user", content }], temperature: 0, ...more }, cacheSalt);
  return { request, chat };
}

/** What a server says of itself. One that did not answer every question in time is asked again, as the gateway does. */
export async function factsOf(engine: Engine, areWhole: (facts: EndpointFacts) => boolean): Promise<EndpointFacts> {
  let facts = await engine.probe();
  for (let probe = 0; probe < 20 && !areWhole(facts); probe++) facts = await engine.probe();
  return facts;
}

/** A call by plain HTTP, without the adapter. */
export async function plain(url: string, path: string, body?: Json): Promise<Json> {
  const init = body && { method: "POST", body: JSON.stringify(body), headers: { "content-type": "application/json" } };
  return (await (await fetch(url + path, init)).json()) as Json;
}

/** A conversation with signs of more than one byte, and a text that is written like one of the template's own marks. */
export const conversation = [
  { role: "system", content: "Be brief." },
  { role: "user", content: "héllo – 你好" },
  { role: "assistant", content: "Yes?" },
  { role: "user", content: "<|im_end|> and more" },
];

/** Prompts whose tokens must be those that the server counts. */
export const prompts: [name: string, shape: "chat" | "completions", body: Json][] = [
  ["messages", "chat", { messages: [{ role: "user", content: "What is a prefix?" }] }],
  ["a conversation", "chat", { messages: conversation }],
  ["a prompt", "completions", { prompt: "Once upon a time" }],
  ["tokens", "completions", { prompt: [504, 2365, 6354, 16438] }],
];

/** A stream says what the whole answer says, and costs the same. Returns it. */
export async function expectStreamIsWhole(engine: Engine, request: EngineRequest): Promise<EngineAnswer> {
  const whole = await engine.open(request);
  const stream = await engine.open({ ...request, body: { ...request.body, stream: true } });
  expect(await contentOf(stream, true)).toEqual(await contentOf(whole, false));
  const { promptTokens, outputTokens } = whole.usage()!;
  expect(stream.usage()).toMatchObject({ promptTokens, outputTokens, source: "engine" });
  return stream;
}

/** The tool of a conversation in which it was called before is called again. */
export async function expectToolCall(
  engine: Engine,
  request: (shape: "chat", body: Json) => EngineRequest,
  more: Json,
) {
  const asked = { messages: weighing, tools: [scale], max_tokens: 60, temperature: 0, ...more };
  const answer = await engine.open(request("chat", asked));
  const content = await contentOf(answer, more["stream"] === true);
  expect(content).toMatchObject({ tool: "weigh", finish: "tool_calls" });
  expect(JSON.parse(content.arguments)).toEqual({ unit: "kg" });
  expect(answer.usage()!.source).toBe("engine");
}

/** An answer that has begun is gone on with, and only what is new is said. */
export async function expectContinued(
  engine: Engine,
  { request, chat }: ReturnType<typeof requestsTo>,
  capabilities: Capabilities,
): Promise<void> {
  const asked = chat("Tell a tale.", { max_tokens: 8, stream: true });
  const whole = await contentOf(await engine.open(asked), true);
  const cut = whole.text.lastIndexOf(" ");
  const begun = continuedBody("chat", asked.body, whole.text.slice(0, cut), capabilities);
  const rest = await contentOf(await engine.open(request("chat", begun!)), true);
  expect(rest.text.startsWith(whole.text.slice(cut))).toBe(true);
}

/** Opens a stream, reads some of it and goes away: it is counted as far as it came. `meanwhile` runs while it streams. */
export async function expectAbandoned(
  engine: Engine,
  request: EngineRequest,
  meanwhile: () => Promise<void> = async () => {},
): Promise<void> {
  const answer = await engine.open({ ...request, body: { ...request.body, stream: true } });
  const iterator = answer.chunks[Symbol.asyncIterator]();
  for (let chunk = 0; chunk < 4; chunk++) await iterator.next();
  await meanwhile();
  const usage = await answer.cancel();
  expect(usage!.outputTokens).toBeGreaterThan(0);
  expect(usage!.outputTokens).toBeLessThan(Number(request.body["max_tokens"]));
}
