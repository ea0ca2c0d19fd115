import { describe, expect, test } from "vitest";
import { LineshaftError } from "../../../errors/index.ts";
import type { AnswerDelta, RegisteredEndpoint, Shape } from "../../../engines/index.ts";
import { routeOf } from "../registry.ts";
import { protocolSuite, type Read } from "../suite.ts";
import type { ModelCall } from "../../modelCall.ts";
import { decodeAs } from "../testing.ts";
import type { Told } from "../types.ts";
import { messages } from "./index.ts";

/** The messages of a call, which are read by a getter of its prompt. */
const saidIn = ({ prompt }: ModelCall) => prompt.kind === "messages" && prompt.messages;

type Json = Record<string, any>;

const usageOf = (usage: Json): Read["usage"] => ({
  promptTokens: usage.input_tokens + usage.cache_read_input_tokens + usage.cache_creation_input_tokens,
  cachedTokens: usage.cache_read_input_tokens,
  outputTokens: usage.output_tokens,
});

const finishes: Record<string, string> = { end_turn: "stop", tool_use: "tool_calls", max_tokens: "length" };

/** What a client makes of a message: the SDK's accumulated snapshot or a whole body. */
function readMessage({ content, stop_reason, usage }: Json): Read {
  return {
    text: content.map((block: Json) => block.text ?? "").join(""),
    toolCalls: content
      .filter((block: Json) => block.type === "tool_use")
      .map(({ id, name, input }: Json) => ({ id, name, arguments: JSON.stringify(input) })),
    finish: finishes[stop_reason] ?? stop_reason,
    usage: usageOf(usage),
  };
}

interface Event {
  name: string;
  data: Json;
}

const eventsIn = (text: string): Event[] =>
  text
    .split("\n\n")
    .filter((block) => block.startsWith("event: "))
    .map((block) => {
      const [first, second] = block.split("\n");
      return { name: first!.slice(7), data: JSON.parse(second!.slice(6)) as Json };
    });

/** Accumulates a stream as Anthropic's SDK does, and refuses what it would refuse: a delta of a block that is not the open one. */
function accumulated(text: string): Json {
  let message: Json | undefined;
  let open: number | undefined;
  let signed = false;
  const inputs: string[] = [];
  for (const { name, data } of eventsIn(text)) {
    expect(data.type).toBe(name);
    if (name === "error") throw new Error(data.error.message);
    if (name === "message_start") message = structuredClone(data.message);
    if (name === "content_block_start") {
      expect(open).toBeUndefined();
      expect(data.index).toBe(message!.content.length);
      open = data.index;
      signed = false;
      message!.content.push(structuredClone(data.content_block));
      inputs.push("");
    }
    if (name === "content_block_delta") {
      expect(data.index).toBe(open);
      const block = message!.content[open!];
      if (data.delta.type === "text_delta") block.text += data.delta.text;
      if (data.delta.type === "thinking_delta") block.thinking += data.delta.thinking;
      if (data.delta.type === "signature_delta") block.signature = data.delta.signature;
      signed ||= data.delta.type === "signature_delta";
      if (data.delta.type === "input_json_delta") inputs[open!] += data.delta.partial_json;
    }
    if (name === "content_block_stop") {
      expect(data.index).toBe(open);
      // A thought ends with its signature, also where that is empty.
      expect(signed).toBe(message!.content[open!].type === "thinking");
      if (inputs[open!] !== "") message!.content[open!].input = JSON.parse(inputs[open!]!);
      open = undefined;
    }
    if (name === "message_delta") {
      Object.assign(message!, data.delta);
      message!.usage = { ...message!.usage, ...data.usage };
    }
    if (name === "message_stop") message!.ended = true;
  }
  expect(open).toBeUndefined();
  return message!;
}

