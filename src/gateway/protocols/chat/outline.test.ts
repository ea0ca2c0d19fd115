// A long body is judged by its outline and passed on as the bytes that it came as. Both give what the whole body gives, errors included.
import fc from "fast-check";
import { expect, test } from "vitest";
import { hasOutline, JsonMeter, parseLazily, Pieces } from "../../../bounded/index.ts";
import type { RegisteredEndpoint } from "../../../engines/index.ts";
import { encodeBody } from "../../../engines/wire/splice.ts";
import { decodeAs } from "../testing.ts";
import { chat } from "./index.ts";
import { runs } from "../../../../test/setup/runs.ts";

const endpoint = {
  name: "e",
  endpoint: "e",
  kind: "openai",
  model: "m",
  allowFields: [],
} as unknown as RegisteredEndpoint;
const bounds = { depth: 100, values: Infinity, numbers: Infinity };

/** What becomes of a body: what an engine is sent and how it is read, or the error. */
function passed(whole: Buffer, isLazy: boolean): unknown {
  const meter = new JsonMeter(bounds, true, { outlined: "messages" });
  meter.push(whole);
  const bytes = new Pieces([whole.subarray(0, 99), whole.subarray(99, 400), whole.subarray(400)]);
  const { members, outline } = meter;
  if (isLazy && outline === undefined) return undefined;
  try {
    const json = isLazy ? parseLazily(bytes, members!, "messages", outline!) : JSON.parse(whole.toString("utf8"));
    const call = decodeAs(chat, json, { bytes, members }).fitted(endpoint);
    const { promptTokensMost, promptCharacters, hasMedia, media } = call;
    const body = call.engineBody({ shape: "chat", model: "m", outputTokens: 5 });
    const sent = encodeBody(body, call.received);
    return {
      promptTokensMost,
      promptCharacters,
      hasMedia,
      media,
      sent: Array.isArray(sent) ? Buffer.concat(sent).toString() : Buffer.from(sent as string).toString(),
      messages: call.prompt.kind === "messages" && call.prompt.messages,
      written: JSON.stringify(body),
    };
  } catch (error) {
    return (error as Error).message;
  }
}

const long = 'text, "quoted" and \\ more\n'.repeat(10);
const text = fc.constantFrom("", "user", "assistant", "text", long, "\ud800");
const seldom = <Value>(value: fc.Arbitrary<Value>) =>
  fc.oneof({ weight: 12, arbitrary: fc.constant(undefined) }, { weight: 1, arbitrary: value });
const url = fc.constantFrom(`data:image/png;base64,${"A".repeat(300)}`, `https://pictures.example/${long.slice(0, 9)}`);
const part = fc.oneof(
  { weight: 6, arbitrary: fc.record({ type: fc.constant("text"), text }) },
  { weight: 1, arbitrary: fc.record({ type: fc.constant("image_url"), image_url: fc.oneof(fc.record({ url }), url) }) },
  { weight: 1, arbitrary: fc.record({ type: text, text, cache_control: seldom(text) }) },
);
const call = fc.record({
  id: text,
  type: fc.constant("function"),
  function: fc.record({ name: text, arguments: text }),
});
const message = fc.record({
  role: fc.oneof(
    { weight: 20, arbitrary: fc.constantFrom("user", "assistant", "tool") },
    { weight: 1, arbitrary: text },
  ),
  content: fc.oneof(text, fc.array(part, { maxLength: 3 }), fc.constant(null)),
  tool_calls: seldom(fc.array(call, { maxLength: 2 })),
  name: seldom(text),
  more: seldom(text),
});
const body = fc.record({
  model: fc.constant("m"),
  messages: fc.array(message, { minLength: 1, maxLength: 4 }),
  temperature: seldom(fc.constantFrom(1, 3)),
  user: seldom(text),
});

test("what is sent, read and refused is the same with and without an outline", () => {
  let [sent, refused] = [0, 0];
  fc.assert(
    fc.property(body, (one) => {
      const bytes = Buffer.from(JSON.stringify(one));
      const lazily = passed(bytes, true);
      if (lazily === undefined) return;
      if (typeof lazily === "string") refused++;
      else sent++;
      expect(lazily).toEqual(passed(bytes, false));
    }),
    { numRuns: runs(2_000) },
  );
  expect(Math.min(sent, refused)).toBeGreaterThan(50);
});

test.each([
  [
    "a name that is given twice",
    Buffer.from(`{"model":"m","messages":[{"role":"user","content":"a","content":"${long.slice(0, 6).repeat(40)}"}]}`),
  ],
  [
    "bytes that are not UTF-8",
    Buffer.concat([
      Buffer.from('{"model":"m","messages":[{"role":"user","content":"'),
      Buffer.alloc(300, 0xff),
      Buffer.from('"}]}'),
    ]),
  ],
])("with %s the messages are written anew from what they are", (_name, bytes) => {
  expect(passed(bytes, true)).toEqual(passed(bytes, false));
  expect(passed(bytes, true)).toMatchObject({ sent: expect.not.stringContaining('"."') as string });
});

test("an ordinary long call reaches the engine's bytes unparsed", () => {
  const bytes = Buffer.from(JSON.stringify({ model: "m", messages: [{ role: "user", content: long }] }));
  const meter = new JsonMeter(bounds, true, { outlined: "messages" });
  meter.push(bytes);
  const json = parseLazily(bytes, meter.members!, "messages", meter.outline!)!;
  const messages = Object.getOwnPropertyDescriptor(json, "messages")!;
  const reads: string[] = [];
  Object.defineProperty(json, "messages", { ...messages, get: () => reads.push("messages") });
  const fitted = decodeAs(chat, json, { bytes, members: meter.members }).fitted(endpoint);
  const engineBody = fitted.engineBody({ shape: "chat", model: "m", outputTokens: 5 });
  expect(hasOutline(engineBody, "messages")).toBe(true);
  expect([fitted.hasMedia, fitted.thinking.asked, fitted.tools, reads]).toEqual([false, false, [], []]);
});
