// What every protocol promises, as one suite that each protocol's test calls with bodies and answers of its own. It knows no protocol: it
// speaks through the four verbs, and reads what they write back by the reader that the protocol's test gives.
import { describe, expect, test } from "vitest";
import { LineshaftError } from "../../errors/index.ts";
import type { AnswerDelta, RegisteredEndpoint, Usage, WireObject } from "../../engines/index.ts";
import { limits } from "../limits.ts";
import type { ModelCall } from "../modelCall.ts";
import type { AnswerChunk } from "../types.ts";
import { routeOf } from "./registry.ts";
import { decodeAs } from "./testing.ts";
import type { Protocol, Told } from "./types.ts";

type Json = Record<string, unknown>;

/** What a client of the protocol understands of an answer. */
export interface Read {
  text: string;
  toolCalls: { id: string; name: string; arguments: string }[];
  finish: string | undefined;
  usage: Pick<Usage, "promptTokens" | "cachedTokens" | "outputTokens"> | undefined;
}

interface ProtocolCase {
  protocol: Protocol;
  /** The smallest body that is a call. */
  minimal: Json;
  /** A body with every field that the protocol knows, and what it must be decoded to. */
  maximal: Json;
  decoded: Partial<ModelCall>;
  /** Bodies that are refused, each with the field that the refusal names. */
  refused: [body: Json, param: string][];
  /** Fields that an endpoint which takes `fields` refuses by name. */
  unknown: { fields: readonly string[]; body: Json; param: string };
  /** Reads a body; absent: as it comes. An API that says in the path what others say in the body takes it out of the body first. */
  decode?: (body: Json) => ModelCall;
  /** Adds what asks for a stream. */
  streaming: (body: Json) => Json;
  /** Whether its answers can have tool calls. */
  calls: boolean;
  /** Engines are asked in another shape, and its streams always end with the usage. */
  translated?: true;
  /** A whole answer and the chunks of a stream in the engine's own shape, with the text `Hello` and the finish `stop`. */
  wire: { whole: WireObject; chunks: WireObject[] };
  /** Reads a whole answer's body, as a client does. */
  readWhole: (body: string) => Read;
  /** Reads everything that was written of a stream, as a client does; throws what an event of an error says. */
  readStream: (text: string) => Read & { ended: boolean };
  /** Status, code and message of an error's body, as a client reads them. */
  readError: (body: string) => { type: string; code: string; message: string };
  /** The protocol's own types of these failures. */
  errorTypes: Record<"invalid" | "unauthenticated" | "busy" | "failed", string>;
}

const usage: Usage = { promptTokens: 12, cachedTokens: 8, outputTokens: 3, reasoningTokens: 0, source: "engine" };

