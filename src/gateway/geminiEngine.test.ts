// An engine of the kind `gemini` behind the whole server, asked by clients of every API: what reaches it, what comes back, what it costs.
// The engine is scripted in the shape of Google's API (composed from the API reference, not recorded).
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { testGateway, type TestGateway } from "../api/testing.ts";
import { scriptedEngine, type ScriptedEngine } from "../engines/testing.ts";
import { messageIn } from "./testing/streamedMessage.ts";

type Json = Record<string, any>;

const pixel = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";

let at: TestGateway;
let google: ScriptedEngine;

const model = "gemini-3.8-flash";

beforeEach(async () => {
  at = await testGateway();
  google = await scriptedEngine({}, [model], 0, {
    shape: "gemini",
    routes: { [`POST /v1/models/${model}:countTokens`]: () => ({ totalTokens: 42 }) },
  });
  const price = {
    currency: "USD",
    input_nano_per_million: "3000000",
    cached_nano_per_million: "1000000",
    output_nano_per_million: "7000000",
  };
  const added = await at.request("/api/engines", {
    method: "POST",
    body: JSON.stringify({ name: "flash", kind: "gemini", urls: [google.url], model, price }),
  });
  expect(added).toMatchObject({ status: 200, body: { kind: "gemini" } });
});
afterEach(async () => {
  await at[Symbol.asyncDispose]();
  await google[Symbol.asyncDispose]();
});

const path = "/v1beta/models/flash:generateContent";
const streamed = "/v1beta/models/flash:streamGenerateContent?alt=sse";
const hello = { contents: [{ role: "user", parts: [{ text: "hi" }] }], generationConfig: { maxOutputTokens: 50 } };

const post = (to: string, body: Json) =>
  fetch(at.address + to, {
    method: "POST",
    body: JSON.stringify(body),
    headers: { authorization: `Bearer ${at.key}` },
  });
const said = async (response: Response): Promise<Json> => (await response.json()) as Json;
/** Events of a stream, without comments and with one kind of line end. */
const eventsIn = (text: string): string => text.replaceAll("\r", "").replaceAll(/^: .*\n(\n)?/gm, "");

describe("a client that speaks Gemini", () => {
  test("reaches it with its unknown fields, and reads the answer as it came", async () => {
    const body = { ...hello, aFieldOfNextYear: { x: 1 }, safetySettings: [] };
    const answer = await said(await post(path, body));
    expect(answer).toMatchObject({ responseId: "scripted1", candidates: [{ finishReason: "STOP" }] });
    const [seen] = google.seen;
    expect(seen!.path).toBe(`/v1/models/${model}:generateContent`);
    expect(seen!.body).toEqual(body);
    expect(JSON.stringify(seen!.headers)).not.toContain(at.key);
  });

  test("reads a stream as it came, but for the comments that say its price", async () => {
    const script = {
      reasoning: ["Hm", "."],
      proof: "c2ln",
      toolCalls: [{ id: "c1", name: "f", arguments: '{"a":1}' }],
      usage: { prompt: 100, cached: 40, output: 9, reasoning: 5 },
    };
    google.next(script, script);
    const direct = await fetch(`${google.url}/models/${model}:streamGenerateContent?alt=sse`, {
      method: "POST",
      body: JSON.stringify(hello),
    });
    const text = await (await post(streamed, hello)).text();
    expect(eventsIn(text)).toBe(eventsIn(await direct.text()));
    await at.gateway.flushed();
    const { body } = await at.request("/api/calls");
    expect(body.data[0]).toMatchObject({
      prompt_tokens: 100,
      cached_tokens: 40,
      output_tokens: 9,
    });
  });

  test("reads a refusal in Google's own words and with its status; the wait that it asks for stands in them", async () => {
    const details = [{ "@type": "type.googleapis.com/google.rpc.RetryInfo", retryDelay: "34s" }];
    const body = { error: { code: 429, message: "Quota of requests.", status: "RESOURCE_EXHAUSTED", details } };
    google.usual = { fail: { status: 429, body } };
    const response = await post(path, hello);
    expect(response.status).toBe(429);
    expect(await said(response)).toMatchObject({ error: { status: "RESOURCE_EXHAUSTED" } });
  });

  test("is not told that a key is wrong when the wrong one is ours", async () => {
    const error = {
      code: 400,
      message: "API key not valid.",
      status: "INVALID_ARGUMENT",
      details: [{ reason: "API_KEY_INVALID" }],
    };
    google.usual = { fail: { status: 400, body: { error } } };
    const response = await post(path, hello);
    expect(response.status).toBe(502);
    expect(await response.text()).not.toContain("API key not valid");
  });

  test("counts a prompt by Google's own count", async () => {
    const counted = await post("/v1beta/models/flash:countTokens", { contents: hello.contents });
    expect(await said(counted)).toMatchObject({ totalTokens: 42 });
  });

  test("is refused what would change the price, by name", async () => {
    expect(await said(await post(path, { ...hello, cachedContent: "cachedContents/1" }))).toMatchObject({
      error: { status: "INVALID_ARGUMENT", message: expect.stringContaining("cachedContent") },
    });
    expect(google.seen).toEqual([]);
  });
});

