// Anthropic's Messages against the whole server, as its clients send them: one key, one header, no other set-up.
import { describe, expect, test } from "vitest";
import { testGateway, type TestGateway } from "../api/testing.ts";

const hello = { model: "scripted", max_tokens: 50, messages: [{ role: "user", content: "hi" }] };

const send = (at: TestGateway, path: string, body?: unknown, key = at.key) =>
  fetch(at.address + path, {
    ...(body !== undefined && { method: "POST", body: JSON.stringify(body) }),
    headers: { "x-api-key": key, "anthropic-version": "2023-06-01", "content-type": "application/json" },
  });

describe("Anthropic's clients", () => {
  test("a whole answer, priced in its headers and recorded by its shape", async () => {
    await using at = await testGateway({ script: { usage: { prompt: 10, cached: 4, output: 4 } } });
    const response = await send(at, "/v1/messages?beta=true", hello);
    expect(response.status).toBe(200);
    expect(await response.json()).toMatchObject({
      type: "message",
      role: "assistant",
      model: "scripted",
      content: [{ type: "text", text: "Hello, world." }],
      stop_reason: "end_turn",
      usage: { input_tokens: 6, cache_read_input_tokens: 4, cache_creation_input_tokens: 0, output_tokens: 4 },
    });
    expect(response.headers.get("x-lineshaft-price-nano")).toBe(String(6 * 3 + 4 * 1 + 4 * 7));
    expect(response.headers.get("request-id")).toMatch(/^req_/);
    await at.gateway.flushed();
    const { body } = await at.request(`/api/calls/${response.headers.get("x-lineshaft-call")}`);
    expect(body).toMatchObject({ endpoint: "messages", output_tokens: 4 });
  });

  test("a stream that ends with the usage that is billed", async () => {
    await using at = await testGateway({ script: { toolCalls: [{ name: "f", arguments: '{"a":1}' }] } });
    const tools = [{ name: "f", input_schema: { type: "object" } }];
    const text = await (await send(at, "/v1/messages", { ...hello, tools, stream: true })).text();
    const events = text.split("\n\n").filter((block) => block.startsWith("event: "));
    expect(events.map((block) => block.split("\n")[0]!.slice(7))).toEqual([
      "message_start",
      "content_block_start",
      "content_block_delta",
      "content_block_delta",
      "content_block_stop",
      "message_delta",
      "message_stop",
    ]);
    expect(text).toContain('"stop_reason":"tool_use"');
    expect(text).toContain('"input_tokens":10');
    expect(at.engine.seen[0]!.body).toMatchObject({ max_tokens: 50, stream_options: { include_usage: true } });
  });

  test("tokens are counted, or estimated where the engine does not count, and nothing is recorded", async () => {
    await using at = await testGateway();
    const { max_tokens: _limit, ...prompt } = hello;
    const response = await send(at, "/v1/messages/count_tokens?beta=true", prompt);
    expect(((await response.json()) as { input_tokens: number }).input_tokens).toBeGreaterThan(0);
    expect(response.headers.get("x-lineshaft-counted")).toBe("estimate");
    expect(at.engine.seen).toEqual([]);
    expect((await send(at, "/v1/messages/count_tokens", { ...prompt, model: "none" })).status).toBe(404);
  });

  test("models are listed in Anthropic's shape", async () => {
    await using at = await testGateway();
    expect(await (await send(at, "/v1/models?limit=1000")).json()).toMatchObject({
      data: [{ type: "model", id: "scripted", display_name: "scripted" }],
      has_more: false,
      first_id: "scripted",
    });
    expect(await (await send(at, "/v1/models/scripted")).json()).toMatchObject({ type: "model", id: "scripted" });
  });

  test("failures have Anthropic's shape, also on paths that are not served", async () => {
    await using at = await testGateway();
    const refused = async (response: Response) => [response.status, ((await response.json()) as any).error?.type];
    expect(await refused(await send(at, "/v1/messages", hello, "wrong"))).toEqual([401, "authentication_error"]);
    expect(await refused(await send(at, "/v1/messages", { ...hello, model: "none" }))).toEqual([
      404,
      "not_found_error",
    ]);
    expect(await refused(await send(at, "/v1/messages/none"))).toEqual([404, "not_found_error"]);
    at.engine.next({ fail: { status: 503 } }, { fail: { status: 503 } }, { fail: { status: 503 } });
    expect(await refused(await send(at, "/v1/messages", hello))).toEqual([529, "overloaded_error"]);
  });

  test("a server tool is left out, and the answer says so", async () => {
    await using at = await testGateway();
    const tools = [{ type: "web_search_20250305", name: "web_search" }];
    const response = await send(at, "/v1/messages", { ...hello, tools });
    expect(response.headers.get("x-lineshaft-left-out")).toBe("tools[0].web_search_20250305");
    expect(at.engine.seen[0]!.body).not.toHaveProperty("tools");
  });
});
