// Requests of real clients at engines that speak an API of their own. At an engine of the client's API a request leaves byte for byte but for
// the members that must change. At any other engine it is written anew, and what the engine's API has no word for is refused by name.
import { describe, expect, test } from "vitest";
import type { RegisteredEndpoint, Shape } from "../../src/engines/index.ts";
import { encodeBody } from "../../src/engines/wire/splice.ts";
import type { ModelCall } from "../../src/gateway/modelCall.ts";
import { routeOf } from "../../src/gateway/protocols/registry.ts";
import { recordings, type Recording } from "./recordings.ts";

type Json = Record<string, any>;

const engineOf = (shape: Shape): RegisteredEndpoint =>
  ({
    name: "own",
    kind: shape,
    allowFields: [],
    facts: { models: [], capabilities: { tokenize: false, kvEvents: false, speaks: [shape] } },
  }) as unknown as RegisteredEndpoint;

function decoded({ method, path, headers, body }: Recording): ModelCall | undefined {
  const [bare, query] = path.split("?");
  const route = routeOf(method, bare!);
  if (!route?.call) return undefined;
  const text = JSON.stringify(body);
  const { protocol, call, names } = route;
  const model = names["model"];
  return protocol.decode({
    route: call,
    model,
    path: bare!,
    query: new URLSearchParams(query),
    headers,
    bytes: Buffer.from(text),
    json: body,
  });
}

const calls = recordings().flatMap((recording) => {
  const call = decoded(recording);
  return call?.kind === "generate" ? [{ name: recording.name, recording, call }] : [];
});
const of = (shape: Shape) => calls.filter(({ call }) => call.shape === shape);

/** What is sent, as one text. */
function sent(call: ModelCall, shape: Shape): string {
  const fitted = call.fitted(engineOf(shape));
  const body = fitted.engineBody({ shape, model: "theirs", outputTokens: 777, stream: call.stream });
  const source = call.received?.shape === shape ? call.received : undefined;
  const encoded = encodeBody(body, source);
  return typeof encoded === "string" ? encoded : Buffer.concat([encoded].flat()).toString();
}

describe.each(of("responses"))("Codex and its kin at Responses: $name", ({ recording, call }) => {
  test("byte for byte but for the model, the limit, what is kept and tools that are billed by their number", () => {
    const { previous_response_id: _previous, ...expected } = recording.body!;
    expected["model"] = "theirs";
    expected["store"] = false;
    expected["max_output_tokens"] = 777;
    if (expected["tools"]) expected["tools"] = expected["tools"].filter(({ type }: Json) => type !== "web_search");
    // Without an answer that is kept, nothing has to be asked for beside what the client wants.
    expect(sent(call, "responses")).toBe(JSON.stringify(expected));
  });
});

describe.each(of("gemini"))("Gemini CLI and its kin at Gemini: $name", ({ recording, call }) => {
  test("byte for byte but for the limit", () => {
    const expected = {
      ...recording.body,
      generationConfig: { ...recording.body!["generationConfig"], maxOutputTokens: 777 },
    };
    expect(sent(call, "gemini")).toBe(JSON.stringify(expected));
  });
});

describe.each<Shape>(["responses", "gemini", "messages"])("written for an engine that speaks %s", (shape) => {
  test("every recorded call is taken, or refused by a name that its client wrote", () => {
    const refused: Record<string, number> = {};
    for (const { call } of calls) {
      if (call.shape === shape) continue;
      try {
        expect(JSON.parse(sent(call, shape))).toBeTypeOf("object");
      } catch (error) {
        const { code, param } = error as { code?: string; param?: string };
        if (code === undefined) throw error;
        refused[`${call.shape} ${param}`] = (refused[`${call.shape} ${param}`] ?? 0) + 1;
      }
    }
    expect(refused).toEqual(refusals[shape]);
  });
});

/** What the recorded clients ask for that an API has no word for, with the number of the calls. */
const refusals: Partial<Record<Shape, Record<string, number>>> = {
  responses: {},
  gemini: {},
  messages: {},
};