const minimal = { model: "m", max_tokens: 20, messages: [{ role: "user", content: "hi" }] };
const schema = { type: "object", properties: { a: { type: "number" } } };
const ownWhole = {
  id: "msg_1",
  type: "message",
  role: "assistant",
  model: "claude",
  content: [{ type: "text", text: "Hello" }],
  stop_reason: "end_turn",
  stop_sequence: null,
  usage: { input_tokens: 4, cache_creation_input_tokens: 0, cache_read_input_tokens: 8, output_tokens: 3 },
};
const own = (data: Json) => ({ shape: "messages" as const, data, text: JSON.stringify(data) });
const ownEvents = [
  { type: "message_start", message: { ...ownWhole, content: [], stop_reason: null } },
  { type: "content_block_start", index: 0, content_block: { type: "text", text: "" } },
  { type: "content_block_delta", index: 0, delta: { type: "text_delta", text: "Hello" } },
  { type: "content_block_stop", index: 0 },
  { type: "message_delta", delta: { stop_reason: "end_turn", stop_sequence: null }, usage: ownWhole.usage },
];

protocolSuite({
  protocol: messages,
  translated: true,
  minimal,
  maximal: {
    model: "m",
    max_tokens: 30,
    stream: true,
    system: [{ type: "text", text: "Be brief.", cache_control: { type: "ephemeral", ttl: "1h" } }],
    messages: [
      { role: "user", content: [{ type: "text", text: "Look", cache_control: { type: "ephemeral" } }] },
      {
        role: "assistant",
        content: [
          { type: "thinking", thinking: "Hm", signature: "sig" },
          { type: "redacted_thinking", data: "hidden" },
          { type: "text", text: "I look." },
          { type: "tool_use", id: "toolu_1", name: "f", input: { a: 1 } },
        ],
      },
      {
        role: "user",
        content: [
          {
            type: "tool_result",
            tool_use_id: "toolu_1",
            is_error: true,
            content: [
              { type: "text", text: "no" },
              { type: "image", source: { type: "base64", media_type: "image/png", data: "AA==" } },
            ],
          },
        ],
      },
      { role: "system", content: "Go on.", output_config: { effort: "low" } },
    ],
    temperature: 0.5,
    top_p: 0.9,
    top_k: 5,
    stop_sequences: ["X"],
    tools: [{ name: "f", description: "d", input_schema: schema, strict: true, cache_control: { type: "ephemeral" } }],
    tool_choice: { type: "tool", name: "f", disable_parallel_tool_use: true },
    thinking: { type: "enabled", budget_tokens: 10, display: "omitted" },
    output_config: { effort: "high", format: { type: "json_schema", schema } },
    metadata: { user_id: "u" },
  },
  decoded: {
    model: "m",
    stream: true,
    prompt: {
      kind: "messages",
      messages: [
        { role: "system", parts: [{ kind: "text", text: "Be brief.", mark: { ttlSeconds: 3600 } }] },
        { role: "user", parts: [{ kind: "text", text: "Look", mark: {} }] },
        {
          role: "assistant",
          parts: [
            { kind: "reasoning", text: "Hm", proof: { origin: "anthropic", signature: "sig" } },
            { kind: "reasoning", text: "", proof: { origin: "anthropic", encrypted: "hidden" } },
            { kind: "text", text: "I look." },
            { kind: "tool_call", id: "toolu_1", name: "f", arguments: '{"a":1}' },
          ],
        },
        {
          role: "user",
          parts: [
            {
              kind: "tool_result",
              id: "toolu_1",
              isError: true,
              parts: [
                { kind: "text", text: "no" },
                { kind: "image", url: "data:image/png;base64,AA==" },
              ],
            },
          ],
        },
        { role: "system", parts: [{ kind: "text", text: "Go on." }] },
      ],
    },
    tools: [{ name: "f", description: "d", parameters: schema, strict: true, mark: {} }],
    toolChoice: { name: "f" },
    parallelTools: false,
    format: { kind: "schema", schema, strict: true },
    sampling: { temperature: 0.5, topP: 0.9, topK: 5, stop: ["X"] },
    thinking: { asked: true, tokensBeside: 0, effort: "high", budgetTokens: 10, show: "omitted" },
    extensions: { metadata: { user_id: "u" } },
    leftOut: [],
  },
  refused: [
    [{ max_tokens: 1, messages: minimal.messages }, "model"],
    [{ model: "m", messages: minimal.messages }, "max_tokens"],
    [{ model: "m", max_tokens: 1, messages: [] }, "messages"],
    [{ ...minimal, max_tokens: 0 }, "max_tokens"],
    [{ ...minimal, temperature: 1.5 }, "temperature"],
    [{ ...minimal, messages: [{ role: "tool", content: "x" }] }, "messages[0].role"],
    [{ ...minimal, tool_choice: { type: "any" } }, "tool_choice"],
    [
      { ...minimal, tools: [{ name: "f", input_schema: schema }], tool_choice: { type: "tool", name: "g" } },
      "tool_choice.name",
    ],
  ],
  unknown: { fields: ["model", "messages", "max_tokens", "stream"], body: { ...minimal, top_k: 4 }, param: "top_k" },
  streaming: (body) => ({ ...body, stream: true }),
  calls: true,
  wire: { whole: own(ownWhole), chunks: ownEvents.map(own) },
  readWhole: (body) => readMessage(JSON.parse(body)),
  readStream: (text) => {
    const message = accumulated(text);
    return { ...readMessage(message), ended: message.ended === true };
  },
  readError: (body) => {
    const { type, error } = JSON.parse(body);
    expect(type).toBe("error");
    return error;
  },
  errorTypes: {
    invalid: "invalid_request_error",
    unauthenticated: "authentication_error",
    busy: "rate_limit_error",
    failed: "api_error",
  },
});

