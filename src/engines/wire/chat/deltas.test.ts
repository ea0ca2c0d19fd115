// Answers as engines really send them, read as typed deltas.
import { expect, test } from "vitest";
import type { AnswerDelta } from "../../types.ts";
import { chunkOf, saysEnd } from "./deltas.ts";

const read = (...choices: unknown[]) => chunkOf("chat", { choices });

test.each<[string, unknown, AnswerDelta, number]>([
  ["a chunk", { index: 1, delta: { content: "Hi" } }, { index: 1, text: "Hi" }, 2],
  [
    "a whole answer",
    { message: { content: "Hi" }, finish_reason: "stop" },
    { index: 0, text: "Hi", finish: "stop" },
    2,
  ],
  ["a completion", { index: 0, text: "Hi", finish_reason: null }, { index: 0, text: "Hi" }, 2],
  ["a refusal", { delta: { content: null, refusal: "No" } }, { index: 0, refusal: "No" }, 2],
  ["reasoning under one name", { delta: { reasoning: "Hm" } }, { index: 0, reasoning: "Hm" }, 2],
  [
    "parts, as Mistral's models that think send them",
    {
      delta: {
        content: [
          { type: "thinking", thinking: [{ type: "text", text: "Hm" }] },
          { type: "text", text: "Hi" },
        ],
      },
    },
    { index: 0, text: "Hi", reasoning: "Hm" },
    4,
  ],
  ["parts that are none", { delta: { content: [null, 5, { text: 7 }, { thinking: [null, {}] }] } }, { index: 0 }, 0],
  // The reader gets both texts, so both count.
  [
    "reasoning under two names",
    { delta: { reasoning: "Hm", reasoning_content: "Hm" } },
    { index: 0, reasoning: "Hm" },
    4,
  ],
  [
    "a tool call",
    { delta: { tool_calls: [{ index: 2, id: "c", function: { name: "f", arguments: "{" } }] } },
    { index: 0, toolCalls: [{ index: 2, id: "c", name: "f", arguments: "{" }] },
    2,
  ],
  [
    "a tool call without an index or a function",
    { delta: { tool_calls: [{ id: "c", function: "f" }, null] } },
    { index: 0, toolCalls: [{ index: 0, id: "c" }] },
    0,
  ],
  ["things of wrong types", { index: "1", delta: { content: 5, tool_calls: {} }, finish_reason: 7 }, { index: 0 }, 0],
  ["a delta that is text", { delta: "Hi" }, { index: 0 }, 0],
])("%s", (_name, choice, delta, characters) => {
  expect(read(choice)).toMatchObject({ deltas: [delta], characters, reportsUsage: false });
});

test("choices that are none add nothing, and usage is reported where there is one", () => {
  expect(read(null, "text")).toMatchObject({ deltas: [], characters: 0 });
  for (const choices of [undefined, null, "text", {}])
    expect(chunkOf("chat", { choices, usage: null })).toMatchObject({ deltas: [], reportsUsage: false });
  expect(chunkOf("chat", { choices: [], usage: {} }).reportsUsage).toBe(true);
});

test("an end is an end in whatever form it is said", () => {
  for (const reason of ["stop", 7, {}]) expect(saysEnd({ choices: [null, { finish_reason: reason }] })).toBe(true);
  for (const choices of [undefined, [], [{}], [{ finish_reason: null }]]) expect(saysEnd({ choices })).toBe(false);
});
