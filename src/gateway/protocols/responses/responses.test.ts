// Responses pass the suite of protocols; and what is theirs alone: the members of the response, the order of its events, thought, groups of
// tools, tools that take text, and what an engine that speaks Responses itself sends.
import { expect, test } from "vitest";
import type { AnswerDelta, RegisteredEndpoint, Usage, WireObject } from "../../../engines/index.ts";
import { commonFields } from "../../../engines/wire/chat/fields.ts";
import { LineshaftError } from "../../../errors/index.ts";
import type { ModelCall } from "../../modelCall.ts";
import type { AnswerChunk } from "../../types.ts";
import { errorTypes, readError } from "../openai/testing.ts";
import { protocolSuite } from "../suite.ts";
import { decodeAs } from "../testing.ts";
import type { Told } from "../types.ts";
import { responses } from "./index.ts";
import { writeEnvelope } from "../proof.ts";
import { eventsOf, readResponse, readStream } from "./testing.ts";

type Json = Record<string, any>;

const parameters = { type: "object", properties: { a: { type: "integer" } } };
const f = { type: "function", name: "f", description: "Does f", parameters, strict: true };
const wireOf = (data: Json): WireObject => ({ shape: "responses", data, text: JSON.stringify(data) });
const message = {
  id: "msg_9",
  type: "message",
  status: "completed",
  role: "assistant",
  content: [{ type: "output_text", text: "Hello", annotations: [] }],
};
const response = { id: "resp_9", object: "response", status: "in_progress", model: "engine-model", output: [] };
const completed = { ...response, status: "completed", output: [message] };
const at = { item_id: "msg_9", output_index: 0, content_index: 0 };
const events = [
  { type: "response.created", sequence_number: 0, response },
  { type: "response.in_progress", sequence_number: 1, response },
  { type: "response.output_item.added", sequence_number: 2, output_index: 0, item: { ...message, content: [] } },
  { type: "response.output_text.delta", sequence_number: 3, ...at, delta: "Hello", logprobs: [] },
  { type: "response.output_item.done", sequence_number: 4, output_index: 0, item: message },
];

