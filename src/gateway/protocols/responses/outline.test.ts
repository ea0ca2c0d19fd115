// A long body of usual items is judged by its outline. What is sent, read and refused is what the whole body gives.
import fc from "fast-check";
import { expect, test } from "vitest";
import { hasOutline, JsonMeter, parseLazily, Pieces } from "../../../bounded/index.ts";
import type { RegisteredEndpoint, Shape } from "../../../engines/index.ts";
import { encodeBody } from "../../../engines/wire/splice.ts";
import type { LineshaftError } from "../../../errors/index.ts";
import { writeEnvelope } from "../proof.ts";
import { decodeCall } from "./decode.ts";
import { runs } from "../../../../test/setup/runs.ts";

const endpointOf = (shape: Shape, media?: string[]) =>
  ({
    name: "e",
    endpoint: "e",
    kind: "openai",
    model: "m",
    allowFields: [],
    facts: { models: [], capabilities: { speaks: [shape], tokenize: false, kvEvents: false, media } },
  }) as unknown as RegisteredEndpoint;
const endpoints = [endpointOf("responses"), endpointOf("responses", []), endpointOf("chat"), endpointOf("messages")];

function metered(bytes: Buffer): JsonMeter {
  const bounds = { depth: 100, values: Infinity, numbers: Infinity };
  const meter = new JsonMeter(bounds, true, { outlined: "input", partLength: 300 });
  meter.push(bytes);
  return meter;
}

/** What becomes of a body: what an engine is sent and how it is read, or the error. */
function passed(whole: Buffer, isLazy: boolean, endpoint: RegisteredEndpoint) {
  const bytes = new Pieces([whole.subarray(0, 99), whole.subarray(99, 400), whole.subarray(400)]);
  const { members, outline } = metered(whole);
  if (isLazy && outline === undefined) return undefined;
  try {
    const json = isLazy ? parseLazily(bytes, members!, "input", outline!) : JSON.parse(whole.toString("utf8"));
    const decoded = decodeCall(json, { bytes, members }, { keeps: true });
    const [shape] = endpoint.facts!.capabilities.speaks as [Shape];
    const call = decoded.fitted(endpoint);
    const { hasMedia, media, leftOut, promptCharacters, extensions } = call;
    const body = call.engineBody({ shape, model: "m", outputTokens: 5, capabilities: endpoint.facts!.capabilities });
    const sent = encodeBody(body, shape === "responses" ? call.received : undefined);
    return {
      tokensMost: [decoded.promptTokensMost, call.promptTokensMost],
      same: {
        hasMedia: [decoded.hasMedia, hasMedia],
        media,
        leftOut,
        promptCharacters,
        extensions,
        sent: Array.isArray(sent) ? Buffer.concat(sent).toString() : Buffer.from(sent as string).toString(),
        kept: decoded.keptItems("resp_1"),
        messages: call.prompt.kind === "messages" && call.prompt.messages,
      },
    };
  } catch (error) {
    const { message, param } = error as LineshaftError;
    return { same: { message, param } };
  }
}

const long = 'text, "quoted" and \\ more\n'.repeat(10);
const text = fc.constantFrom("", "user", "text", long, "\ud800");
const id = fc.constantFrom("c1", "c2", "c1".padEnd(140, "x"), "c2".padEnd(140, "x"));
const seldom = <Value>(value: fc.Arbitrary<Value>) =>
  fc.oneof({ weight: 12, arbitrary: fc.constant(undefined) }, { weight: 1, arbitrary: value });
