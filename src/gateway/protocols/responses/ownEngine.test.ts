// Responses calls at engines that speak Responses: what is put in, what is left out, and what is refused because it would change the price
// or which stored things are read. That all else leaves as it came is tested over recorded calls (test/conformance/ownEngines.test.ts).
import { describe, expect, test } from "vitest";
import type { RegisteredEndpoint } from "../../../engines/index.ts";
import type { ModelCall } from "../../modelCall.ts";
import { writeEnvelope } from "../proof.ts";
import type { ReceivedRequest } from "../types.ts";
import { responses } from "./index.ts";

type Json = Record<string, unknown>;

const openai = (allowFields: string[] = []): RegisteredEndpoint =>
  ({
    name: "gpt",
    kind: "responses",
    allowFields,
    facts: {
      models: [],
      capabilities: { tokenize: false, kvEvents: false, speaks: ["responses"], media: ["image", "file"] },
    },
  }) as unknown as RegisteredEndpoint;

function fit(body: object, state?: ReceivedRequest["state"], allowFields: string[] = []): ModelCall {
  const json = { model: "m", input: "hi", ...body };
  const text = JSON.stringify(json);
  const call = responses.decode({
    route: responses.calls[0]!,
    model: undefined,
    path: "",
    query: new URLSearchParams(),
    headers: {},
    bytes: Buffer.from(text),
    json,
    ...(state && { state }),
  });
  return call.fitted(openai(allowFields));
}

const sent = (call: ModelCall, model = "gpt-6"): Json =>
  call.engineBody({ shape: "responses", model, outputTokens: 40, stream: call.stream });

const functionTool = { type: "function", name: "f", parameters: {} };

test("the engine is asked to keep nothing, whatever the client wants", () => {
  expect(
    sent(fit({ store: true, conversation: "conv_1" }, { keeps: true, earlier: { items: [], references: new Map() } })),
  ).toEqual({
    model: "gpt-6",
    input: [{ type: "message", role: "user", content: "hi" }],
    store: false,
    max_output_tokens: 40,
    include: ["reasoning.encrypted_content"],
  });
});

describe("stored state", () => {
  const thought = { type: "reasoning", id: "rs_1", summary: [], encrypted_content: "sealed" };
  const earlier = {
    items: [
      { type: "message", id: "msg_1", role: "user", content: [{ type: "input_text", text: "one" }] },
      thought,
      { type: "function_call", id: "fc_1", call_id: "c", name: "f", arguments: "{}" },
    ],
    references: new Map<string, Json>(),
  };

  test("is put into the input: only the id of a thought is the engine's", () => {
    const call = fit(
      { previous_response_id: "resp_1", input: [{ type: "function_call_output", call_id: "c", output: "2" }] },
      { keeps: true, earlier },
    );
    const body = sent(call);
    expect(body["input"]).toEqual([
      { type: "message", role: "user", content: [{ type: "input_text", text: "one" }] },
      thought,
      { type: "function_call", call_id: "c", name: "f", arguments: "{}" },
      { type: "function_call_output", call_id: "c", output: "2" },
    ]);
    expect(body).not.toHaveProperty("previous_response_id");
  });

  test("that will be needed asks models that think for their encrypted thought, and no others", () => {
    const include = (body: object, model: string, keeps: boolean) => sent(fit(body, { keeps }), model)["include"];
    expect(include({}, "gpt-6", true)).toEqual(["reasoning.encrypted_content"]);
    expect(include({ include: ["message.input_image.image_url"] }, "o4-mini", true)).toEqual([
      "message.input_image.image_url",
      "reasoning.encrypted_content",
    ]);
    expect(include({}, "gpt-4o", true)).toBeUndefined();
    expect(include({ reasoning: { effort: "low" } }, "their-own", true)).toEqual(["reasoning.encrypted_content"]);
    expect(include({ store: false }, "gpt-6", true)).toBeUndefined();
  });
});