protocolSuite({
  protocol: responses,
  translated: true,
  minimal: { model: "m", input: "hi" },
  maximal: {
    model: "m",
    instructions: "Be brief.",
    input: [
      { role: "system", content: "Be kind." },
      { type: "message", role: "developer", content: [{ type: "input_text", text: "Be exact." }] },
      {
        role: "user",
        content: [
          { type: "input_text", text: "What is this?", prompt_cache_breakpoint: { mode: "explicit", ttl: "1h" } },
          { type: "input_image", image_url: "https://pictures.example/a.png", detail: "high" },
          { type: "input_file", filename: "a.pdf", file_data: "data:application/pdf;base64,AAAA" },
        ],
      },
      { type: "reasoning", id: "rs_1", summary: [], content: [{ type: "reasoning_text", text: "A tool is needed." }] },
      { type: "message", role: "assistant", phase: "commentary", content: "I look." },
      { type: "function_call", call_id: "c0", name: "f", arguments: "{}", status: "completed", id: "fc_1" },
      { type: "custom_tool_call", call_id: "c1", name: "patch", input: "+a", namespace: "edit" },
      { type: "function_call_output", call_id: "c0", output: "done" },
      { type: "custom_tool_call_output", call_id: "c1", output: [{ type: "input_text", text: "ok" }] },
    ],
    stream: true,
    store: false,
    include: ["reasoning.encrypted_content"],
    max_output_tokens: 9,
    temperature: 0.5,
    top_p: 0.9,
    presence_penalty: 1,
    frequency_penalty: -1,
    tools: [
      f,
      {
        type: "namespace",
        name: "edit",
        description: "Edits",
        tools: [{ type: "custom", name: "patch", description: "Patches" }],
      },
      { type: "web_search", external_web_access: true },
    ],
    tool_choice: { type: "function", name: "f" },
    parallel_tool_calls: false,
    text: { format: { type: "json_schema", name: "x", strict: true, schema: parameters }, verbosity: "low" },
    reasoning: { effort: "low", summary: "auto" },
    prompt_cache_key: "k",
    metadata: { a: "b" },
    client_metadata: { a: "b" },
    user: "ada",
    service_tier: "auto",
    min_p: 0.1,
  },
  decoded: {
    shape: "responses",
    kind: "generate",
    model: "m",
    stream: true,
    streamUsage: true,
    prompt: {
      kind: "messages",
      messages: [
        { role: "system", parts: [{ kind: "text", text: "Be brief." }] },
        { role: "system", parts: [{ kind: "text", text: "Be kind." }] },
        { role: "developer", parts: [{ kind: "text", text: "Be exact." }] },
        {
          role: "user",
          parts: [
            { kind: "text", text: "What is this?", mark: { ttlSeconds: 3600 } },
            { kind: "image", url: "https://pictures.example/a.png", detail: "high" },
            { kind: "file", url: "data:application/pdf;base64,AAAA", name: "a.pdf" },
          ],
        },
        {
          role: "assistant",
          parts: [
            { kind: "reasoning", text: "A tool is needed." },
            { kind: "text", text: "I look." },
            { kind: "tool_call", id: "c0", name: "f", arguments: "{}" },
            { kind: "tool_call", id: "c1", name: "patch", arguments: "+a", custom: true, namespace: "edit" },
          ],
        },
        {
          role: "user",
          parts: [
            { kind: "tool_result", id: "c0", parts: [{ kind: "text", text: "done" }] },
            { kind: "tool_result", id: "c1", parts: [{ kind: "text", text: "ok" }] },
          ],
        },
      ],
    },
    tools: [
      { name: "f", description: "Does f", parameters, strict: true },
      { name: "patch", namespace: "edit", description: "Patches", custom: {} },
      { name: "web_search", opaque: { shape: "responses", item: { type: "web_search", external_web_access: true } } },
    ],
    toolChoice: { name: "f" },
    parallelTools: false,
    format: { kind: "schema", schema: parameters, name: "x", strict: true },
    sampling: { temperature: 0.5, topP: 0.9, presencePenalty: 1, frequencyPenalty: -1 },
    thinking: { asked: true, effort: "low", show: "summary", tokensBeside: 0 },
    verbosity: "low",
    cacheKey: "k",
    extensions: { min_p: 0.1 },
    hasMedia: true,
  },
  refused: [
    [{ input: "hi" }, "model"],
    [{ model: "m", input: 5 }, "input"],
    [{ model: "m", input: "hi", temperature: 3 }, "temperature"],
    [{ model: "m", input: "hi", max_output_tokens: 0 }, "max_output_tokens"],
    [{ model: "m", input: [{ role: "robot", content: "hi" }] }, "input[0].role"],
    [{ model: "m", input: [{ role: "user", content: [{ type: "smell" }] }] }, "input[0].content[0].type"],
    [{ model: "m", input: [{ role: "user", content: [{ type: "input_text" }] }] }, "input[0].content[0].text"],
    [{ model: "m", input: [{ type: "function_call", name: "f" }] }, "input[0].call_id"],
    [{ model: "m", input: [{ type: "function_call_output", call_id: "no", output: "" }] }, "input[0].call_id"],
    [
      { model: "m", input: [{ role: "user", content: [{ type: "input_file", file_id: "file_1" }] }] },
      "input[0].content[0].file_id",
    ],
    [{ model: "m", input: "hi", tools: [{ type: "function" }] }, "tools[0].name"],
    [
      { model: "m", input: "hi", tools: [{ type: "namespace", name: "n", tools: [{ type: "mcp" }] }] },
      "tools[0].tools[0].type",
    ],
    [{ model: "m", input: "hi", metadata: { a: 1 } }, "metadata.a"],
    [{ model: "m", input: "hi", background: true, store: false }, "background"],
    [{ model: "m", input: "hi", include: ["message.output_text.logprobs"] }, "include"],
    [{ model: "m", input: "hi", previous_response_id: "resp_1" }, "previous_response_id"],
  ],
  unknown: { fields: commonFields, body: { model: "m", input: "hi", made_up: 1 }, param: "made_up" },
  streaming: (body) => ({ ...body, stream: true }),
  calls: true,
  wire: { whole: wireOf(completed), chunks: events.map(wireOf) },
  readWhole: (body) => readResponse(JSON.parse(body) as Json),
  readStream,
  readError,
  errorTypes,
});