describe("over two turns with a tool and a thought", () => {
  const thought = {
    reasoning: ["Let me ", "see."],
    proof: "c2ln",
    toolCalls: [{ id: "call_1", name: "f", arguments: '{"a":1}' }],
  };
  const image = { inlineData: { mimeType: "image/png", data: pixel } };
  const sent = [
    { role: "user", parts: [{ text: "hi" }, image] },
    { role: "model", parts: [{ functionCall: { id: "call_1", name: "f", args: { a: 1 } }, thoughtSignature: "c2ln" }] },
    { role: "user", parts: [{ functionResponse: { id: "call_1", name: "f", response: { output: "r" } } }] },
  ];
  const tools = [{ functionDeclarations: [{ name: "f", parametersJsonSchema: { type: "object" } }] }];

  test("a client of Messages: the thought's signature comes back beside the call", async () => {
    google.next(thought);
    const source = { type: "base64", media_type: "image/png", data: pixel };
    const turn = {
      model: "flash",
      max_tokens: 2000,
      thinking: { type: "enabled", budget_tokens: 1024 },
      tools: [{ name: "f", input_schema: { type: "object" } }],
      messages: [
        {
          role: "user",
          content: [
            { type: "text", text: "hi" },
            { type: "image", source },
          ],
        },
      ] as Json[],
    };
    const { content, stop_reason } = await said(await post("/v1/messages", turn));
    expect(stop_reason).toBe("tool_use");
    const result = { type: "tool_result", tool_use_id: "call_1", content: "r" };
    const more = [
      { role: "assistant", content },
      { role: "user", content: [result] },
    ];
    const second = await post("/v1/messages", { ...turn, messages: [...turn.messages, ...more] });
    expect(await said(second)).toMatchObject({ content: [{ type: "text", text: "Hello, world." }] });
    expect(google.seen[1]!.body).toEqual({
      contents: sent,
      tools,
      generationConfig: {
        maxOutputTokens: expect.any(Number),
        thinkingConfig: { thinkingLevel: "low", includeThoughts: true },
      },
    });
  });

  test.each([false, true])("a client of chat completions (stream: %s)", async (stream) => {
    google.next(thought);
    const declared = [{ type: "function", function: { name: "f", parameters: { type: "object" } } }];
    const content = [
      { type: "text", text: "hi" },
      { type: "image_url", image_url: { url: `data:image/png;base64,${pixel}` } },
    ];
    const turn = {
      model: "flash",
      messages: [{ role: "user", content }] as Json[],
      tools: declared,
      reasoning_effort: "low",
    };
    const response = await post("/v1/chat/completions", { ...turn, stream });
    const message = stream ? messageIn(await response.text()) : (await said(response))["choices"][0].message;
    expect(message).toMatchObject({
      reasoning_content: "Let me see.",
      tool_calls: [{ id: "call_1", function: { name: "f", arguments: '{"a":1}' } }],
    });
    const more = [message, { role: "tool", tool_call_id: "call_1", content: "r" }];
    const second = await said(await post("/v1/chat/completions", { ...turn, messages: [...turn.messages, ...more] }));
    expect(second["choices"][0]).toMatchObject({ message: { content: "Hello, world." }, finish_reason: "stop" });
    expect(google.seen[1]!.body["contents"]).toEqual(sent);
  });

  test("a client of Responses", async () => {
    google.next(thought);
    const turn = {
      model: "flash",
      input: [
        {
          role: "user",
          content: [
            { type: "input_text", text: "hi" },
            { type: "input_image", image_url: `data:image/png;base64,${pixel}` },
          ],
        },
      ] as Json[],
      tools: [{ type: "function", name: "f", parameters: { type: "object" } }],
      include: ["reasoning.encrypted_content"],
      store: false,
    };
    const { output } = await said(await post("/v1/responses", turn));
    const more = [...output, { type: "function_call_output", call_id: "call_1", output: "r" }];
    const second = await said(await post("/v1/responses", { ...turn, input: [...turn.input, ...more] }));
    expect(second["output"]).toMatchObject([{ content: [{ text: "Hello, world." }] }]);
    expect(google.seen[1]!.body["contents"]).toEqual(sent);
  });
});

