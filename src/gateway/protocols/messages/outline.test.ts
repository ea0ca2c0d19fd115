// A long body is judged by its outline. What is sent, read and refused is what the whole body gives.
import fc from "fast-check";
import { expect, test } from "vitest";
import { hasOutline, JsonMeter, parseLazily, Pieces } from "../../../bounded/index.ts";
import type { RegisteredEndpoint, Shape } from "../../../engines/index.ts";
import { encodeBody } from "../../../engines/wire/splice.ts";
import type { LineshaftError } from "../../../errors/index.ts";
import { decodeAs } from "../testing.ts";
import { messages } from "./index.ts";
import { runs } from "../../../../test/setup/runs.ts";

const endpointOf = (shape: Shape, media?: string[]) =>
  ({
    name: "e",
    endpoint: "e",
    kind: shape === "messages" ? "anthropic" : "openai",
    model: "m",
    allowFields: [],
    facts: { models: [], capabilities: { speaks: [shape], tokenize: false, kvEvents: false, media } },
  }) as unknown as RegisteredEndpoint;
const endpoints = [
  endpointOf("messages"),
  endpointOf("messages", []),
  endpointOf("chat"),
  endpointOf("responses", ["image"]),
];
const bounds = { depth: 100, values: Infinity, numbers: Infinity };

function metered(bytes: Buffer): JsonMeter {
  const meter = new JsonMeter(bounds, true, { outlined: "messages", partLength: 300 });
  meter.push(bytes);
  return meter;
}