const usage: Usage = { promptTokens: 12, cachedTokens: 8, outputTokens: 3, reasoningTokens: 1, source: "engine" };
const chat: WireObject = { shape: "chat", data: {}, text: undefined };
const body = { model: "m", input: "hi" };
const decode = (more: Json = {}): ModelCall => decodeAs(responses, { ...body, ...more });
const toldOf = (call: ModelCall): Told => ({ call, id: "call_abc", createdMs: 7_000 });
const chunkOf = (delta: Partial<AnswerDelta>, more: Partial<AnswerChunk> = {}): AnswerChunk => ({
  deltas: [{ index: 0, ...delta }],
  wire: chat,
  ...more,
});

/** The events of a stream of these deltas, and its text. */
function streamed(call: ModelCall, deltas: Partial<AnswerDelta>[]): { text: string; events: Json[]; output: Json[] } {
  const encode = responses.events(toldOf(call));
  const pieces = deltas.map((delta) => encode(chunkOf(delta)));
  const text = [...pieces, encode({ deltas: [], wire: chat, usage, altered: true }), encode(undefined)].join("");
  readStream(text);
  const all = eventsOf(text);
  return { text, events: all, output: all.at(-1)!["response"].output };
}

test("every member of the response is there, null where it says nothing", () => {
  const whole = JSON.parse(
    responses.whole(chunkOf({ text: "Hi", finish: "stop" }, { usage }), toldOf(decode())),
  ) as Json;
  expect(whole).toMatchObject({
    id: "resp_abc",
    object: "response",
    created_at: 7,
    status: "completed",
    model: "m",
    error: null,
    incomplete_details: null,
    instructions: null,
    max_output_tokens: null,
    parallel_tool_calls: true,
    previous_response_id: null,
    reasoning: { effort: null, summary: null },
    text: { format: { type: "text" } },
    tool_choice: "auto",
    tools: [],
    truncation: "disabled",
    usage: {
      input_tokens: 12,
      input_tokens_details: { cached_tokens: 8 },
      output_tokens: 3,
      output_tokens_details: { reasoning_tokens: 1 },
      total_tokens: 15,
    },
    metadata: {},
  });
  // The members that Open Responses requires of a response.
  const required =
    "id object created_at completed_at status incomplete_details model previous_response_id instructions output error tools tool_choice truncation parallel_tool_calls text top_p presence_penalty frequency_penalty top_logprobs temperature reasoning user usage max_output_tokens max_tool_calls store background service_tier metadata safety_identifier prompt_cache_key";
  for (const name of required.split(" ")) expect(whole[name], name).not.toBeUndefined();
  expect(whole["output"]).toEqual([
    {
      id: "msg_abc0",
      type: "message",
      status: "completed",
      role: "assistant",
      content: [{ type: "output_text", text: "Hi", annotations: [], logprobs: [] }],
    },
  ]);
});

test("text is told in the order of the protocol", () => {
  const { events: told } = streamed(decode({ stream: true }), [{ text: "Hel" }, { text: "lo" }, { finish: "stop" }]);
  expect(told.map(({ type }) => type)).toEqual([
    "response.created",
    "response.in_progress",
    "response.output_item.added",
    "response.content_part.added",
    "response.output_text.delta",
    "response.output_text.delta",
    "response.output_text.done",
    "response.content_part.done",
    "response.output_item.done",
    "response.completed",
  ]);
});

test("thought, text and calls are items in the order in which they came", () => {
  const { output } = streamed(decode(), [
    { reasoning: "Hm" },
    { reasoning: "." },
    { text: "I look." },
    { toolCalls: [{ index: 0, id: "c1", name: "f", arguments: '{"a"' }] },
    { toolCalls: [{ index: 1, id: "c2", name: "g", arguments: "{" }] },
    { toolCalls: [{ index: 0, arguments: ":1}" }] },
    { toolCalls: [{ index: 1, arguments: "}" }], finish: "tool_calls" },
  ]);
  expect(output).toMatchObject([
    { type: "reasoning", content: [{ type: "reasoning_text", text: "Hm." }], summary: [] },
    { type: "message", content: [{ text: "I look." }] },
    { type: "function_call", call_id: "c1", name: "f", arguments: '{"a":1}', status: "completed" },
    { type: "function_call", call_id: "c2", name: "g", arguments: "{}", status: "completed" },
  ]);
  expect(output[0]).not.toHaveProperty("encrypted_content");
});