test("a call of another model in the history says that it has no signature, which Google asks for", async () => {
  const call = { id: "call_1", type: "function", function: { name: "f", arguments: "{}" } };
  await post("/v1/chat/completions", {
    model: "flash",
    messages: [
      { role: "user", content: "hi" },
      { role: "assistant", content: null, tool_calls: [call] },
      { role: "tool", tool_call_id: "call_1", content: "r" },
    ],
    tools: [{ type: "function", function: { name: "f" } }],
  });
  expect((google.seen[0]!.body as Json)["contents"][1].parts[0]).toMatchObject({
    functionCall: { name: "f" },
    thoughtSignature: "skip_thought_signature_validator",
  });
});

test("several answers of a chat call are candidates", async () => {
  const body = { model: "flash", messages: [{ role: "user", content: "hi" }], n: 2, max_tokens: 20 };
  expect((await post("/v1/chat/completions", body)).status).toBe(200);
  expect(google.seen[0]!.body["generationConfig"]).toMatchObject({ candidateCount: 2, maxOutputTokens: 20 });
});

test("a stream that ends without a reason to finish is cut", async () => {
  google.next({ cut: 2 });
  const text = await (await post(streamed, hello)).text();
  expect(text).toContain('"error"');
});

test("embeddings of Google's models come by OpenAI's API, and their tokens are billed", async () => {
  const name = "gemini-embedding-001";
  const own = await scriptedEngine({}, [], 0, {
    shape: "gemini",
    routes: {
      "GET /v1/models": () => ({ models: [{ name: `models/${name}`, supportedGenerationMethods: ["embedContent"] }] }),
      [`POST /v1/models/${name}:batchEmbedContents`]: () => ({
        embeddings: [{ values: [0.5, -1] }, { values: [1, 0] }],
        usageMetadata: { promptTokenCount: 5 },
      }),
    },
  });
  await using _ = own;
  const price = { currency: "USD", input_nano_per_million: "3000000", output_nano_per_million: "0" };
  const added = { name: "embed", kind: "gemini", urls: [own.url], model: name, price };
  expect((await at.request("/api/engines", { method: "POST", body: JSON.stringify(added) })).status).toBe(200);
  const response = await post("/v1/embeddings", { model: "embed", input: ["a text", "another"] });
  expect(await said(response)).toMatchObject({
    object: "list",
    data: [
      { index: 0, embedding: [0.5, -1] },
      { index: 1, embedding: [1, 0] },
    ],
    usage: { prompt_tokens: 5, total_tokens: 5 },
  });
  expect(response.headers.get("x-lineshaft-price-nano")).toBe(String(5 * 3));
  expect(
    (await post("/v1/chat/completions", { model: "embed", messages: [{ role: "user", content: "hi" }] })).status,
  ).toBe(400);
});