/** What becomes of a body: what an engine is sent and how it is read, or the error. */
function passed(whole: Buffer, isLazy: boolean, endpoint: RegisteredEndpoint) {
  const bytes = new Pieces([whole.subarray(0, 99), whole.subarray(99, 400), whole.subarray(400)]);
  const { members, outline } = metered(whole);
  if (isLazy && outline === undefined) return undefined;
  try {
    const json = isLazy ? parseLazily(bytes, members!, "messages", outline!) : JSON.parse(whole.toString("utf8"));
    const decoded = decodeAs(messages, json, { bytes, members });
    const [shape] = endpoint.facts!.capabilities.speaks as [Shape];
    const call = decoded.fitted(endpoint);
    const { hasMedia, media, leftOut } = call;
    const body = call.engineBody({ shape, model: "m", outputTokens: 5, capabilities: endpoint.facts!.capabilities });
    const sent = encodeBody(body, shape === "messages" ? call.received : undefined);
    return {
      tokensMost: [decoded.promptTokensMost, call.promptTokensMost],
      same: {
        hasMedia: [decoded.hasMedia, hasMedia],
        media,
        leftOut,
        extensions: call.extensions,
        sent: Array.isArray(sent) ? Buffer.concat(sent).toString() : Buffer.from(sent as string).toString(),
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
const seldom = <Value>(value: fc.Arbitrary<Value>) =>
  fc.oneof({ weight: 12, arbitrary: fc.constant(undefined) }, { weight: 1, arbitrary: value });
const source = fc.oneof(
  fc.record({ type: fc.constant("base64"), media_type: fc.constant("image/png"), data: fc.constant("A".repeat(300)) }),
  fc.record({
    type: fc.constant("url"),
    url: fc.constantFrom(`https://pictures.example/${"a".repeat(200)}`, "https://p.example/"),
  }),
  fc.record({ type: fc.constantFrom("text", "file", "content", long), data: text, content: text, file_id: text }),
);
const plain = fc.record({ type: fc.constant("text"), text, cache_control: seldom(fc.constant({ type: "ephemeral" })) });
const inner = fc.oneof(
  { weight: 6, arbitrary: plain },
  { weight: 1, arbitrary: fc.record({ type: fc.constantFrom("image", "document"), source, title: seldom(text) }) },
);
/** Numbers that are longer in the JSON that is written of them than in the one that they were read from, too. */
const input = fc.oneof(
  fc.record({ command: text, timeout: fc.constantFrom(1, 1e20, -2e-7) }),
  fc.constant({ list: Array.from({ length: 40 }, () => 1e20), more: { text: long } }),
);
const block = fc.oneof(
  { weight: 8, arbitrary: inner },
  { weight: 4, arbitrary: fc.record({ type: fc.constant("tool_use"), id: text, name: text, input }) },
  {
    weight: 4,
    arbitrary: fc.record({
      type: fc.constant("tool_result"),
      tool_use_id: text,
      content: fc.oneof(text, fc.array(inner, { maxLength: 2 })),
      is_error: seldom(fc.boolean()),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      type: fc.constant("thinking"),
      thinking: text,
      signature: fc.constantFrom("s", "S".repeat(400)),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      type: fc.constantFrom("redacted_thinking", "server_tool_use", "container_upload", long),
      data: text,
    }),
  },
  { weight: 1, arbitrary: fc.constantFrom<unknown>(null, 5, long, { text: long }, { type: 5 }) },
);
const message = fc.record({
  role: fc.oneof(
    { weight: 20, arbitrary: fc.constantFrom("user", "assistant", "system") },
    { weight: 1, arbitrary: text },
  ),
  content: fc.oneof(text, fc.array(block, { maxLength: 3 }), seldom(fc.constant(null))),
  more: seldom(fc.oneof(text, fc.constant({ deep: [[long]] }))),
});
const tool = fc.record({
  name: fc.constantFrom("f", "g"),
  description: text,
  input_schema: fc.constant({ type: "object", properties: { a: { type: "number", maximum: 1e20 } } }),
});
const body = fc.record(
  {
    model: fc.oneof({ weight: 15, arbitrary: fc.constant("m") }, { weight: 1, arbitrary: fc.constant(5) }),
    max_tokens: fc.constant(9),
    messages: fc.array(message, { minLength: 1, maxLength: 4 }),
    system: fc.oneof(text, fc.array(plain, { maxLength: 2 })),
    tools: fc.array(tool, { maxLength: 2 }),
    temperature: fc.constantFrom(1, 1, 1, 1, 1, 1, 3),
    output_config: fc.constant({ format: { type: "json_schema", schema: { type: "number", minimum: 1e20 } } }),
    speed: fc.constantFrom("standard", "standard", "standard", "fast"),
  },
  { requiredKeys: ["model", "max_tokens", "messages"] },
);

test.each(endpoints.map((endpoint, place) => [place, endpoint] as const))(
  "what is sent, read and refused is the same with and without an outline, at endpoint %i",
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

const said = (content: string) => `{"model":"m","max_tokens":9,"messages":[{"role":"user",${content}}]}`;

test.each([
  ["a name that is given twice", Buffer.from(said(`"content":"a","content":"${"b".repeat(200)}"`))],
  ["other escapes", Buffer.from(said(`"content":[{"\\u0074ype":"te\\u0078t","text":"${"\\u0062".repeat(99)}"}]`))],
  ["a member with the name of the prototype", Buffer.from(said(`"__proto__":{"a":1},"content":"${"b".repeat(200)}"`))],
  [
    "bytes that are not UTF-8",
    Buffer.concat([Buffer.from(said('"content":"').slice(0, -3)), Buffer.alloc(300, 0xff), Buffer.from('"}]}')]),
  ],
])("with %s the outcome is the same", (_name, bytes) => {
  for (const endpoint of endpoints) {
    expect(passed(bytes, true, endpoint)).toBeDefined();
    expect(passed(bytes, true, endpoint)?.same).toEqual(passed(bytes, false, endpoint)?.same);
  }
});

test("messages that are nested deeper, or hold more values, than the usual are judged by the schema", () => {
  const deep = `${"[".repeat(90)}"${long.replaceAll(/["\\\n]/g, " ")}"${"]".repeat(90)}`;
  const many = `[${Array.from({ length: 70_000 }, () => "true").join()}]`;
  for (const input of [deep, many]) {
    const bytes = Buffer.from(
      said(`"content":[{"type":"tool_use","id":"1","name":"f","input":{"a":${input},"b":"${"b".repeat(200)}"}}]`),
    );
    const eagerly = passed(bytes, false, endpoints[0]!);
    expect(passed(bytes, true, endpoints[0]!)?.same ?? eagerly?.same).toEqual(eagerly?.same);
  }
});

test("an ordinary long call reaches the engine's bytes unparsed", () => {
  const blocks = [{ type: "tool_use", id: "1", name: "f", input: { command: long } }];
  const bytes = Buffer.from(
    JSON.stringify({
      model: "m",
      max_tokens: 9,
      messages: [
        { role: "user", content: long },
        { role: "assistant", content: blocks },
      ],
    }),
  );
  const meter = metered(bytes);
  const json = parseLazily(bytes, meter.members!, "messages", meter.outline!)!;
  const property = Object.getOwnPropertyDescriptor(json, "messages")!;
  const reads: string[] = [];
  Object.defineProperty(json, "messages", { ...property, get: () => reads.push("messages") });
  const fitted = decodeAs(messages, json, { bytes, members: meter.members }).fitted(endpoints[0]!);
  const engineBody = fitted.engineBody({ shape: "messages", model: "m", outputTokens: 5 });
  expect(hasOutline(engineBody, "messages")).toBe(true);
  expect(fitted.prompt.kind).toBe("messages");
  expect([fitted.hasMedia, fitted.media, fitted.promptTokensMost > bytes.length, fitted.tools, reads]).toEqual([
    false,
    [],
    true,
    [],
    [],
  ]);
});
