// An engine of the kind `responses` behind the whole server, asked by clients of every API: what reaches it, what comes back, what it
// costs. The engine is scripted in the shape of OpenAI's Responses (composed from the API reference, not recorded).
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { testGateway, type TestGateway } from "../api/testing.ts";
import { scriptedEngine, type ScriptedEngine } from "../engines/testing.ts";
import { messageIn } from "./testing/streamedMessage.ts";

type Json = Record<string, any>;

const pixel = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";

let at: TestGateway;
let openai: ScriptedEngine;

beforeEach(async () => {
  at = await testGateway();
  openai = await scriptedEngine({}, ["gpt-6"], 0, { shape: "responses", routes: {} });
  const price = {
    currency: "USD",
    input_nano_per_million: "3000000",
    cached_nano_per_million: "1000000",
    output_nano_per_million: "7000000",
  };
  const added = await at.request("/api/engines", {
    method: "POST",
    body: JSON.stringify({ name: "gpt", kind: "responses", urls: [openai.url], model: "gpt-6", price }),
  });
  expect(added).toMatchObject({ status: 200, body: { kind: "responses" } });
});
afterEach(async () => {
  await at[Symbol.asyncDispose]();
  await openai[Symbol.asyncDispose]();
});

const hello = { model: "gpt", input: "hi" };

const post = (path: string, body: Json, headers: Record<string, string> = {}) =>
  fetch(at.address + path, {
    method: "POST",
    body: JSON.stringify(body),
    headers: { authorization: `Bearer ${at.key}`, ...headers },
  });
const said = async (response: Response): Promise<Json> => (await response.json()) as Json;
const withoutComments = (text: string): string => text.replaceAll(/^: .*\n(\n)?/gm, "");

describe("a client that speaks Responses", () => {
  test("reaches it with its unknown fields, and reads the answer as it came", async () => {
    const body = { ...hello, store: false, client_metadata: { x: "1" }, a_field_of_next_year: 1 };
    const answer = await said(await post("/v1/responses", body));
    expect(answer).toMatchObject({ id: "resp_scripted", output: [{ content: [{ text: "Hello, world." }] }] });
    expect(openai.seen[0]!.body).toMatchObject({ ...body, model: "gpt-6" });
    expect(JSON.stringify(openai.seen[0]!.headers)).not.toContain(at.key);
  });

  test("reads a stream byte for byte, but for the comments that say its price", async () => {
    const script = {
      reasoning: ["Hm", "."],
      proof: "sealed",
      toolCalls: [{ name: "f", arguments: '{"a":1}' }],
      usage: { prompt: 100, cached: 40, output: 9, reasoning: 5 },
    };
    openai.next(script, script);
    const asked = { ...hello, store: false, stream: true };
    const direct = await fetch(`${openai.url}/responses`, { method: "POST", body: JSON.stringify(asked) });
    const text = await (await post("/v1/responses", asked)).text();
    expect(withoutComments(text)).toBe(await direct.text());
    expect(text).toContain(`x-lineshaft-price-nano: ${60 * 3 + 40 * 1 + 9 * 7}`);
  });

  test("goes on from a stored response, which lies here and not at the engine", async () => {
    openai.next({ reasoning: ["Hm."], proof: "sealed", toolCalls: [{ id: "call_9", name: "f", arguments: "{}" }] });
    const tools = [{ type: "function", name: "f", parameters: { type: "object" } }];
    const first = await said(await post("/v1/responses", { ...hello, tools }));
    expect(first).toMatchObject({ store: true });
    const second = await post("/v1/responses", {
      model: "gpt",
      tools,
      previous_response_id: first["id"],
      input: [{ type: "function_call_output", call_id: "call_9", output: "2" }],
    });
    expect(await said(second)).toMatchObject({ previous_response_id: first["id"], status: "completed" });
    const [one, two] = openai.seen.map(({ body }) => body);
    expect(one).toMatchObject({ store: false, include: ["reasoning.encrypted_content"] });
    expect(two).not.toHaveProperty("previous_response_id");
    expect(two!["input"]).toMatchObject([
      { role: "user", content: [{ type: "input_text", text: "hi" }] },
      { type: "reasoning", id: "rs_scripted", encrypted_content: "sealed" },
      { type: "function_call", call_id: "call_9", name: "f" },
      { type: "function_call_output", call_id: "call_9", output: "2" },
    ]);
  });

  test("reads a refusal in OpenAI's own words and with its status", async () => {
    const body = {
      error: { message: "Your input exceeds the context window.", type: "x", code: "context_length_exceeded" },
    };
    openai.usual = { fail: { status: 400, body } };
    const response = await post("/v1/responses", hello);
    expect([response.status, await response.text()]).toEqual([400, JSON.stringify(body)]);
  });

  test("is refused what would change the price, by name", async () => {
    const response = await post("/v1/responses", { ...hello, service_tier: "priority" });
    expect(response.status).toBe(400);
    expect(await said(response)).toMatchObject({ error: { code: "unsupported_parameter", param: "service_tier" } });
    expect(openai.seen).toEqual([]);
  });

  test("is told what was left out", async () => {
    const response = await post("/v1/responses", { ...hello, tools: [{ type: "web_search" }] });
    expect(response.headers.get("x-lineshaft-left-out")).toBe("tools[0].web_search");
  });

  test("reads a failure inside the stream as one", async () => {
    openai.next({ cut: 2 });
    const text = await (await post("/v1/responses", { ...hello, stream: true })).text();
    expect(text).toContain("event: response.failed");
  });
});

