// A stream that was put together is what the engine sends whole: for the embedded engine byte by byte, since its writers of both are here;
// for others by what their answers hold.
import { describe, expect, test } from "vitest";
import { chatWire, completionWire, type Wire } from "../../embedded/wire.ts";
import { WholeAnswer } from "./assemble.ts";
import { chunkOf } from "./deltas.ts";
import type { CompletionShape } from "../../asked.ts";

const head = { id: "chatcmpl-1", created: 1, model: "m" };
const usage = {
  prompt_tokens: 9,
  completion_tokens: 4,
  total_tokens: 13,
  prompt_tokens_details: { cached_tokens: 0 },
  completion_tokens_details: { reasoning_tokens: 0 },
};

function wholeOf(shape: CompletionShape, chunks: object[]) {
  const whole = new WholeAnswer(shape);
  for (const chunk of chunks) whole.add(chunkOf(shape, structuredClone(chunk) as Record<string, unknown>));
  return whole.whole();
}

describe("of the embedded engine", () => {
  const text = (piece: string) => ({ type: "text", text: piece }) as const;
  const call = (index: number) =>
    ({ type: "call", index, id: `call_${index}`, name: "weigh", arguments: '{"kg":1}' }) as const;
  test.each([
    ["text", "chat", chatWire, [text("one "), text("two")], "stop"],
    ["nothing", "chat", chatWire, [], "length"],
    ["tool calls", "chat", chatWire, [call(0), call(1)], "tool_calls"],
    ["text and a tool call", "chat", chatWire, [text("so: "), call(0)], "tool_calls"],
    ["a text completion", "completions", completionWire, [text("one "), text("two")], "length"],
  ] as const)("%s", (_, endpoint, wire: Wire, deltas, reason) => {
    const opening = wire.opening(head);
    const { lineshaft: _report, ...report } = wire.usage(head, usage, {} as never) as Record<string, unknown>;
    const { lineshaft: _other, ...whole } = wire.whole(head, deltas, reason, usage, {} as never) as Record<
      string,
      unknown
    >;
    const streamed = [
      ...(opening ? [opening] : []),
      ...deltas.map((delta) => wire.chunk(head, delta)),
      wire.closing(head, reason),
      report,
    ];
    expect(JSON.stringify(wholeOf(endpoint, streamed).wire.data)).toBe(JSON.stringify(whole));
  });
});

const frame = { id: "x", object: "chat.completion.chunk", created: 1, model: "m", system_fingerprint: "fp" };
const chunk = (...choices: object[]) => ({ ...frame, choices });

test("log probabilities are joined, and what an engine adds to its choices and its answer is kept", () => {
  const logprob = (token: string) => ({ content: [{ token, logprob: -0.5, top_logprobs: [] }], refusal: null });
  const { data } = wholeOf("chat", [
    chunk({ index: 0, delta: { role: "assistant", content: "" }, logprobs: null, finish_reason: null }),
    chunk({ index: 0, delta: { content: "a" }, logprobs: logprob("a"), finish_reason: null, token_ids: [1] }),
    chunk({ index: 0, delta: { content: "b" }, logprobs: logprob("b"), finish_reason: null, token_ids: [2, 3] }),
    chunk({ index: 0, delta: {}, finish_reason: "stop", stop_reason: 7 }),
    { ...frame, choices: [], usage, service_tier: "default" },
  ]).wire;
  expect(data).toEqual({
    ...frame,
    object: "chat.completion",
    service_tier: "default",
    choices: [
      {
        index: 0,
        message: { role: "assistant", content: "ab", refusal: null },
        logprobs: { content: [...logprob("a").content, ...logprob("b").content], refusal: null },
        finish_reason: "stop",
        stop_reason: 7,
        token_ids: [1, 2, 3],
      },
    ],
    usage,
  });
});

test("the log probabilities of text completions are joined too", () => {
  const of = (token: string) => ({ tokens: [token], token_logprobs: [-1], top_logprobs: [null], text_offset: [0] });
  const { data } = wholeOf("completions", [
    { ...frame, object: "text_completion", choices: [{ index: 0, text: "a", logprobs: of("a"), finish_reason: null }] },
    {
      ...frame,
      object: "text_completion",
      choices: [{ index: 0, text: "b", logprobs: of("b"), finish_reason: "stop" }],
    },
  ]).wire;
  expect(data["choices"]).toMatchObject([{ text: "ab", logprobs: { tokens: ["a", "b"], token_logprobs: [-1, -1] } }]);
});

test("several answers are told apart, in whatever order their chunks come", () => {
  const say = (index: number, content: string) => ({ index, delta: { content }, finish_reason: null });
  const { data, deltas } = (({ wire, deltas: all }) => ({ data: wire.data, deltas: all }))(
    wholeOf("chat", [
      chunk(say(1, "b1")),
      chunk(say(0, "a1"), say(1, "b2")),
      chunk({ index: 1, delta: {}, finish_reason: "length" }),
      chunk(say(0, "a2")),
      chunk({ index: 0, delta: {}, finish_reason: "stop" }),
    ]),
  );
  expect(data["choices"]).toMatchObject([
    { index: 0, message: { content: "a1a2" }, finish_reason: "stop" },
    { index: 1, message: { content: "b1b2" }, finish_reason: "length" },
  ]);
  expect(deltas).toMatchObject([{ text: "a1a2" }, { text: "b1b2" }]);
});