test("a client that asks for summaries is shown the thought as one, and sends it back in the encrypted content", () => {
  const call = decode({ reasoning: { summary: "auto" }, include: ["reasoning.encrypted_content"] });
  const { events: told, output } = streamed(call, [{ reasoning: "Hm." }, { text: "Hi", finish: "stop" }]);
  expect(told.map(({ type }) => type)).toEqual(
    expect.arrayContaining(["response.reasoning_summary_part.added", "response.reasoning_summary_text.delta"]),
  );
  expect(output[0]).toMatchObject({ type: "reasoning", summary: [{ type: "summary_text", text: "Hm." }] });
  const next = decode({
    input: [{ role: "user", content: "hi" }, output[0], output[1], { role: "user", content: "on" }],
  });
  expect(next.prompt).toMatchObject({
    messages: [
      {},
      {
        role: "assistant",
        parts: [
          { kind: "reasoning", text: "Hm." },
          { kind: "text", text: "Hi" },
        ],
      },
      {},
    ],
  });
});

test("the proof of a thought comes back as the engine gave it", () => {
  const call = decode({ include: ["reasoning.encrypted_content"] });
  const proof = { origin: "anthropic" as const, signature: "s" };
  const { output } = streamed(call, [
    { reasoning: "Hm.", proof },
    { text: "Hi", finish: "stop" },
  ]);
  const next = decode({ input: [output[0], { role: "user", content: "on" }] });
  expect(next.prompt).toMatchObject({ messages: [{ parts: [{ kind: "reasoning", text: "Hm.", proof }] }, {}] });
  const openai = { origin: "openai" as const, encrypted: "gAAAA" };
  const hidden = streamed(call, [{ proof: openai }, { text: "Hi", finish: "stop" }]);
  expect(hidden.output[0]).toMatchObject({ type: "reasoning", summary: [], encrypted_content: "gAAAA" });
});

test("groups of tools and tools that take text are functions for the engine, and themselves for the client", () => {
  const tools = [
    {
      type: "namespace",
      name: "edit",
      description: "",
      tools: [
        { type: "custom", name: "patch", description: "Patches" },
        { ...f, name: "undo" },
      ],
    },
  ];
  const call = decode({ tools, tool_choice: "required" });
  const asked = call.engineBody({ shape: "chat", model: "m" });
  expect(asked).toMatchObject({
    tools: [
      { function: { name: "edit__patch", parameters: { required: ["input"] } } },
      { function: { name: "edit__undo" } },
    ],
    tool_choice: "required",
  });
  const { output, events: told } = streamed(call, [
    { toolCalls: [{ index: 0, id: "c1", name: "edit__patch", arguments: '{"input":' }] },
    { toolCalls: [{ index: 0, arguments: '"+a"}' }] },
    { toolCalls: [{ index: 1, id: "c2", name: "edit__undo", arguments: "{}" }], finish: "tool_calls" },
  ]);
  expect(output).toMatchObject([
    { type: "custom_tool_call", call_id: "c1", name: "patch", namespace: "edit", input: "+a" },
    { type: "function_call", call_id: "c2", name: "undo", namespace: "edit", arguments: "{}" },
  ]);
  expect(told.filter(({ type }) => String(type).startsWith("response.custom_tool_call_input"))).toMatchObject([
    { delta: "+a" },
    { input: "+a" },
  ]);
});

test("Codex' tools in an item of the input are tools of the call", () => {
  const input = [
    { type: "additional_tools", role: "developer", tools: [f] },
    { role: "user", content: "hi" },
  ];
  const call = decode({ input, tool_choice: "auto" });
  expect(call.tools).toMatchObject([{ name: "f" }]);
  expect(call.engineBody({ shape: "chat", model: "m" })).toMatchObject({
    messages: [{ role: "user", content: "hi" }],
    tools: [{}],
  });
});

test("allowed tools alone are left, and a tool that is not there cannot be chosen", () => {
  const tools = [f, { ...f, name: "g" }];
  const choice = { type: "allowed_tools", mode: "required", tools: [{ type: "function", name: "g" }] };
  expect(decode({ tools, tool_choice: choice })).toMatchObject({ tools: [{ name: "g" }], toolChoice: "required" });
  expect(() => decode({ tools, tool_choice: { type: "function", name: "h" } })).toThrow(
    expect.objectContaining({ status: 400, param: "tool_choice" }),
  );
});

