// Between a client and an engine of the same API a request and its whole answer pass as the bytes that were sent, but for the members that
// must change: numbers that no reader of JSON in JavaScript could write again, the order of members, white space and escapes. An answer of
// which something had to change keeps its values as they were understood.
import { toFile } from "openai";
import { afterAll, beforeAll, expect, test } from "vitest";
import { testGateway, type TestGateway } from "../../src/api/testing.ts";
import { scriptedEngine, type ScriptedEngine, type ScriptedRoutes } from "../../src/engines/testing.ts";

let at: TestGateway;
const engines = new Map<string, ScriptedEngine>();
const price = {
  currency: "USD",
  input_nano_per_million: "3000000",
  cached_nano_per_million: "1000000",
  output_nano_per_million: "7000000",
};

/** Members that do not survive being parsed and written again. */
const hostile =
  '"beyond" :  9007199254740993, "whole":1.0,"exact":0.1000000000000000055511151231257827, "huge":1e400, "none":-0,\n' +
  ' "order":{"10":1,"2":2,"b":1.50},"escaped":"\\u0041\\/\\ud83d\\ude00","__proto__":{"x":1E5} ';

const answers = {
  chat: `{ "id":"a","object":"chat.completion","created":1.0,"model":"own","choices":[{"index":0,"message":{"role":"assistant","content":"Hello"},"finish_reason":"stop"}],
 "usage":{"prompt_tokens":10,"completion_tokens":4,"total_tokens":14}, ${hostile}}\n`,
  completions: `{ "id":"a","object":"text_completion","created":1.0,"model":"own","choices":[{"index":0,"text":"Hello","finish_reason":"stop"}],
 "usage":{"prompt_tokens":10,"completion_tokens":4,"total_tokens":14}, ${hostile}}\n`,
  messages: `{ "id":"a","type":"message","role":"assistant","model":"own","content":[{"type":"text","text":"Hello"},{"type":"tool_use","id":"t","name":"f","input":{${hostile}}}],
 "stop_reason":"tool_use","stop_sequence":null,"usage":{"input_tokens":10,"output_tokens":4}, ${hostile}}\n`,
  responses: `{ "id":"a","object":"response","created_at":1.0,"status":"completed","model":"own","output":[{"type":"message","id":"m","role":"assistant","status":"completed","content":[{"type":"output_text","text":"Hello","annotations":[]}]}],
 "usage":{"input_tokens":10,"output_tokens":4,"total_tokens":14}, ${hostile}}\n`,
  gemini: `{ "candidates":[{"content":{"role":"model","parts":[{"text":"Hello"},{"functionCall":{"name":"f","args":{${hostile}}}}]},"finishReason":"STOP","index":0}],
 "usageMetadata":{"promptTokenCount":10,"candidatesTokenCount":4,"totalTokenCount":14}, ${hostile}}\n`,
  embeddings: `{ "object":"list","model":"own","data":[{"object":"embedding","index":0,"embedding":[1.0, 0.1000000000000000055511151231257827,-0]}],
 "usage":{"prompt_tokens":10,"total_tokens":10}, ${hostile}}\n`,
  rerank: `{ "id":"a","model":"own","results":[{"index":1,"relevance_score":1.0},{"index":0,"relevance_score":0.1000000000000000055511151231257827}],
 "usage":{"prompt_tokens":10,"total_tokens":10}, ${hostile}}\n`,
};

async function add(name: string, kind: string, own: ScriptedRoutes): Promise<void> {
  const engine = await scriptedEngine({}, ["own"], 0, own);
  engines.set(name, engine);
  const body = JSON.stringify({ name, kind, urls: [engine.url], model: "own", price });
  expect(await at.request("/api/engines", { method: "POST", body })).toMatchObject({ status: 200 });
}

beforeAll(async () => {
  at = await testGateway();
  await add("chat", "openai", { routes: {} });
  await add("messages", "anthropic", { shape: "messages", routes: {} });
  await add("responses", "responses", { shape: "responses", routes: {} });
  await add("gemini", "gemini", { shape: "gemini", routes: {} });
  await add("lists", "openai", {
    card: { owned_by: "vllm" },
    routes: {
      "GET /version": () => ({ version: "0.32.0" }),
      "POST /v1/embeddings": () => answers.embeddings,
      "POST /v1/rerank": () => answers.rerank,
    },
  });
});
afterAll(async () => {
  await at[Symbol.asyncDispose]();
  for (const engine of engines.values()) await engine[Symbol.asyncDispose]();
});

async function post(path: string, body: object): Promise<string> {
  const response = await fetch(at.address + path, {
    method: "POST",
    body: JSON.stringify(body),
    headers: { authorization: `Bearer ${at.key}` },
  });
  const text = await response.text();
  expect(response.status, text).toBe(200);
  return text;
}

const hello = [{ role: "user", content: "hi" }];

/** A schema whose numbers and names do not survive being parsed and written again; all numbers are finite. */
const schema = `{"type":"object", "properties":{"10":{"type":"integer","maximum":9007199254740993},"2":{"multipleOf":1.0,"minimum":-0}},\n "required":["\\u0041"]}`;