const told = (body: Json = {}): Told => ({
  call: decodeAs(messages, { ...minimal, ...body }),
  id: "call_9",
  createdMs: 0,
});
const wire = { shape: "chat" as Shape, data: {}, text: "{}" };
const streamed = (deltas: Omit<AnswerDelta, "index">[], of = told()): Json => {
  const encode = messages.events(of);
  return accumulated(
    [...deltas.map((delta) => encode({ deltas: [{ index: 0, ...delta }], wire })), encode(undefined)].join(""),
  );
};
const whole = (delta: Omit<AnswerDelta, "index">, of = told()): Json =>
  JSON.parse(messages.whole({ deltas: [{ index: 0, ...delta }], wire }, of));

const endpoint = (capabilities: object): RegisteredEndpoint =>
  ({
    name: "m",
    kind: "openai",
    allowFields: [],
    facts: { models: ["m"], capabilities },
  }) as unknown as RegisteredEndpoint;
const chatOf = (body: Json, capabilities: object = {}): Json =>
  decodeAs(messages, { ...minimal, ...body })
    .fitted(endpoint(capabilities))
    .engineBody({ shape: "chat", model: "theirs" });

describe("blocks", () => {
  test("text, calls and text keep their order, and each block is closed before the next one opens", () => {
    const { content, stop_reason } = streamed([
      { text: "A" },
      { toolCalls: [{ index: 0, id: "t0", name: "f", arguments: '{"a":' }] },
      { toolCalls: [{ index: 0, arguments: "1}" }] },
      { text: "B" },
      { finish: "stop" },
    ]);
    expect(content).toEqual([
      { type: "text", text: "A", citations: null },
      { type: "tool_use", id: "t0", name: "f", input: { a: 1 }, caller: { type: "direct" } },
      { type: "text", text: "B", citations: null },
    ]);
    expect(stop_reason).toBe("tool_use");
  });

  test("calls that an engine writes in turns come one after the other", () => {
    const { content } = streamed([
      { toolCalls: [{ index: 0, id: "t0", name: "f", arguments: '{"a"' }] },
      { toolCalls: [{ index: 1, id: "t1", name: "g", arguments: '{"b"' }] },
      { toolCalls: [{ index: 0, arguments: ":1}" }] },
      { toolCalls: [{ index: 1, arguments: ":2}" }] },
      { finish: "tool_calls" },
    ]);
    expect(content.map(({ id, input }: Json) => [id, input])).toEqual([
      ["t0", { a: 1 }],
      ["t1", { b: 2 }],
    ]);
  });

  test("thought is told to a client that asked for it, and its text not to one that wants it omitted", () => {
    const deltas = [{ reasoning: "Hm" }, { text: "A" }, { finish: "stop" }];
    expect(streamed(deltas).content).toHaveLength(1);
    const thinking = { type: "adaptive" };
    expect(streamed(deltas, told({ thinking })).content[0]).toEqual({
      type: "thinking",
      thinking: "Hm",
      signature: "",
    });
    expect(streamed(deltas, told({ thinking: { ...thinking, display: "omitted" } })).content).toHaveLength(1);
    expect(whole({ reasoning: "Hm", text: "A" }, told({ thinking })).content).toHaveLength(2);
  });

  test("Anthropic's proof comes verbatim, another origin's in an envelope that is taken out again", () => {
    const thinking = { type: "adaptive" };
    for (const proof of [
      { origin: "anthropic" as const, signature: "sig" },
      { origin: "anthropic" as const, encrypted: "hidden" },
      { origin: "openai" as const, encrypted: "theirs", id: "rs_1" },
    ]) {
      const of = told({ thinking });
      const { content } = streamed([{ reasoning: proof.encrypted ? "" : "Hm" }, { proof }, { text: "A" }], of);
      expect(whole({ ...(!proof.encrypted && { reasoning: "Hm" }), proof, text: "A" }, of).content).toEqual(content);
      const back = decodeAs(messages, { ...minimal, messages: [{ role: "assistant", content }] });
      expect(saidIn(back)).toMatchObject([{ parts: [{ kind: "reasoning", proof }, { kind: "text" }] }]);
    }
    const hidden = told({ thinking: { ...thinking, display: "omitted" } });
    const proof = { origin: "gemini" as const, signature: "theirs" };
    const [block] = streamed([{ reasoning: "Hm" }, { proof }], hidden).content;
    expect(block.thinking).toBe("");
    expect(whole({ reasoning: "Hm", proof }, hidden).content).toEqual([block]);
    const one = decodeAs(messages, { ...minimal, messages: [{ role: "assistant", content: [block] }] });
    expect(saidIn(one)).toMatchObject([{ parts: [{ kind: "reasoning", text: "Hm", proof }] }]);
    const forged = `ls1.${Buffer.from('{"origin":"x"}').toString("base64url")}`;
    const content = [{ type: "thinking", thinking: "Hm", signature: forged }];
    expect(saidIn(decodeAs(messages, { ...minimal, messages: [{ role: "assistant", content }] }))).toEqual([
      { role: "assistant", parts: [{ kind: "reasoning", text: "Hm" }] },
    ]);
  });

  test("the uncached part of a prompt is told apart from what was read and written", () => {
    const usage = {
      promptTokens: 100,
      cachedTokens: 60,
      cacheWriteTokens: 10,
      cacheWriteLongTokens: 5,
      outputTokens: 7,
      reasoningTokens: 3,
      source: "engine" as const,
    };
    const { usage: said } = JSON.parse(messages.whole({ deltas: [{ index: 0, text: "A" }], wire, usage }, told()));
    expect(said).toEqual({
      input_tokens: 25,
      cache_read_input_tokens: 60,
      cache_creation_input_tokens: 15,
      cache_creation: { ephemeral_5m_input_tokens: 10, ephemeral_1h_input_tokens: 5 },
      output_tokens: 7,
      inference_geo: null,
      server_tool_use: null,
      service_tier: null,
      output_tokens_details: { thinking_tokens: 3 },
    });
  });

  test("a stream of Anthropic's own that the gateway ends is closed where it stands", () => {
    const encode = messages.events(told());
    const begun = ownEvents.slice(0, 3).map((data) => encode({ deltas: [], wire: own(data) }));
    const ended = encode({ deltas: [{ index: 0, finish: "length" }], wire: own({}), altered: true });
    const message = accumulated([...begun, ended, encode(undefined)].join(""));
    expect(message).toMatchObject({ content: [{ text: "Hello" }], stop_reason: "max_tokens", ended: true });
  });

  test("arguments that are no JSON object are kept under one name", () => {
    const toolCalls = [{ index: 0, id: "t", name: "f", arguments: "[1]" }];
    expect(whole({ toolCalls, finish: "tool_calls" }).content[0].input).toEqual({ raw_arguments: "[1]" });
  });
});

