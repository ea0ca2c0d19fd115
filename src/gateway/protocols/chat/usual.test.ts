// What is judged by hand as right is right by the schema too, and every body gets the verdict that the schema gives.
import fc from "fast-check";
import { expect, test } from "vitest";
import { decodeAs } from "../testing.ts";
import { decodeBody } from "../openai/bodies.ts";
import { chat } from "./index.ts";
import { chatBody } from "./schema.ts";
import { areUsualFields, areUsualMessages } from "./usual.ts";
import { runs } from "../../../../test/setup/runs.ts";

const odd = fc.constantFrom<unknown>(
  null,
  undefined,
  "",
  "text",
  0,
  -1,
  1.5,
  3,
  2 ** 60,
  Infinity,
  true,
  [],
  {},
  ["a"],
  [1],
  { a: Infinity },
);
const text = fc.constantFrom("", "hi", "user", "a\u0000b", "\ud800");
/** Now and then something else. */
const or = <Value>(usual: fc.Arbitrary<Value>) =>
  fc.oneof<fc.WeightedArbitrary<unknown>[]>({ weight: 60, arbitrary: usual }, { weight: 1, arbitrary: odd });
const absent = Symbol("absent");
/** Seldom there. */
const seldom = (value: fc.Arbitrary<unknown>) =>
  fc.oneof({ weight: 12, arbitrary: fc.constant(absent) }, { weight: 1, arbitrary: value });
const record = (members: Record<string, fc.Arbitrary<unknown>>) =>
  fc
    .record(members)
    .map(
      (made) =>
        Object.fromEntries(Object.entries(made).filter(([, value]) => value !== absent)) as Record<string, unknown>,
    );

const part = record({
  type: or(fc.constantFrom("text", "refusal")),
  text: or(text),
  image_url: seldom(odd),
  more: seldom(odd),
});
const called = record({ name: or(text), arguments: or(text), more: seldom(odd) });
const toolCall = record({ id: or(text), type: or(fc.constant("function")), function: or(called), index: seldom(odd) });
const message = record({
  role: or(fc.constantFrom("system", "user", "assistant", "tool")),
  content: or(fc.oneof(text, fc.array(or(part), { maxLength: 2 }))),
  name: seldom(or(text)),
  tool_calls: seldom(or(fc.array(or(toolCall), { maxLength: 2 }))),
  tool_call_id: seldom(or(text)),
  refusal: seldom(odd),
  more: seldom(odd),
});
const double = (min: number, max: number) => fc.double({ min, max, noNaN: true });
const body = record({
  model: or(text),
  messages: or(fc.array(or(message), { minLength: 1, maxLength: 3 })),
  stream: or(fc.boolean()),
  stream_options: seldom(or(record({ include_usage: or(fc.boolean()), more: seldom(odd) }))),
  max_tokens: seldom(or(fc.integer({ min: -1, max: 9 }))),
  max_completion_tokens: seldom(or(fc.integer({ min: -1, max: 9 }))),
  temperature: seldom(or(double(-1, 3))),
  top_p: seldom(or(double(-1, 2))),
  presence_penalty: seldom(or(double(-3, 3))),
  frequency_penalty: seldom(or(double(-3, 3))),
  seed: seldom(or(fc.integer())),
  n: seldom(or(fc.integer({ min: 0, max: 200 }))),
  stop: seldom(or(text)),
  user: seldom(or(text)),
  tools: seldom(odd),
  more: seldom(odd),
});

/** What a judge says of a body: undefined where it is right. */
function verdict(judge: () => unknown): unknown {
  try {
    judge();
    return undefined;
  } catch (error) {
    const { code, param } = error as { code?: string; param?: string };
    return { code, param };
  }
}

test("every body has the schema's verdict", () => {
  let usual = 0;
  fc.assert(
    fc.property(body, (given) => {
      const bySchema = verdict(() => decodeBody(chatBody, given));
      const isUsual = areUsualMessages(given["messages"]) && areUsualFields(given);
      if (isUsual) {
        usual++;
        expect(bySchema).toBeUndefined();
      }
      const byBoth = verdict(() => decodeAs(chat, given));
      if (bySchema === undefined) expect(byBoth).toBeUndefined();
      else expect(byBoth).toEqual(bySchema);
    }),
    { numRuns: runs(1_500) },
  );
  expect(usual).toBeGreaterThan(100);
});

test("a conversation with calls and parts of text is usual, what has more in it is not", () => {
  const calls = [{ id: "1", type: "function", function: { name: "f", arguments: "{}" } }];
  const messages = [
    { role: "user", content: [{ type: "text", text: "hi" }] },
    { role: "assistant", content: null, tool_calls: calls },
    { role: "tool", tool_call_id: "1", content: "done" },
  ];
  expect(areUsualMessages(messages)).toBe(true);
  expect(
    areUsualFields({ model: "m", messages, stream: true, stream_options: { include_usage: true }, max_tokens: 5 }),
  ).toBe(true);
  expect(areUsualFields({ model: "m", messages, tools: [] })).toBe(false);
  expect(areUsualMessages([{ role: "user", content: [{ type: "image_url", image_url: { url: "data:" } }] }])).toBe(
    false,
  );
  expect(areUsualMessages([])).toBe(false);
});
