// Messages calls at engines that speak Messages, and calls of other APIs there: what passes as it came, what is written anew, and what is
// refused because it would change the price or the payer.
import { describe, expect, test } from "vitest";
import type { RegisteredEndpoint } from "../../../engines/index.ts";
import type { ModelCall } from "../../modelCall.ts";
import { chat } from "../chat/index.ts";
import { responses } from "../responses/index.ts";
import { gemini } from "../gemini/index.ts";
import { chatOf, decodeAs } from "../testing.ts";
import { messages } from "./index.ts";

const capabilities = { tokenize: false, kvEvents: false, speaks: ["messages"], media: ["image", "file"] };
const anthropic = (allowFields: string[] = []): RegisteredEndpoint =>
  ({
    name: "claude",
    kind: "anthropic",
    allowFields,
    facts: { models: [], capabilities },
  }) as unknown as RegisteredEndpoint;

const minimal = { model: "m", max_tokens: 50, messages: [{ role: "user", content: "hi" }] };
const fit = (body: object, headers: Record<string, string> = {}, allowFields: string[] = []): ModelCall => {
  const json = { ...minimal, ...body };
  const text = JSON.stringify(json);
  const call = messages.decode({
    route: messages.calls[0]!,
    model: undefined,
    path: "",
    query: new URLSearchParams(),
    headers,
    bytes: Buffer.from(text),
    json,
  });
  return call.fitted(anthropic(allowFields));
};