test("tool calls are put together by their numbers, reasoning stays under the name that the engine gave it", () => {
  const tool = (index: number, more: object) =>
    chunk({ index: 0, delta: { tool_calls: [{ index, ...more }] }, finish_reason: null });
  const { data } = wholeOf("chat", [
    chunk({ index: 0, delta: { role: "assistant", reasoning: "so " }, finish_reason: null }),
    chunk({ index: 0, delta: { reasoning: "then" }, finish_reason: null }),
    tool(0, { id: "call_a", type: "function", function: { name: "weigh", arguments: "" } }),
    tool(0, { function: { arguments: '{"kg"' } }),
    tool(1, { id: "call_b", type: "function", function: { name: "lift", arguments: "{}" } }),
    tool(0, { function: { arguments: ":1}" } }),
    chunk({ index: 0, delta: {}, finish_reason: "tool_calls" }),
  ]).wire;
  expect(data["choices"]).toEqual([
    {
      index: 0,
      message: {
        role: "assistant",
        content: null,
        refusal: null,
        reasoning: "so then",
        tool_calls: [
          { id: "call_a", type: "function", function: { name: "weigh", arguments: '{"kg":1}' } },
          { id: "call_b", type: "function", function: { name: "lift", arguments: "{}" } },
        ],
      },
      logprobs: null,
      finish_reason: "tool_calls",
    },
  ]);
});

test("what we say of an answer ourselves ends it", () => {
  const whole = new WholeAnswer("chat");
  whole.add(chunkOf("chat", chunk({ index: 0, delta: { content: "ab" }, finish_reason: null })));
  whole.addDeltas([{ index: 0, text: "c", finish: "length" }]);
  expect(whole.whole().deltas).toEqual([{ index: 0, text: "abc", finish: "length" }]);
});

test("chunks that mean nothing add nothing", () => {
  const whole = wholeOf("chat", [
    {},
    { choices: null },
    { choices: [null, 1, {}] },
    chunk({ delta: null }),
    chunk({ delta: { tool_calls: [null, 1] } }),
  ]);
  expect(whole.deltas).toMatchObject([{ index: 0 }]);
});

test("a long list of log probabilities is joined in time that grows with its length", () => {
  const logprob = { content: [{ token: "a", logprob: -1, top_logprobs: [] }] };
  const many = Array.from({ length: 20_000 }, () => chunk({ index: 0, delta: { content: "a" }, logprobs: logprob }));
  const [choice] = wholeOf("chat", many).wire.data["choices"] as { logprobs: { content: unknown[] } }[];
  expect(choice!.logprobs.content).toHaveLength(20_000);
});

/** A chunk as it comes out of a stream. */
const event = (choice: object) =>
  chunkOf("chat", {
    id: "a",
    object: "chat.completion.chunk",
    created: 1,
    model: "m",
    choices: [{ index: 0, ...choice }],
  });
const logprobsOf = (token: string, top: number) => {
  const one = { token, logprob: -1.25, bytes: [32, 116, 104, 101] };
  return { content: [{ ...one, top_logprobs: Array.from({ length: top }, () => ({ ...one })) }] };
};

test("log probabilities count as much memory as they take, although they are no text", () => {
  const whole = new WholeAnswer("chat");
  let counted = 0;
  for (let token = 0; token < 100; token++)
    counted += whole.add(event({ delta: { content: " the" }, logprobs: logprobsOf(" the", 20) }));
  const json = JSON.stringify(whole.whole().wire.data).length;
  expect(counted).toBeGreaterThan(2 * json);
  expect(whole.whole().bytes).toBeGreaterThan(json / 2);
  // What every event repeats is not kept: an answer of text counts as its text.
  const plain = new WholeAnswer("chat");
  let text = 0;
  for (let token = 0; token < 100; token++) text += plain.add(event({ delta: { content: " the" }, logprobs: null }));
  expect(text).toBeLessThan(2 * 400 + 100);
});

test("an answer that is gathered from a stream is bounded as one that comes whole, with text or without", () => {
  const large = { delta: {}, logprobs: logprobsOf("a".repeat(3 * 2 ** 20), 0) };
  const whole = new WholeAnswer("chat");
  const addMany = () => {
    for (let count = 0; count < 6; count++) whole.add(event(structuredClone(large)));
  };
  expect(addMany).toThrow("longer than 16777216 bytes");
  const beside = new WholeAnswer("chat");
  const addBeside = () => {
    for (let count = 0; count < 6; count++)
      beside.add(chunkOf("chat", { choices: [], [`x${count}`]: "a".repeat(3 * 2 ** 20) }));
  };
  expect(addBeside).toThrow("longer than 16777216 bytes");
  // A long answer of text stays far below: a hundred thousand tokens.
  const long = new WholeAnswer("chat");
  for (let token = 0; token < 100_000; token++) long.add(event({ delta: { role: "assistant", content: " the" } }));
  expect(long.whole().characters).toBe(400_000);
});