test.each([
  [
    "chat",
    "chat",
    "/v1/chat/completions",
    `{"model":"chat","messages":[{"role":"user","content":"hi"}],"temperature":1.0,"tools":[{"type":"function","function":{"name":"f","parameters":${schema}}}]}`,
  ],
  [
    "messages",
    "messages",
    "/v1/messages",
    `{"model":"messages","max_tokens":50,"messages":[{"role":"user","content":"hi"}],"tools":[{"name":"f","input_schema":${schema}}]}`,
  ],
  [
    "responses",
    "responses",
    "/v1/responses",
    `{"model":"responses","input":"hi","store":false,"tools":[{"type":"function","name":"f","parameters":${schema}}]}`,
  ],
  [
    "gemini",
    "gemini",
    "/v1beta/models/gemini:generateContent",
    `{"contents":[{"role":"user","parts":[{"text":"hi"}]}],"generationConfig":{"temperature":1.0,"responseMimeType":"application/json","responseJsonSchema":${schema}}}`,
  ],
] as const)("a request of %s, however short it is", async (_, engine, path, body) => {
  const { seen, next } = engines.get(engine)!;
  next({ chunks: ['{"A":1}'] });
  const response = await fetch(at.address + path, {
    method: "POST",
    body,
    headers: { authorization: `Bearer ${at.key}` },
  });
  expect(response.status, await response.text()).toBe(200);
  expect(seen.at(-1)!.text).toContain(schema);
  if (body.includes("temperature")) expect(seen.at(-1)!.text).toContain('"temperature":1.0');
});

test("a line of a batch, and its line of the output", async () => {
  engines.get("chat")!.next({ raw: { body: answers.chat } });
  const client = at.client();
  const request = `{ "messages":[{"role":"user","content":"hi"}],"model":"chat","tools":[{"type":"function","function":{"name":"f","parameters":${schema.replace("\n", "")}}}]}`;
  const line = `{"custom_id":"a","method":"POST","url":"/v1/chat/completions","body": ${request}}`;
  const { id } = await client.files.create({ file: await toFile(Buffer.from(line), "in.jsonl"), purpose: "batch" });
  const batch = await client.batches.create({
    input_file_id: id,
    endpoint: "/v1/chat/completions",
    completion_window: "24h",
  });
  const now = () => client.batches.retrieve(batch.id);
  await expect.poll(async () => (await now()).status).toBe("completed");
  const { output_file_id: output } = await now();
  expect(engines.get("chat")!.seen.at(-1)!.text).toContain(schema.replace("\n", ""));
  const text = await (await client.files.content(output!)).text();
  expect(text).toContain(`"body":${answers.chat.replaceAll(/\n+/g, " ")}`);
});

test.each([
  ["chat", "chat", "/v1/chat/completions", { model: "chat", messages: hello }],
  ["completions", "chat", "/v1/completions", { model: "chat", prompt: "hi" }],
  ["messages", "messages", "/v1/messages", { model: "messages", max_tokens: 50, messages: hello }],
  ["responses", "responses", "/v1/responses", { model: "responses", input: "hi", store: false }],
  [
    "gemini",
    "gemini",
    "/v1beta/models/gemini:generateContent",
    { contents: [{ role: "user", parts: [{ text: "hi" }] }] },
  ],
] as const)("%s", async (shape, engine, path, body) => {
  engines.get(engine)!.next({ raw: { body: answers[shape] } });
  expect(await post(path, body)).toBe(answers[shape]);
});

test("embeddings, where the vectors are as they were asked for", async () => {
  const asked = { model: "lists", input: "hi" };
  expect(await post("/v1/embeddings", { ...asked, encoding_format: "float" })).toBe(answers.embeddings);
  const [one] = (JSON.parse(await post("/v1/embeddings", { ...asked, encoding_format: "base64" })) as any).data;
  expect([...new Float32Array(new Uint8Array(Buffer.from(one.embedding, "base64")).buffer)]).toEqual([
    1,
    Math.fround(0.1),
    -0,
  ]);
});

test("a ranking is written anew, because engines differ in what they add; its scores are the same numbers", async () => {
  const ranked = await post("/v1/rerank", { model: "lists", query: "q", documents: ["a", "b"] });
  expect((JSON.parse(ranked) as any).results).toEqual([
    { index: 1, relevance_score: 1 },
    { index: 0, relevance_score: 0.1 },
  ]);
});

test("an answer whose usage the bill does not take as the engine said it is written anew", async () => {
  const silent = answers.chat.replace(/"usage":\{[^}]*\}/, '"usage":null');
  engines.get("chat")!.next({ raw: { body: silent } });
  const { usage, beyond, escaped } = JSON.parse(
    await post("/v1/chat/completions", { model: "chat", messages: hello }),
  ) as Record<string, any>;
  expect(usage.completion_tokens).toBeGreaterThan(0);
  expect({ beyond, escaped }).toEqual({ beyond: Number("9007199254740993"), escaped: "A/\u{1f600}" });
});