describe("asked of a chat engine", () => {
  test("instructions in the middle stay where they are, results follow their calls, and their media come after them", () => {
    const image = { type: "image", source: { type: "base64", media_type: "image/png", data: "AA==" } };
    const body = chatOf({
      system: "S",
      messages: [
        { role: "user", content: "Look" },
        { role: "system", content: "Middle" },
        { role: "assistant", content: [{ type: "tool_use", id: "t", name: "f", input: {} }] },
        {
          role: "user",
          content: [{ type: "tool_result", tool_use_id: "t", content: [{ type: "text", text: "r" }, image] }],
        },
      ],
    });
    expect(body.messages.map(({ role }: Json) => role)).toEqual(["system", "user", "assistant", "tool", "user"]);
    expect(JSON.stringify(body.messages.at(-1))).toContain("data:image/png;base64,AA==");
    expect(JSON.stringify(body.messages)).toContain("Middle");
  });

  test("marks go to engines that read them and are a hint to all others", () => {
    const marked = { system: [{ type: "text", text: "S", cache_control: { type: "ephemeral", ttl: "1h" } }] };
    expect(JSON.stringify(chatOf(marked, { fields: ["model", "messages", "max_tokens"] }))).not.toContain(
      "cache_control",
    );
    const body = chatOf(marked, { fields: ["model", "messages", "max_tokens", "cache_control"] });
    expect(body.messages[0].content[0].cache_control).toEqual({ type: "ephemeral", ttl: "1h" });
  });

  test("server tools are left out and said, unless the client insists on one", () => {
    const tools = [{ type: "web_search_20250305", name: "web_search" }];
    expect(chatOf({ tools })["tools"]).toBeUndefined();
    expect(decodeAs(messages, { ...minimal, tools }).leftOut).toEqual(["tools[0].web_search_20250305"]);
    expect(() => chatOf({ tools, tool_choice: { type: "tool", name: "web_search" } })).toThrow(
      expect.objectContaining({ param: "tool_choice.name" }),
    );
  });

  test.each([
    [{ mcp_servers: [{ url: "https://x" }] }, "mcp_servers"],
    [{ service_tier: "priority" }, "service_tier"],
    [{ container: "c" }, "container"],
    [{ context_management: { edits: [{ type: "compact_20260112" }] } }, "context_management"],
    [{ tools: [{ type: "bash_20250124", name: "bash" }] }, "tools[0].type"],
    [
      { messages: [{ role: "user", content: [{ type: "container_upload", file_id: "f" }] }] },
      "messages[0].content[0].type",
    ],
    [
      { messages: [{ role: "user", content: [{ type: "image", source: { type: "file", file_id: "f" } }] }] },
      "messages[0].content[0].source.file_id",
    ],
  ])("%j is refused by the client's own name", (body, param) => {
    expect(() => chatOf(body)).toThrow(expect.objectContaining({ code: "unsupported_parameter", param }));
  });

  test("a medium that the engine does not read is refused at its place in the client's body", () => {
    const image = { type: "image", source: { type: "url", url: "https://x/y.png" } };
    const inResult = { type: "tool_result", tool_use_id: "t", content: [{ type: "text", text: "r" }, image] };
    const body = { system: "S", messages: [{ role: "user", content: [inResult] }] };
    expect(() => chatOf(body, { media: [] })).toThrow(
      expect.objectContaining({ code: "media_not_read", param: "messages[0].content[0].content[1]" }),
    );
    const fitted = decodeAs(messages, { ...minimal, ...body }).fitted(endpoint({ media: ["image"] }));
    expect(fitted.media).toMatchObject([
      { kind: "image", url: "https://x/y.png", path: "messages[0].content[0].content[1].source" },
    ]);
    const data = "data:image/png;base64,iVBORw0KGgo=";
    const brought = fitted.withMedia(fitted.media, new Map([["https://x/y.png", data]]));
    const sent = JSON.stringify(
      brought.fitted(endpoint({ media: ["image"] })).engineBody({ shape: "chat", model: "m" }),
    );
    expect(sent).toContain(data);
    expect(sent).not.toContain("https://x");
  });

  test("the names of long tools come back as the client wrote them", () => {
    const name = `mcp__${"x".repeat(90)}`;
    const body = { tools: [{ name, input_schema: schema }] };
    const { name: sent } = chatOf(body).tools[0].function;
    expect(sent.length).toBeLessThanOrEqual(64);
    const toolCalls = [{ index: 0, id: "t", name: sent, arguments: "{}" }];
    expect(whole({ toolCalls }, told(body)).content[0].name).toBe(name);
    expect(streamed([{ toolCalls }], told(body)).content[0].name).toBe(name);
  });
});