export function protocolSuite(of: ProtocolCase): void {
  const { protocol } = of;
  /** In which engines that speak completions alone are asked its calls. */
  const engineShape = protocol.shape === "completions" ? "completions" : "chat";
  const decode = of.decode ?? ((body: Json) => decodeAs(protocol, body));
  const told: Told = { call: decode(of.minimal), id: "call_1", createdMs: 7000 };
  const delta = (more: Partial<AnswerDelta>): AnswerDelta => ({ index: 0, ...more });
  const chunkOf = (wire: WireObject, deltas: readonly AnswerDelta[], more: Partial<AnswerChunk> = {}): AnswerChunk => ({
    deltas,
    wire,
    ...more,
  });
  /** The same answer, once in deltas as a stream has them and once whole. */
  const deltas = [
    delta({ text: "Hel" }),
    delta({ text: "lo" }),
    ...(of.calls
      ? [
          delta({ toolCalls: [{ index: 0, id: "call_1", name: "f", arguments: "" }] }),
          delta({ toolCalls: [{ index: 0, arguments: '{"a":1}' }] }),
        ]
      : []),
    delta({ finish: of.calls ? "tool_calls" : "stop" }),
  ];
  const whole = delta({
    text: "Hello",
    ...(of.calls && { toolCalls: [{ index: 0, id: "call_1", name: "f", arguments: '{"a":1}' }] }),
    finish: of.calls ? "tool_calls" : "stop",
  });
  const streamed = (chunks: AnswerChunk[]): string => {
    const encode = protocol.events(told);
    return [...chunks.map((chunk) => encode(chunk)), encode(undefined)].join("");
  };

  describe("decode", () => {
    test("its request is routed to it", () => {
      for (const call of protocol.calls) {
        const path = call.path.replaceAll(/[{}]/g, "");
        expect(routeOf(call.method, path)).toMatchObject({ protocol, call });
        expect(routeOf("GET", path)).not.toMatchObject({ protocol, call });
      }
      const said = protocol.saidBy === undefined ? {} : { [protocol.saidBy]: "1" };
      for (const question of protocol.questions)
        expect(routeOf(question.method, question.path.replaceAll(/[{}]/g, ""), said)).toMatchObject({
          protocol,
          question,
        });
    });

    test("the smallest body is a call with nothing asked", () => {
      const call = decode(of.minimal);
      expect(call).toMatchObject({
        model: of.minimal["model"],
        stream: false,
        streamUsage: of.translated === true,
        answersPerPrompt: 1,
      });
      expect(call.tools).toEqual([]);
      expect(call.format).toBeUndefined();
      expect(call.outputLimit()?.tokens).toBe(of.minimal["max_tokens"]);
      expect(call.thinking).toMatchObject({ asked: false, tokensBeside: 0 });
      expect(call.hasMedia).toBe(false);
      expect(call.promptTokensMost).toBeGreaterThan(call.promptCharacters / 4);
      expect(decode(of.streaming(of.minimal)).stream).toBe(true);
    });

    test("every field that it knows is read", () => {
      const call = decode(of.maximal);
      const { prompt } = call;
      // Messages may be read by a getter of their class, which `toEqual` does not compare.
      const asked = prompt.kind === "messages" ? { kind: prompt.kind, messages: prompt.messages } : prompt;
      for (const [field, value] of Object.entries(of.decoded))
        expect(field === "prompt" ? asked : call[field as keyof ModelCall], field).toEqual(value);
    });

    test.each(of.refused)("%j is refused by the name of its field", (body, param) => {
      expect(() => decode(body)).toThrow(expect.objectContaining({ status: 400, param }));
    });

    test.each([null, [], "text", 5])("%j is no body", (wrong) => {
      expect(() => decode(wrong as unknown as Json)).toThrow(expect.objectContaining({ status: 400 }));
    });

    test("more values, more depth or a longer name of a model than may be is refused", () => {
      let deep: unknown = 1;
      for (let depth = 0; depth <= limits.bodyDepth; depth++) deep = [deep];
      const many = Array.from({ length: limits.bodyValues + 1 }, () => 1);
      const model = "m".repeat(limits.modelNameCharacters + 1);
      for (const more of [{ deep }, { many }, { model }])
        expect(() => decode({ ...of.minimal, ...more })).toThrow(expect.objectContaining({ status: 400 }));
    });

    test("a field that the endpoint does not take is refused by name, one that asks for nothing is left out", () => {
      const endpoint = endpointWith(of.unknown.fields);
      const refused = () => decode(of.unknown.body).fitted(endpoint);
      expect(refused).toThrow(expect.objectContaining({ code: "unsupported_parameter", param: of.unknown.param }));
      const nothing = decode({ ...of.minimal, [of.unknown.param]: null }).fitted(endpoint);
      expect(nothing.engineBody({ shape: engineShape, model: "m" })).not.toHaveProperty(of.unknown.param);
    });

    test.skipIf(of.translated)("where nothing must change the values of the body are those that came", () => {
      const call = decode(of.maximal);
      const body = call.engineBody({ shape: engineShape, model: call.model });
      expect(call.received?.object).toBeDefined();
      for (const [field, value] of Object.entries(call.received!.object)) expect(body[field]).toBe(value);
    });

    test("an engine is sent its own name of the model and one limit of output", () => {
      const body = decode(of.minimal).engineBody({ shape: engineShape, model: "theirs", outputTokens: 7 });
      expect(body).toMatchObject({ model: "theirs", max_tokens: 7 });
    });
  });

  describe("whole and events", () => {
    test("what an engine of the same shape sent is passed on byte for byte", () => {
      const { whole: given, chunks } = of.wire;
      expect(protocol.whole(chunkOf(given, []), told)).toBe(given.text);
      const encode = protocol.events(told);
      for (const wire of chunks) expect(encode(chunkOf(wire, []))).toContain(wire.text!);
      expect(of.readWhole(given.text!)).toMatchObject({ text: "Hello", finish: "stop" });
      expect(of.readStream(streamed(chunks.map((wire) => chunkOf(wire, []))))).toMatchObject({
        text: "Hello",
        ended: true,
      });
    });

    test("a whole answer says what its stream says", () => {
      const [wire] = of.wire.chunks;
      const inOne = of.readWhole(protocol.whole(chunkOf(of.wire.whole, [whole], { usage, altered: true }), told));
      const chunks = deltas.map((one) => chunkOf(wire!, [one], { altered: true }));
      const inPieces = of.readStream(streamed([...chunks, chunkOf(wire!, [], { usage, altered: true })]));
      expect(inPieces).toEqual({ ...inOne, ended: true });
      expect(inOne).toMatchObject({ text: "Hello", toolCalls: of.calls ? [{ id: "call_1", name: "f" }] : [] });
      expect(inOne.usage).toEqual({ promptTokens: 12, cachedTokens: 8, outputTokens: 3 });
    });

    test("an engine that answers in another shape is encoded from what it says", () => {
      const other = of.wire.whole.shape === "chat" ? ("completions" as const) : ("chat" as const);
      const wire: WireObject = {
        shape: other,
        data: { id: "id-1", model: "m", created: 1 },
        text: '{"never":"sent"}',
      };
      const body = protocol.whole(chunkOf(wire, [whole], { usage }), told);
      expect(body).not.toContain("never");
      expect(of.readWhole(body)).toMatchObject({ text: "Hello" });
      expect(of.readStream(streamed(deltas.map((one) => chunkOf(wire, [one]))))).toMatchObject({
        text: "Hello",
        ended: true,
      });
    });

    test("the usage that is billed is told in place of what the engine claims", () => {
      const billed = { ...usage, outputTokens: 2 };
      const { whole: given } = of.wire;
      expect(of.readWhole(protocol.whole(chunkOf(given, [], { usage: billed }), told))).toMatchObject({
        text: "Hello",
        usage: { outputTokens: 2 },
      });
    });

    test("two streams know nothing of each other", () => {
      const [wire] = of.wire.chunks;
      const [one, two] = [protocol.events(told), protocol.events(told)];
      const chunk = chunkOf(wire!, []);
      expect([one(chunk), one(undefined)]).toEqual([two(chunk), two(undefined)]);
    });
  });

  describe("error", () => {
    const failures: [keyof ProtocolCase["errorTypes"], LineshaftError][] = [
      ["invalid", new LineshaftError({ code: "invalid_value", message: "It is wrong.", hint: "Correct it." })],
      ["unauthenticated", new LineshaftError({ code: "invalid_api_key", message: "No key.", hint: "Send one." })],
      ["busy", new LineshaftError({ code: "queue_full", message: "Too many.", hint: "Wait." })],
      ["failed", new LineshaftError({ code: "engine_failed", message: "It broke.", hint: "Try again." })],
    ];

    test.each(failures)("%s has the protocol's shape and type, and says what to do", (name, failure) => {
      const read = of.readError(protocol.error(failure, "body"));
      expect(read).toMatchObject({ type: of.errorTypes[name], code: failure.code });
      expect(read.message).toContain(failure.hint);
    });

    test.each(failures)("%s inside a stream ends it, and its client reads the same error", (_name, failure) => {
      const encode = protocol.events(told);
      const begun = encode(chunkOf(of.wire.chunks[0]!, []));
      expect(() => of.readStream(begun + protocol.error(failure, "stream", { told }))).toThrow(failure.message);
    });
  });
}

const endpointWith = (fields: readonly string[]): RegisteredEndpoint =>
  ({
    name: "m",
    kind: "openai",
    allowFields: [],
    facts: { models: ["m"], capabilities: { fields } },
  }) as unknown as RegisteredEndpoint;
