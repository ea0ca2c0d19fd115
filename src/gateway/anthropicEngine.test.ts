// An engine of the kind `anthropic` behind the whole server, asked by clients of every API: what reaches it, what comes back, what it
// costs. The engine is scripted in the shape of Anthropic's API (composed from the API reference, not recorded).
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { testGateway, type TestGateway } from "../api/testing.ts";
import { scriptedEngine, type ScriptedEngine } from "../engines/testing.ts";
import { messageIn } from "./testing/streamedMessage.ts";

type Json = Record<string, any>;

let at: TestGateway;
let anthropic: ScriptedEngine;

beforeEach(async () => {
  at = await testGateway();
  anthropic = await scriptedEngine({}, ["claude-x"], 0, {
    shape: "messages",
    routes: {
      "POST /v1/messages/count_tokens": (body) => ({
        input_tokens: JSON.stringify(body).length > 10_000 ? 12_000 : 42,
      }),
    },
  });
  const price = {
    currency: "USD",
    input_nano_per_million: "3000000",
    cached_nano_per_million: "1000000",
    output_nano_per_million: "7000000",
    cache_write_nano_per_million: "4000000",
    cache_write_long_nano_per_million: "6000000",
  };
  const added = await at.request("/api/engines", {
    method: "POST",
    body: JSON.stringify({ name: "claude", kind: "anthropic", urls: [anthropic.url], model: "claude-x", price }),
  });
  expect(added).toMatchObject({ status: 200, body: { kind: "anthropic", price } });
});
afterEach(async () => {
  await at[Symbol.asyncDispose]();
  await anthropic[Symbol.asyncDispose]();
});

const hello = { model: "claude", max_tokens: 50, messages: [{ role: "user", content: "hi" }] };

const post = (path: string, body: Json, headers: Record<string, string> = {}) =>
  fetch(at.address + path, {
    method: "POST",
    body: JSON.stringify(body),
    headers: { "x-api-key": at.key, "anthropic-version": "2023-06-01", ...headers },
  });
const said = async (response: Response): Promise<Json> => (await response.json()) as Json;

test("prompts without a mark are marked where the route says so, and a client's own mark stands alone", async () => {
  const marks = () => anthropic.seen.map(({ body }) => body["cache_control"]);
  await post("/v1/messages", hello);
  const route = { model: "claude", marks: "auto" };
  expect(await at.request("/api/routes", { method: "PUT", body: JSON.stringify(route) })).toMatchObject({
    status: 200,
    body: route,
  });
  await post("/v1/messages", hello);
  await post("/v1/chat/completions", hello);
  const text = { type: "text", text: "hi", cache_control: { type: "ephemeral" } };
  await post("/v1/messages", { ...hello, messages: [{ role: "user", content: [text] }] });
  const mark = { type: "ephemeral" };
  expect(marks()).toEqual([undefined, mark, mark, undefined]);
  expect(anthropic.seen[1]!.body).toMatchObject({ max_tokens: 50, messages: hello.messages });
});