test("an answer that was cut is incomplete, and says why", () => {
  const { events: told } = streamed(decode(), [{ text: "Hel" }, { finish: "length" }]);
  expect(told.at(-1)).toMatchObject({
    type: "response.incomplete",
    response: {
      status: "incomplete",
      incomplete_details: { reason: "max_output_tokens" },
      output: [{ status: "incomplete", content: [{ text: "Hel" }] }],
    },
  });
});

test("a failure inside a stream goes on with its numbers", () => {
  const told = toldOf(decode({ stream: true }));
  const encode = responses.events(told);
  const begun = encode(chunkOf({ text: "Hel" }));
  const failure = new LineshaftError({ code: "engine_failed", message: "It broke.", hint: "Try again." });
  const all = eventsOf(begun + responses.error(failure, "stream", { told }));
  expect(all.map((event) => event["sequence_number"])).toEqual(all.map((_, place) => place));
  expect(all.at(-1)).toMatchObject({
    type: "response.failed",
    response: { status: "failed", error: { code: "engine_failed" } },
  });
});

test("events of an engine of the same shape are passed on, the last with what is billed", () => {
  const end = wireOf({ type: "response.completed", sequence_number: 5, response: { ...completed, usage: {} } });
  const run = (more: Partial<AnswerChunk>) => {
    const encode = responses.events(toldOf(decode({ stream: true })));
    const chunks = [...events.map(wireOf), end].map((wire) => encode({ deltas: [], wire }));
    const last = Object.keys(more).length > 0 ? encode({ deltas: [], wire: end, altered: true, ...more }) : "";
    return [...chunks, last, encode(undefined)].join("");
  };
  expect(run({})).toBe(
    [...events.map(wireOf), end].map(({ data, text }) => `event: ${data["type"]}\ndata: ${text}\n\n`).join(""),
  );
  expect(eventsOf(run({ usage })).at(-1)!["response"].usage).toMatchObject({ input_tokens: 12 });
});

const endpoint = {
  name: "m",
  kind: "openai",
  allowFields: [],
  facts: { models: ["m"], capabilities: { fields: commonFields } },
} as unknown as RegisteredEndpoint;

test.each([
  [{ truncation: "auto" }, "truncation"],
  [{ top_logprobs: 2 }, "top_logprobs"],
  [{ service_tier: "priority" }, "service_tier"],
  [{ tools: [{ type: "web_search" }], tool_choice: { type: "web_search" } }, "tool_choice"],
  [{ input: [{ type: "item_reference", id: "msg_1" }] }, "input[0]"],
  [{ input: [{ type: "computer_call_output", call_id: "c", output: {} }] }, "input[0].type"],
  [{ input: [{ type: "compaction", encrypted_content: "gAAA" }] }, "input[0].type"],
])("%j is refused by name where the engine speaks chat", (more, param) => {
  expect(() => decode(more).fitted(endpoint)).toThrow(
    expect.objectContaining({ code: "unsupported_parameter", param }),
  );
});

test("a medium that the engine does not read is refused in the client's own words", () => {
  const blind = { ...endpoint, facts: { models: ["m"], capabilities: { fields: commonFields, media: [] } } };
  const call = decode({
    input: [{ role: "user", content: [{ type: "input_image", image_url: "https://a.example/b" }] }],
  });
  expect(() => call.fitted(blind as unknown as RegisteredEndpoint)).toThrow(
    expect.objectContaining({ code: "media_not_read", param: "input" }),
  );
});

test("a server tool that no engine runs is left out and named", () => {
  const call = decode({ tools: [f, { type: "web_search", external_web_access: true }] });
  expect(call.fitted(endpoint).engineBody({ shape: "chat", model: "m" })["tools"]).toHaveLength(1);
  expect((call as unknown as { leftOut: string[] }).leftOut).toEqual(["tools[1].web_search"]);
});

test("a compaction of ours is an instruction; an envelope that was tampered with says nothing", () => {
  const item = { type: "compaction", encrypted_content: writeEnvelope({ summary: "They agreed on Tuesday." }) };
  expect(decode({ input: [item] }).prompt).toMatchObject({
    messages: [{ role: "developer", parts: [{ text: expect.stringContaining("Tuesday") as string }] }],
  });
  for (const encrypted_content of ["ls1.!!", "ls1.bnVsbA", `ls1.${Buffer.from('{"text":5}').toString("base64url")}`])
    expect(decode({ input: [{ type: "reasoning", summary: [], encrypted_content }] }).prompt).toMatchObject({
      messages: [],
    });
});