describe("over two turns with a tool and a thought", () => {
  const thought = {
    reasoning: ["Let me ", "see."],
    proof: "sealed",
    toolCalls: [{ id: "call_1", name: "f", arguments: '{"a":1}' }],
  };
  const image = `data:image/png;base64,${pixel}`;
  const sent = [
    {
      type: "message",
      role: "user",
      content: [
        { type: "input_text", text: "hi" },
        { type: "input_image", image_url: image, detail: "auto" },
      ],
    },
    { type: "reasoning", id: "rs_scripted", encrypted_content: "sealed" },
    { type: "function_call", call_id: "call_1", name: "f", arguments: '{"a":1}' },
    { type: "function_call_output", call_id: "call_1", output: "r" },
  ];
  const declared = { type: "function", name: "f", parameters: { type: "object" }, strict: false };

  test("a client of Messages: the thought's proof comes back as it was", async () => {
    openai.next(thought);
    const source = { type: "base64", media_type: "image/png", data: pixel };
    const turn = {
      model: "gpt",
      max_tokens: 50,
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
    const { content, stop_reason } = await said(await post("/v1/messages", { ...turn, max_tokens: 2000 }));
    expect(stop_reason).toBe("tool_use");
    expect(content).toMatchObject([
      { type: "thinking", thinking: "Let me see." },
      { type: "tool_use", id: "call_1", name: "f", input: { a: 1 } },
    ]);
    const result = { type: "tool_result", tool_use_id: "call_1", content: "r" };
    const more = [
      { role: "assistant", content },
      { role: "user", content: [result] },
    ];
    const second = await post("/v1/messages", { ...turn, max_tokens: 2000, messages: [...turn.messages, ...more] });
    expect(await said(second)).toMatchObject({ content: [{ type: "text", text: "Hello, world." }] });
    expect(openai.seen[1]!.body).toMatchObject({
      input: sent,
      tools: [declared],
      store: false,
      max_output_tokens: 2000,
    });
    expect(openai.seen[0]!.body).toMatchObject({ reasoning: { effort: "low", summary: "auto" } });
  });

  test.each([false, true])("a client of chat completions (stream: %s)", async (stream) => {
    openai.next(thought);
    const tools = [{ type: "function", function: { name: "f", parameters: { type: "object" } } }];
    const content = [
      { type: "text", text: "hi" },
      { type: "image_url", image_url: { url: image } },
    ];
    const turn = { model: "gpt", messages: [{ role: "user", content }] as Json[], tools };
    const response = await post("/v1/chat/completions", { ...turn, stream });
    const message = stream ? messageIn(await response.text()) : (await said(response))["choices"][0].message;
    expect(message).toMatchObject({
      reasoning_content: "Let me see.",
      tool_calls: [{ id: "call_1", function: { name: "f", arguments: '{"a":1}' } }],
    });
    const more = [message, { role: "tool", tool_call_id: "call_1", content: "r" }];
    const second = await said(await post("/v1/chat/completions", { ...turn, messages: [...turn.messages, ...more] }));
    expect(second["choices"][0]).toMatchObject({ message: { content: "Hello, world." }, finish_reason: "stop" });
    expect(openai.seen[1]!.body).toMatchObject({ input: sent, tools: [declared] });
  });

  test("a client of Gemini", async () => {
    openai.next(thought);
    const parts = [{ text: "hi" }, { inlineData: { mimeType: "image/png", data: pixel } }];
    const turn = {
      contents: [{ role: "user", parts }] as Json[],
      tools: [{ functionDeclarations: [{ name: "f", parametersJsonSchema: { type: "object" } }] }],
      generationConfig: { thinkingConfig: { includeThoughts: true } },
    };
    const path = "/v1beta/models/gpt:generateContent";
    const { candidates } = await said(await post(path, turn));
    const { content } = candidates[0];
    expect(content.parts.at(-1)).toMatchObject({ functionCall: { id: "call_1", name: "f", args: { a: 1 } } });
    const result = { functionResponse: { id: "call_1", name: "f", response: { output: "r" } } };
    const second = await post(path, {
      ...turn,
      contents: [...turn.contents, content, { role: "user", parts: [result] }],
    });
    expect((await said(second))["candidates"][0].content.parts).toEqual([{ text: "Hello, world." }]);
    expect(openai.seen[1]!.body["input"]).toMatchObject([...sent.slice(0, 3), { output: '{"output":"r"}' }]);
  });
});

test("a client of another API reads a refusal in its own API's shape, with the wording", async () => {
  openai.usual = {
    fail: { status: 400, body: { error: { message: "Invalid schema for function 'f'.", code: null } } },
  };
  const response = await post("/v1/messages", {
    model: "gpt",
    max_tokens: 50,
    messages: [{ role: "user", content: "hi" }],
  });
  expect(response.status).toBe(400);
  expect(await said(response)).toMatchObject({
    type: "error",
    error: { type: "invalid_request_error", message: expect.stringContaining("Invalid schema for function 'f'.") },
  });
  const chat = { model: "gpt", messages: [{ role: "user", content: "hi" }], stop: ["x"] };
  expect(await said(await post("/v1/chat/completions", chat))).toMatchObject({ error: { param: "stop" } });
});