const part = fc.oneof(
  { weight: 8, arbitrary: fc.record({ type: fc.constantFrom("input_text", "output_text"), text }) },
  {
    weight: 1,
    arbitrary: fc.record({
      type: fc.constant("input_image"),
      image_url: fc.constantFrom(`data:image/png;base64,${"A".repeat(300)}`, 5),
    }),
  },
  { weight: 1, arbitrary: fc.record({ type: text, text }) },
);
const content = fc.oneof(
  { weight: 3, arbitrary: text },
  { weight: 3, arbitrary: fc.array(part, { maxLength: 2 }) },
  { weight: 1, arbitrary: fc.constant(null) },
);
const sealed = fc.constantFrom(
  "short",
  "E".repeat(400),
  writeEnvelope({ text: long, proof: { origin: "anthropic", signature: "S".repeat(300) } }),
  writeEnvelope({ proof: { origin: "openai", encrypted: "E".repeat(300), id: "rs_1" } }),
);
const item = fc.oneof(
  {
    weight: 8,
    arbitrary: fc.record({
      type: seldom(fc.constant("message")),
      role: fc.constantFrom("user", "assistant", "developer"),
      content,
    }),
  },
  {
    weight: 4,
    arbitrary: fc.record({ type: fc.constant("function_call"), call_id: id, name: fc.constant("f"), arguments: text }),
  },
  {
    weight: 2,
    arbitrary: fc.record({ type: fc.constant("custom_tool_call"), call_id: id, name: fc.constant("g"), input: text }),
  },
  { weight: 2, arbitrary: fc.record({ type: fc.constant("function_call_output"), call_id: id, output: content }) },
  {
    weight: 3,
    arbitrary: fc.record({
      type: fc.constant("reasoning"),
      id: fc.constant("rs_2"),
      summary: fc.array(fc.record({ type: fc.constant("summary_text"), text }), { maxLength: 1 }),
      encrypted_content: fc.oneof(sealed, fc.constant(undefined)),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      type: fc.constantFrom("compaction", "compaction_trigger", "web_search_call", long),
      encrypted_content: sealed,
    }),
  },
  {
    weight: 1,
    arbitrary: fc.constantFrom<unknown>(null, 5, long, [long], { id: long }, { type: 5, role: long, content: long }),
  },
);
const body = fc.record(
  {
    model: fc.oneof({ weight: 15, arbitrary: fc.constant("m") }, { weight: 1, arbitrary: fc.constant(5) }),
    input: fc.array(item, { minLength: 1, maxLength: 5 }),
    instructions: text,
    max_output_tokens: fc.constant(9),
    tools: fc.constantFrom(
      [{ type: "function", name: "f", parameters: { type: "object", maximum: 1e20 } }],
      [{ type: "custom", name: "g" }],
    ),
    store: fc.boolean(),
    temperature: fc.constantFrom(1, 1, 1, 1, 1, 1, 3),
    text: fc.constant({ format: { type: "json_schema", name: "n", schema: { type: "number", minimum: 1e20 } } }),
    unknown: seldom(fc.constant(long)),
  },
  { requiredKeys: ["model", "input"] },
);

test.each(endpoints.map((endpoint, place) => [place, endpoint] as const))(
  "what is sent, read, kept and refused is the same with and without an outline, at endpoint %i",
  (_place, endpoint) => {
    let [sent, refused] = [0, 0];
    fc.assert(
      fc.property(body, (one) => {
        const bytes = Buffer.from(JSON.stringify(one));
        const lazily = passed(bytes, true, endpoint);
        if (lazily === undefined) return;
        const eagerly = passed(bytes, false, endpoint)!;
        expect(lazily.same).toEqual(eagerly.same);
        if (!lazily.tokensMost) return void refused++;
        sent++;
        for (const [place, most] of lazily.tokensMost.entries())
          expect(most).toBeGreaterThanOrEqual(eagerly.tokensMost![place]!);
      }),
      { numRuns: runs(1_000) },
    );
    expect(Math.min(sent, refused)).toBeGreaterThan(20);
  },
);

const said = (item: string) => `{"model":"m","input":[{"role":"user",${item}}]}`;

test.each([
  ["a name that is given twice", Buffer.from(said(`"content":"a","content":"${"b".repeat(200)}"`))],
  [
    "other escapes",
    Buffer.from(said(`"content":[{"\\u0074ype":"input_te\\u0078t","text":"${"\\u0062".repeat(99)}"}]`)),
  ],
  ["a member with the name of the prototype", Buffer.from(said(`"__proto__":{"a":1},"content":"${"b".repeat(200)}"`))],
])("with %s the outcome is the same", (_name, bytes) => {
  for (const endpoint of endpoints) {
    expect(passed(bytes, true, endpoint)).toBeDefined();
    expect(passed(bytes, true, endpoint)?.same).toEqual(passed(bytes, false, endpoint)?.same);
  }
});

test("an ordinary long call reaches the engine's bytes unparsed", () => {
  const bytes = Buffer.from(
    JSON.stringify({
      model: "m",
      store: false,
      input: [
        { role: "user", content: long },
        { type: "function_call", call_id: "1", name: "f", arguments: long },
        { type: "function_call_output", call_id: "1", output: long },
      ],
    }),
  );
  const meter = metered(bytes);
  const json = parseLazily(bytes, meter.members!, "input", meter.outline!)!;
  const property = Object.getOwnPropertyDescriptor(json, "input")!;
  const reads: string[] = [];
  Object.defineProperty(json, "input", { ...property, get: () => reads.push("input") });
  const fitted = decodeCall(json, { bytes, members: meter.members }).fitted(endpoints[0]!);
  const engineBody = fitted.engineBody({ shape: "responses", model: "m", outputTokens: 5 });
  expect(hasOutline(engineBody, "input")).toBe(true);
  expect(fitted.promptTokensMost).toBeGreaterThan(bytes.length);
  expect(fitted.prompt.kind).toBe("messages");
  expect([fitted.hasMedia, fitted.media, fitted.tools, reads]).toEqual([false, [], [], []]);
});