describe("a client that speaks Messages", () => {
  test("reaches it with its unknown fields and headers, and reads the answer as it came", async () => {
    const body = { ...hello, metadata: { user_id: "u" }, context_management: { edits: [] }, a_field_of_next_year: 1 };
    const answer = await said(await post("/v1/messages?beta=true", body, { "anthropic-beta": "a-beta-of-next-year" }));
    expect(answer).toMatchObject({ id: "msg_scripted", content: [{ type: "text", text: "Hello, world." }] });
    const [seen] = anthropic.seen;
    expect(seen!.body).toEqual({ ...body, model: "claude-x" });
    expect(seen!.headers).toMatchObject({ "anthropic-beta": "a-beta-of-next-year", "anthropic-version": "2023-06-01" });
    expect(JSON.stringify(seen!.headers)).not.toContain(at.key);
  });

  test("reads a stream byte for byte, but for the comments that say its price", async () => {
    const script = {
      reasoning: ["Hm", "."],
      proof: "sig",
      toolCalls: [{ name: "f", arguments: '{"a":1}' }],
      usage: { prompt: 100, cached: 40, written: 20, output: 9, reasoning: 5 },
    };
    anthropic.next(script, script);
    const direct = await fetch(`${anthropic.url}/messages`, {
      method: "POST",
      body: JSON.stringify({ ...hello, stream: true }),
    });
    const through = await post("/v1/messages", { ...hello, stream: true });
    const text = await through.text();
    expect(text.replaceAll(/^: .*\n(\n)?/gm, "")).toBe(await direct.text());
    expect(text).toContain("x-lineshaft-cached-tokens: 40");
    expect(text).toContain(`x-lineshaft-price-nano: ${40 * 3 + 40 * 1 + 20 * 4 + 9 * 7}`);
  });

  test("is billed for what was read from the cache and written to it, whole and streamed alike", async () => {
    const usage = { prompt: 12_000, cached: 8000, written: 1000, writtenLong: 500, output: 700, reasoning: 300 };
    const price = String(2500 * 3 + 8000 * 1 + 1000 * 4 + 500 * 6 + 700 * 7);
    anthropic.next({ usage }, { usage });
    // A prompt has no more tokens than bytes, whatever an engine claims.
    const body = { ...hello, max_tokens: 1000, messages: [{ role: "user", content: "x".repeat(12_000) }] };
    const whole = await post("/v1/messages", body);
    expect(await said(whole)).toMatchObject({
      usage: { input_tokens: 2500, cache_read_input_tokens: 8000, cache_creation_input_tokens: 1500 },
    });
    expect(whole.headers.get("x-lineshaft-price-nano")).toBe(price);
    expect(whole.headers.get("x-lineshaft-cached-tokens")).toBe("8000");
    const stream = await (await post("/v1/messages", { ...body, stream: true })).text();
    expect(stream).toContain(`x-lineshaft-price-nano: ${price}\n`);
    await at.gateway.flushed();
    const { body: record } = await at.request(`/api/calls/${whole.headers.get("x-lineshaft-call")}`);
    expect(record).toMatchObject({ prompt_tokens: 12_000, cached_tokens: 8000, output_tokens: 700 });
  });

  test("reads a refusal in Anthropic's own words and with its status", async () => {
    const refused = async (status: number, error: Json, headers = {}) => {
      const fail = { status, body: { type: "error", error, request_id: "req_upstream" }, headers };
      anthropic.usual = { fail };
      const response = await post("/v1/messages", hello);
      const text = await response.text();
      return { status: response.status, text, sent: JSON.stringify(fail.body), headers: response.headers };
    };
    const tooLong = { type: "invalid_request_error", message: "prompt is too long: 210000 tokens > 200000 maximum" };
    expect(await refused(400, tooLong)).toMatchObject({ status: 400, text: expect.stringContaining("req_upstream") });
    const overloaded = await refused(529, { type: "overloaded_error", message: "Overloaded" });
    expect(overloaded).toMatchObject({ status: 529, text: overloaded.sent });
    const limited = await refused(429, { type: "rate_limit_error", message: "Slow down" }, { "retry-after": "7" });
    expect(limited).toMatchObject({ status: 429, text: limited.sent });
    expect(limited.headers.get("retry-after")).toBe("7");
  });

  test("reads a failure inside a stream in Anthropic's own words", async () => {
    const error = { type: "error", error: { type: "overloaded_error", message: "Overloaded" }, request_id: "req_up" };
    const events = [
      { type: "message_start", message: { id: "m", type: "message", usage: { input_tokens: 1, output_tokens: 1 } } },
      error,
    ];
    const body = events.map((one) => `event: ${one.type}\ndata: ${JSON.stringify(one)}\n\n`).join("");
    anthropic.next({ raw: { contentType: "text/event-stream", body } });
    const text = await (await post("/v1/messages", { ...hello, stream: true })).text();
    expect(text.endsWith(`event: error\ndata: ${JSON.stringify(error)}\n\n`)).toBe(true);
  });

  test("is told once how its stream ended where less is billed than the provider claims", async () => {
    anthropic.next({ usage: { prompt: 1_000_000, output: 4 } });
    const text = await (await post("/v1/messages", { ...hello, stream: true })).text();
    const ends = text.split("\n").filter((line) => line.startsWith('data: {"type":"message_delta"'));
    expect(ends).toHaveLength(1);
    expect(ends[0]).toContain('"stop_reason":"end_turn"');
    const { usage } = JSON.parse(ends[0]!.slice(6)) as { usage: { input_tokens: number } };
    expect(usage.input_tokens).toBeLessThan(1_000);
  });

  test("is not told that a key is wrong when the wrong one is ours", async () => {
    const error = { type: "authentication_error", message: "invalid x-api-key" };
    anthropic.usual = { fail: { status: 401, body: { type: "error", error } } };
    const response = await post("/v1/messages", hello);
    expect(response.status).toBe(502);
    expect(await response.text()).not.toContain("invalid x-api-key");
  });

  test("counts a prompt by Anthropic's own count", async () => {
    const { max_tokens: _limit, ...prompt } = hello;
    const counted = await post("/v1/messages/count_tokens", prompt);
    expect(await said(counted)).toEqual({ input_tokens: 42 });
    expect(counted.headers.get("x-lineshaft-counted")).toBe("engine");
  });

  test("is refused what would change the price, by name and in Anthropic's shape", async () => {
    const response = await post("/v1/messages", { ...hello, service_tier: "priority" });
    expect(response.status).toBe(400);
    expect(await said(response)).toMatchObject({
      type: "error",
      error: { type: "invalid_request_error", message: expect.stringContaining("`service_tier`") },
    });
    expect(anthropic.seen).toEqual([]);
  });
});