describe("a Messages call at Anthropic", () => {
  const everything = {
    ...minimal,
    system: [{ type: "text", text: "S", cache_control: { type: "ephemeral", ttl: "1h", scope: "global" } }],
    messages: [
      { role: "user", content: "hi" },
      { role: "system", content: "In the middle", output_config: { effort: "low" } },
      {
        role: "assistant",
        content: [
          { type: "thinking", thinking: "Hm.", signature: "sig" },
          { type: "server_tool_use", id: "s", name: "tool_search_tool_bm25", input: {} },
          { type: "tool_use", id: "t", name: "f", input: { n: 1 } },
        ],
      },
      {
        role: "user",
        content: [{ type: "tool_result", tool_use_id: "t", is_error: true, content: [{ type: "new_block", x: 1 }] }],
      },
    ],
    tools: [
      { name: "f", input_schema: { type: "object" }, defer_loading: true },
      { type: "bash_20250124", name: "bash" },
      { type: "tool_search_tool_bm25_20251119", name: "tool_search_tool_bm25" },
    ],
    context_management: { edits: [{ type: "compact_20260112" }] },
    a_field_of_next_year: { x: [1] },
    stop_sequences: ["END"],
  };

  test("leaves as it came, but for the model's name and the limit", () => {
    const call = fit(everything);
    const body = call.engineBody({ shape: "messages", model: "claude", outputTokens: 40, stream: true });
    expect(body).toEqual({ ...everything, model: "claude", max_tokens: 40, stream: true });
    // The very same values: a large one leaves as the bytes that it came as.
    for (const field of ["system", "messages", "tools", "context_management", "a_field_of_next_year"])
      expect(body[field]).toBe(call.received!.object[field]);
    expect(call.leftOut).toEqual([]);
  });

  test("a limit that the budget lowered lowers the budget of thought with it", () => {
    const thinking = { type: "enabled", budget_tokens: 8000 };
    const sent = (outputTokens: number) =>
      fit({ thinking, max_tokens: 10_000 }).engineBody({ shape: "messages", model: "c", outputTokens })["thinking"];
    expect(sent(10_000)).toEqual(thinking);
    expect(sent(5000)).toEqual({ type: "enabled", budget_tokens: 4999 });
    expect(sent(500)).toEqual({ type: "enabled", budget_tokens: 1024 });
  });

  test("media at any depth are brought in, and no address is left for Anthropic to fetch", () => {
    const image = { type: "image", source: { type: "url", url: "https://x/y.png" } };
    const document = { type: "document", source: { type: "content", content: [image] } };
    const result = { type: "tool_result", tool_use_id: "t", content: [document] };
    const call = fit({ messages: [{ role: "user", content: [{ type: "text", text: "t" }, result] }] });
    expect(call.media).toMatchObject([
      { kind: "image", url: "https://x/y.png", path: "messages[0].content[1].content[0].source.content[0].source" },
    ]);
    const brought = call.withMedia(call.media, new Map([["https://x/y.png", "data:image/png;base64,QQ=="]]));
    const sent = brought.fitted(anthropic()).engineBody({ shape: "messages", model: "c" });
    expect(JSON.stringify(sent)).toContain('{"type":"base64","media_type":"image/png","data":"QQ=="}');
    expect(JSON.stringify(sent)).not.toContain("https://x");
  });

  test("the bound of its prompt covers what chat has no word for", () => {
    const block = { type: "web_search_tool_result", tool_use_id: "s", content: "x".repeat(5000) };
    const history = [
      { role: "user", content: "hi" },
      { role: "assistant", content: [block] },
    ];
    expect(fit({ messages: history }).promptTokensMost).toBeGreaterThan(5000);
  });

  test.each<[object, string]>([
    [{ service_tier: "priority" }, "service_tier"],
    [{ speed: "fast" }, "speed"],
    [{ inference_geo: "us" }, "inference_geo"],
    [{ fallbacks: [{ model: "other" }] }, "fallbacks"],
    [{ fallbacks: "default" }, "fallbacks"],
    [{ fallback_credit_token: "t" }, "fallback_credit_token"],
    [{ billing_policy: { bill_to: "user_profile" } }, "billing_policy"],
    [{ user_profile_id: "u" }, "user_profile_id"],
    [{ workspace_id: "w" }, "workspace_id"],
    [{ container: "c" }, "container"],
    [{ thread: { type: "continue", previous_message_id: "msg" } }, "thread"],
    [{ skills: ["s"] }, "skills"],
    [{ mcp_servers: [{ url: "https://x" }] }, "mcp_servers"],
    [{ tools: [{ type: "web_search_20250305", name: "web_search" }] }, "tools[0].type"],
    [{ tools: [{ type: "web_fetch_20250910", name: "web_fetch" }] }, "tools[0].type"],
    [{ tools: [{ type: "code_execution_20250825", name: "code_execution" }] }, "tools[0].type"],
    [{ tools: [{ type: "mcp_toolset", mcp_server_name: "x" }] }, "tools[0].type"],
    [{ tools: [{ type: "advisor_20260301", name: "advisor" }] }, "tools[0].type"],
    [
      { messages: [{ role: "user", content: [{ type: "container_upload", file_id: "f" }] }] },
      "messages[0].content[0].file_id",
    ],
    [
      {
        messages: [
          {
            role: "user",
            content: [
              {
                type: "tool_result",
                tool_use_id: "t",
                content: [{ type: "image", source: { type: "file", file_id: "f" } }],
              },
            ],
          },
        ],
      },
      "messages[0].content[0].content[0].source.file_id",
    ],
  ])("%j is refused by name", (body, param) => {
    expect(() => fit(body)).toThrow(expect.objectContaining({ code: "unsupported_parameter", param }));
  });

  test.each([
    ["anthropic-beta", "context-1m, fast-mode-2026-02-01"],
    ["anthropic-workspace-id", "wrkspc_1"],
    ["anthropic-organization-id", "org_1"],
    ["anthropic-user-profile-id", "u"],
  ])("the header %s: %s is refused by name", (name, value) => {
    expect(() => fit({}, { [name]: value })).toThrow(expect.objectContaining({ param: name }));
  });

  test("other betas pass, and an owner may allow a field whose price is known", () => {
    expect(fit({}, { "anthropic-beta": "a-beta-of-next-year" }).headers).toEqual([
      ["anthropic-beta", "a-beta-of-next-year"],
    ]);
    const body = { speed: "fast", service_tier: "auto", mcp_servers: [] };
    expect(fit(body, {}, ["speed"]).engineBody({ shape: "messages", model: "c" })).toMatchObject(body);
    expect(() => fit({ workspace_id: "w" }, {}, ["workspace_id"])).toThrow();
  });
});