describe("thought of earlier turns", () => {
  const input = (...items: Json[]): unknown =>
    sent(fit({ input: [...items, { role: "user", content: "hi" }] }))["input"];
  const user = { role: "user", content: "hi" };

  test("of this API goes back as it was, also where another answer of Lineshaft's sealed it", () => {
    const own = { type: "reasoning", id: "rs_1", summary: [], encrypted_content: "sealed" };
    expect(input(own)).toEqual([own, user]);
    const envelope = writeEnvelope({ proof: { origin: "openai", encrypted: "sealed", id: "rs_1" } });
    expect(input({ ...own, id: "rs_ours", encrypted_content: envelope })).toEqual([own, user]);
  });

  test("of another model is left out, because the engine would refuse it", () => {
    const envelope = writeEnvelope({ proof: { origin: "anthropic", signature: "s" }, text: "Hm." });
    expect(input({ type: "reasoning", summary: [], encrypted_content: envelope })).toEqual([user]);
    expect(input({ type: "reasoning", summary: [{ type: "summary_text", text: "Hm." }] })).toEqual([user]);
  });

  test("in a summary of Lineshaft's own is told as an instruction", () => {
    const sealed = { type: "compaction", encrypted_content: writeEnvelope({ summary: "S" }) };
    expect(input(sealed)).toMatchObject([
      { role: "developer", content: [{ text: expect.stringContaining("S") }] },
      user,
    ]);
    const theirs = { type: "compaction", encrypted_content: "opaque" };
    expect(input(theirs)).toEqual([theirs, user]);
  });
});

test("tools that the provider bills by their number are left out and said so; the client's own stay", () => {
  const shell = { type: "shell", environment: { type: "local" } };
  const hosted = { type: "shell", environment: { type: "container_auto" } };
  const call = fit({
    tools: [functionTool, { type: "web_search" }, shell, hosted, { type: "mcp", server_url: "https://x" }],
  });
  expect(sent(call)["tools"]).toEqual([functionTool, shell]);
  expect(call.leftOut).toEqual(["tools[1].web_search", "tools[3].shell", "tools[4].mcp"]);
});

test.each<[object, string]>([
  [{ service_tier: "priority" }, "service_tier"],
  [{ prompt: { id: "pmpt_1" } }, "prompt"],
  [{ tools: [{ type: "web_search" }], tool_choice: { type: "web_search" } }, "tool_choice"],
  [{ tools: [{ type: "web_search" }], tool_choice: "required" }, "tools[0].type"],
  [{ input: [{ type: "item_reference", id: "x" }] }, "input[0]"],
  [
    { input: [{ role: "user", content: [{ type: "input_audio", input_audio: { data: "AA", format: "wav" } }] }] },
    "input[0]",
  ],
])("refused: %j", (body, param) => {
  expect(() => fit(body)).toThrow(expect.objectContaining({ param: expect.stringContaining(param) }));
});

test("an owner may allow another service tier", () => {
  expect(sent(fit({ service_tier: "flex" }, undefined, ["service_tier"]))["service_tier"]).toBe("flex");
});

test("media are brought in, and no address is left for the engine to fetch", () => {
  const content = [
    { type: "input_image", image_url: "https://x/y.png", detail: "low" },
    { type: "input_file", file_url: "https://x/z.pdf" },
  ];
  const output = [{ type: "input_image", image_url: "https://x/y.png" }];
  const call = fit({
    input: [
      { role: "user", content },
      { type: "function_call", call_id: "c", name: "f", arguments: "{}" },
      { type: "function_call_output", call_id: "c", output },
    ],
  });
  expect(call.media.map(({ url }) => url)).toEqual(["https://x/y.png", "https://x/z.pdf", "https://x/y.png"]);
  const data = new Map([
    ["https://x/y.png", "data:image/png;base64,QQ=="],
    ["https://x/z.pdf", "data:application/pdf;base64,QQ=="],
  ]);
  const body = JSON.stringify(sent(call.withMedia(call.media, data).fitted(openai())));
  expect(body).not.toContain("https://x");
  expect(body).toContain('"image_url":"data:image/png;base64,QQ==","detail":"low"');
  expect(body).toContain('"file_data":"data:application/pdf;base64,QQ=="');
});

test("the bound of its prompt covers what chat has no word for", () => {
  const item = { type: "web_search_call", id: "ws", action: { query: "x".repeat(5000) } };
  expect(fit({ input: [item, { role: "user", content: "hi" }] }).promptTokensMost).toBeGreaterThan(5000);
});
