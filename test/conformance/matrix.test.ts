// Every API of clients over every API of engines: tools over two turns, images, the reasons why an answer ended, whole and streamed, and
// what an API cannot say is refused by the client's own name of it. What the engine was sent is read by test/clients/asked.ts, what the
// client understands by src/gateway/testing/clients.ts: both apart from the gateway's readers.
import { describe, expect, test } from "vitest";
import type { Engine, Shape } from "../../src/engines/index.ts";
import { createOpenAiEngine } from "../../src/engines/index.ts";
import { createAnthropicEngine } from "../../src/engines/anthropic/adapter.ts";
import { createGeminiEngine } from "../../src/engines/gemini/adapter.ts";
import { createResponsesEngine } from "../../src/engines/responses/adapter.ts";
import type { Script } from "../../src/engines/testing.ts";
import { testClients, type TestClient } from "../../src/gateway/testing/clients.ts";
import { memoryGateway, type MemoryGateway } from "../../src/gateway/testing/memoryGateway.ts";
import { chat } from "../../src/gateway/protocols/chat/index.ts";
import { decodeAs } from "../../src/gateway/protocols/testing.ts";
import { readSeen } from "../clients/asked.ts";

const model = "scripted";
const outs: Partial<Record<Shape, (url: string) => Engine>> = {
  chat: (url) => createOpenAiEngine({ url, model }),
  responses: (url) => createResponsesEngine({ url, model }),
  messages: (url) => createAnthropicEngine({ url, model }),
  gemini: (url) => createGeminiEngine({ url, model }),
};
const wires = Object.keys(outs) as Shape[];

/** A gateway in front of one engine that speaks `wire`. */
const gatewayTo = (wire: Shape, script: Script = {}): Promise<MemoryGateway> =>
  memoryGateway({
    script,
    open: outs[wire]!,
    ...(wire !== "chat" && { shape: wire }),
    engineRoutes:
      wire === "gemini"
        ? {
            "GET /v1/models": () => ({
              models: [{ name: `models/${model}`, inputTokenLimit: 90_000, outputTokenLimit: 9_000 }],
            }),
          }
        : {},
  });

/** Asks, and answers what the client understands. */
async function asked(at: MemoryGateway, client: TestClient, turns: Parameters<TestClient["ask"]>[0], stream: boolean) {
  const call = client.ask(turns, stream);
  const answer = await at.gateway.call(at.requestOf(call));
  const told = { call, id: "call_1", createdMs: 0 };
  let text = "";
  if (stream) {
    const encode = client.protocol.events(told);
    for await (const chunk of answer.chunks) text += encode(chunk);
    text += encode(undefined);
  } else text = client.protocol.whole(await answer.whole(), told);
  return client.read(text, stream);
}

const seenBy = (at: MemoryGateway) => at.engine.seen.map(({ path, body }) => readSeen(path, body));

/** The words of each API for how an answer ended. */
const stops: Record<string, Record<string, string>> = {
  chat: { tools: "tool_calls", length: "length", stop: "stop" },
  responses: { tools: "completed", length: "max_output_tokens", stop: "completed" },
  messages: { tools: "tool_use", length: "max_tokens", stop: "end_turn" },
  gemini: { tools: "STOP", length: "MAX_TOKENS", stop: "STOP" },
};

const pairs = testClients.flatMap((client) =>
  wires.flatMap((wire) =>
    [true, false].map((stream): [string, string, string, TestClient, Shape, boolean] => [
      client.protocol.name,
      wire,
      stream ? "streamed" : "whole",
      client,
      wire,
      stream,
    ]),
  ),
);

describe.each(pairs)("%s over an engine that speaks %s, %s", (name, _wire, _how, client, wire, stream) => {
  const turns = { system: "Be brief.", asked: "What is it?" };

  test("a tool is called in one turn and answered in the next", async () => {
    const thinking: Script = { reasoning: ["I look."], toolCalls: [{ name: "look", arguments: '{"q":42}' }] };
    await using at = await gatewayTo(wire);
    at.engine.next(thinking, { chunks: ["It is ", "blue."] });
    const first = await asked(at, client, turns, stream);
    expect(first).toMatchObject({
      text: "",
      calls: [{ name: "look", arguments: { q: 42 } }],
      stop: stops[name]!["tools"],
    });
    // Google's API has calls without an id, which are answered by their name.
    const id = first.calls[0]!.id ?? "none";
    if (name !== wire || name !== "gemini") expect(first.calls[0]!.id).toMatch(/./);
    const looked = { id, arguments: '{"q":42}', result: "blue" };
    const second = await asked(at, client, { ...turns, looked }, stream);
    expect(second).toMatchObject({ text: "It is blue.", calls: [], stop: stops[name]!["stop"] });
    const [one, two] = seenBy(at);
    expect(one).toMatchObject({
      said: [turns.asked],
      tools: [{ name: "look", schema: { properties: { q: { type: "integer" } }, required: ["q"] } }],
      answersTool: false,
    });
    expect(one!.system).toBe(turns.system);
    expect(two).toMatchObject({ said: [turns.asked], system: turns.system, answersTool: true });
    expect(two!.calls.map((call) => [call.name, JSON.parse(call.arguments)])).toEqual([["look", { q: 42 }]]);
    expect(two!.results).toHaveLength(1);
    expect(two!.results[0]).toContain("blue");
  });

  test("an image is seen", async () => {
    await using at = await gatewayTo(wire);
    await asked(at, client, { ...turns, image: "iVBORw0KGgo=" }, stream);
    expect(seenBy(at)[0]).toMatchObject({ media: 1, said: [expect.stringContaining(turns.asked)] });
    expect(JSON.stringify(at.engine.seen[0]!.body)).toContain("iVBORw0KGgo=");
  });

  test("an answer that was cut at its limit says so, and the limit is the client's", async () => {
    await using at = await gatewayTo(wire, { finishReason: "length", chunks: ["It is"] });
    const understood = await asked(at, client, { ...turns, outputTokens: 1_500 }, stream);
    expect(understood).toMatchObject({ text: "It is", stop: stops[name]!["length"] });
    expect(at.engine.seen[0]!.text).toContain("1500");
  });
});

/** What chat completions can ask for and other APIs have no words for. */
const unsaid: [wire: Shape, more: Record<string, unknown>, param: string][] = [
  ["responses", { logit_bias: { 5: 1 } }, "logit_bias"],
  ["responses", { n: 2 }, "n"],
  ["responses", { stop: ["x"] }, "stop"],
  ["responses", { seed: 1 }, "seed"],
  ["messages", { logit_bias: { 5: 1 } }, "logit_bias"],
  ["messages", { n: 2 }, "n"],
  ["messages", { seed: 1 }, "seed"],
  ["messages", { logprobs: true }, "logprobs"],
  ["gemini", { logit_bias: { 5: 1 } }, "logit_bias"],
];

test.each(unsaid)("an engine that speaks %s is not asked for %j of chat completions", async (wire, more, param) => {
  await using at = await gatewayTo(wire);
  const call = decodeAs(chat, { model, messages: [{ role: "user", content: "hi" }], ...more });
  await expect(at.gateway.call(at.requestOf(call))).rejects.toMatchObject({ status: 400, param });
  expect(at.engine.seen).toEqual([]);
});