describe("at the edge", () => {
  test("the header says in which shape models are listed", () => {
    const headers = { "anthropic-version": "2023-06-01" };
    expect(routeOf("GET", "/v1/models", headers)?.protocol.name).toBe("messages");
    expect(routeOf("GET", "/v1/models/org/m:tag", headers)).toMatchObject({ names: { model: "org/m:tag" } });
    expect(routeOf("GET", "/v1/models", {})?.protocol.name).toBe("chat");
  });

  test("headers of Anthropic's API are kept, and no others", () => {
    const headers = {
      "anthropic-beta": "a,b",
      "anthropic-version": "1",
      "x-api-key": "k",
      authorization: "k",
      cookie: "c",
    };
    const json = minimal;
    const text = JSON.stringify(json);
    const [route] = messages.calls;
    const call = messages.decode({
      route: route!,
      model: undefined,
      path: "",
      query: new URLSearchParams(),
      headers,
      bytes: Buffer.from(text),
      json,
    });
    expect(call.headers).toEqual([
      ["anthropic-beta", "a,b"],
      ["anthropic-version", "1"],
    ]);
  });

  test.each([
    ["budget_exceeded", 400, "billing_error"],
    ["budget_held", 529, "overloaded_error"],
    ["no_endpoint", 529, "overloaded_error"],
    ["queue_full", 429, "rate_limit_error"],
    ["context_length_exceeded", 400, "invalid_request_error"],
  ])("%s is answered with %i and %s", (code, status, type) => {
    const failure = new LineshaftError({ code, message: "It is so." });
    expect(messages.statusOf!(failure)).toBe(status);
    expect(JSON.parse(messages.error(failure, "body", { requestId: "req_1" }))).toMatchObject({
      type: "error",
      error: { type },
      request_id: "req_1",
    });
  });

  test.each([
    ["This model's maximum context length is 16 tokens. You requested 20 tokens.", "20 tokens > 16 maximum"],
    [
      "the request exceeds the available context size (8,192 tokens), it has 9,001 tokens",
      "9001 tokens > 8192 maximum",
    ],
    ["prompt is too long: 9 tokens > 8 maximum", "9 tokens > 8 maximum"],
    ["It is longer than the context.", "It is longer than the context."],
  ])("a prompt that is too long is told in the words that Claude Code knows: %s", (message, expected) => {
    const failure = new LineshaftError({ code: "context_length_exceeded", message });
    const { error } = JSON.parse(messages.error(failure, "body") as string) as { error: { message: string } };
    expect(error.message.startsWith(`prompt is too long: ${expected}`)).toBe(true);
  });
});

test("a field that is missing is named in the words that its clients know", () => {
  const message = expect.stringMatching(/^max_tokens: Field required\./);
  const body = { model: "m", messages: [{ role: "user", content: "hi" }] };
  expect(() => decodeAs(messages, body)).toThrow(
    expect.objectContaining({ code: "missing_required_parameter", param: "max_tokens", message }),
  );
});