describe("the proof of a thought comes back to Anthropic as it was, over two turns", () => {
  const thought = {
    reasoning: ["Let me ", "see."],
    proof: "EqQBsig/+==",
    toolCalls: [{ id: "toolu_1", name: "f", arguments: "{}" }],
  };
  const proved = [
    { type: "thinking", thinking: "Let me see.", signature: "EqQBsig/+==" },
    { type: "tool_use", id: "toolu_1", name: "f", input: {} },
  ];
  const assistantIn = ({ body }: { body: Json }): Json[] =>
    body["messages"].find(({ role }: Json) => role === "assistant").content;
  const tool = { name: "f", description: "Does f", input_schema: { type: "object" } };

  test("through a client of Messages", async () => {
    anthropic.next(thought);
    const thinking = { type: "enabled", budget_tokens: 1024 };
    const turn = { ...hello, max_tokens: 2000, thinking, tools: [tool] };
    const { content } = await said(await post("/v1/messages", turn));
    const result = { type: "tool_result", tool_use_id: "toolu_1", content: "r" };
    const more = [
      { role: "assistant", content },
      { role: "user", content: [result] },
    ];
    expect((await post("/v1/messages", { ...turn, messages: [...turn.messages, ...more] })).status).toBe(200);
    expect(assistantIn(anthropic.seen[1]!)).toEqual(proved);
  });

  test.each([false, true])("through a client of chat completions (stream: %s)", async (stream) => {
    anthropic.next(thought);
    const tools = [{ type: "function", function: { name: "f", parameters: { type: "object" } } }];
    const turn = { model: "claude", messages: hello.messages as Json[], tools, max_tokens: 50 };
    const response = await post("/v1/chat/completions", { ...turn, stream });
    const message = stream ? messageIn(await response.text()) : (await said(response))["choices"][0].message;
    expect(message).toMatchObject({ reasoning_content: "Let me see." });
    const more = [message, { role: "tool", tool_call_id: "toolu_1", content: "r" }];
    const second = await post("/v1/chat/completions", { ...turn, messages: [...turn.messages, ...more] });
    expect(second.status).toBe(200);
    expect(assistantIn(anthropic.seen[1]!)).toEqual(proved);
  });

  test("through a client of Responses", async () => {
    anthropic.next(thought);
    const turn = {
      model: "claude",
      input: [{ role: "user", content: "hi" }] as Json[],
      tools: [{ type: "function", name: "f", parameters: { type: "object" } }],
      include: ["reasoning.encrypted_content"],
      store: false,
    };
    const { output } = await said(await post("/v1/responses", turn));
    const more = [...output, { type: "function_call_output", call_id: "toolu_1", output: "r" }];
    expect((await post("/v1/responses", { ...turn, input: [...turn.input, ...more] })).status).toBe(200);
    expect(assistantIn(anthropic.seen[1]!)).toEqual(proved);
  });
});

test("a client of chat completions keeps its marks, and reads a refusal with its wording", async () => {
  anthropic.next({ usage: { prompt: 100, cached: 60, written: 10, output: 4 } });
  const part = { type: "text", text: "long", cache_control: { type: "ephemeral", ttl: "1h" } };
  const body = { model: "claude", messages: [{ role: "user", content: [part] }] };
  const answer = await said(await post("/v1/chat/completions", body));
  expect(answer["usage"]).toMatchObject({ prompt_tokens: 100, prompt_tokens_details: { cached_tokens: 60 } });
  expect(anthropic.seen[0]!.body["messages"]).toEqual([{ role: "user", content: [part] }]);
  const error = { type: "invalid_request_error", message: "prompt is too long: 210000 tokens > 200000 maximum" };
  anthropic.usual = { fail: { status: 400, body: { type: "error", error } } };
  const refused = await post("/v1/chat/completions", body);
  expect(refused.status).toBe(400);
  expect(await said(refused)).toMatchObject({
    error: { code: "context_length_exceeded", message: expect.stringContaining(error.message) },
  });
});