describe("calls of other APIs at Anthropic", () => {
  const sent = (call: ModelCall) =>
    call.fitted(anthropic()).engineBody({ shape: "messages", model: "c", outputTokens: 9 });

  test("a chat completion is written in Anthropic's words, with its marks and the proof of its thought", () => {
    const first = {
      index: 0,
      finish: "tool_calls",
      blocks: [
        { kind: "reasoning" as const, text: "Hm.", proof: { origin: "anthropic" as const, signature: "sig" } },
        { kind: "tool_call" as const, id: "t", name: "f", arguments: "{}" },
      ],
      reasoning: "Hm.",
      toolCalls: [{ index: 0, id: "t", name: "f", arguments: "{}" }],
    };
    const told = { call: chatOf({}), id: "call_1", createdMs: 7000 };
    const wire = { shape: "messages" as const, data: { type: "message" }, text: undefined };
    const answer = JSON.parse(chat.whole({ deltas: [first], wire }, told)) as { choices: { message: object }[] };
    expect(answer).toMatchObject({ id: "chatcmpl-1", object: "chat.completion", created: 7, model: "m" });
    const encode = chat.events(told);
    const pieces = [
      { index: 0, reasoning: "H" },
      { index: 0, reasoning: "m." },
      { index: 0, proof: { origin: "anthropic" as const, signature: "sig" } },
    ];
    const streamed = pieces.map((delta) => encode({ deltas: [delta], wire })).join("");
    expect(encode({ deltas: [], wire })).toBe("");
    const whole = JSON.stringify(answer).match(/"data":"(ls1\.[^"]+)"/)![1]!;
    expect(streamed).toContain(whole);

    const body = sent(
      chatOf({
        messages: [
          { role: "system", content: [{ type: "text", text: "S", cache_control: { type: "ephemeral" } }] },
          { role: "user", content: "hi" },
          answer.choices[0]!.message,
          { role: "tool", tool_call_id: "t", content: "r" },
        ],
        tools: [{ type: "function", function: { name: "f" } }],
        user: "a label",
        max_tokens: 9,
      }),
    );
    expect(body).toEqual({
      model: "c",
      max_tokens: 9,
      system: [{ type: "text", text: "S", cache_control: { type: "ephemeral" } }],
      messages: [
        { role: "user", content: [{ type: "text", text: "hi" }] },
        {
          role: "assistant",
          content: [
            { type: "thinking", thinking: "Hm.", signature: "sig" },
            { type: "tool_use", id: "t", name: "f", input: {} },
          ],
        },
        { role: "user", content: [{ type: "tool_result", tool_use_id: "t", content: [{ type: "text", text: "r" }] }] },
      ],
      tools: [{ name: "f", input_schema: { type: "object", properties: {} } }],
    });
  });

  test("what asks for nothing is left out and said; anything else is refused by the client's name", () => {
    const call = chatOf({ messages: [{ role: "user", content: "hi" }], user: "u", logit_bias: {} });
    expect(call.fitted(anthropic()).leftOut).toEqual(["user", "logit_bias"]);
    expect(() => chatOf({ logit_bias: { 1: 2 } }).fitted(anthropic())).toThrow(
      expect.objectContaining({ param: "logit_bias" }),
    );
    expect(() => chatOf({ seed: 1 }).fitted(anthropic())).toThrow(expect.objectContaining({ param: "seed" }));
    expect(() => decodeAs(responses, { model: "m", input: "hi", a_field: 1 }).fitted(anthropic())).toThrow(
      expect.objectContaining({ param: "a_field" }),
    );
  });

  test("a Responses call keeps its breakpoints", () => {
    const part = { type: "input_text", text: "long", prompt_cache_breakpoint: { mode: "explicit", ttl: "1h" } };
    const body = sent(
      decodeAs(responses, { model: "m", instructions: "S", input: [{ role: "user", content: [part] }] }),
    );
    expect(body).toMatchObject({
      system: [{ type: "text", text: "S" }],
      messages: [
        { role: "user", content: [{ type: "text", text: "long", cache_control: { type: "ephemeral", ttl: "1h" } }] },
      ],
    });
  });

  test("media of a Responses call are fetched before they are written", () => {
    const image = { type: "input_image", image_url: "https://x/y.png" };
    const call = decodeAs(responses, { model: "m", input: [{ role: "user", content: [image] }] });
    const { media } = call.fitted(anthropic());
    expect(media).toMatchObject([{ kind: "image", url: "https://x/y.png" }]);
    const brought = call.withMedia(media, new Map([["https://x/y.png", "data:image/png;base64,QQ=="]]));
    expect(JSON.stringify(sent(brought))).toContain('"data":"QQ=="');
  });

  test("a Gemini call is written straight, with no chat between", () => {
    const json = { contents: [{ role: "user", parts: [{ text: "hi" }] }], generationConfig: { topK: 3 } };
    const text = JSON.stringify(json);
    const call = gemini.decode({
      route: gemini.calls[0]!,
      model: "m",
      path: "",
      query: new URLSearchParams(),
      headers: {},
      bytes: Buffer.from(text),
      json,
    });
    expect(sent(call)).toEqual({
      model: "c",
      max_tokens: 9,
      messages: [{ role: "user", content: [{ type: "text", text: "hi" }] }],
      top_k: 3,
    });
  });
});
