// What engines are asked, and what they answer, over generated calls: a call that is written in an engine's format and read again by the
// protocol of that format says the same, and an answer that the protocol writes is read again by the engine's reader. What a format has no
// word for is named here, and nothing else may be lost.
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { writerOf } from "../../engines/index.ts";
import type { AnswerDelta, Asked, Message, Part, Shape } from "../../engines/index.ts";
import { geminiReader } from "../../engines/wire/gemini/read.ts";
import { responsesReader } from "../../engines/wire/responses/read.ts";
import type { WireReader } from "../../engines/wire/types.ts";
import type { ModelCall } from "../modelCall.ts";
import { gemini } from "./gemini/index.ts";
import { responses } from "./responses/index.ts";
import type { Protocol, Told } from "./types.ts";

type Json = Record<string, unknown>;

const text = fc.string({ unit: "grapheme", minLength: 1, maxLength: 12 });
const textPart = text.map((said): Part => ({ kind: "text", text: said }));
const image = fc.constant<Part>({ kind: "image", url: "data:image/png;base64,AAAA" });
const args = fc.dictionary(fc.constantFrom("a", "b"), fc.oneof(fc.integer(), text));

/** A turn of the model that calls tools, and the user's turn with their results. */
const toolTurns = (origin: "openai" | "gemini") =>
  fc
    .record({
      thought: fc.boolean(),
      said: fc.option(text),
      calls: fc.array(fc.record({ args, result: text, isError: fc.boolean() }), { minLength: 1, maxLength: 3 }),
      more: fc.array(textPart, { maxLength: 1 }),
    })
    .map(({ thought, said, calls, more }) => (first: number): Message[] => {
      const key = origin === "openai" ? "encrypted" : "signature";
      const proof = { origin, [key]: `proof${first}` } as const;
      const named = calls.map((call, place) => ({ ...call, id: `call_${first}_${place}` }));
      return [
        {
          role: "assistant",
          parts: [
            ...(thought ? [{ kind: "reasoning", text: "", proof } as const] : []),
            ...(said === null ? [] : [{ kind: "text", text: said } as const]),
            ...named.map((call): Part => ({
              kind: "tool_call",
              id: call.id,
              name: "weigh",
              arguments: JSON.stringify(call.args),
            })),
          ],
        },
        {
          role: "user",
          parts: [
            ...named.map((call): Part => ({
              kind: "tool_result",
              id: call.id,
              parts: [{ kind: "text", text: call.result }],
              ...(call.isError && { isError: true }),
            })),
            ...more,
          ],
        },
      ];
    });

const conversation = (origin: "openai" | "gemini") =>
  fc
    .record({
      system: fc.array(text, { maxLength: 2 }),
      turns: fc.array(
        fc.oneof(
          fc
            .array(fc.oneof(textPart, image), { minLength: 1, maxLength: 3 })
            .map((parts) => () => [{ role: "user", parts } as Message]),
          text.map((said) => () => [{ role: "assistant", parts: [{ kind: "text", text: said }] } as Message]),
          toolTurns(origin),
        ),
        { minLength: 1, maxLength: 5 },
      ),
    })
    .map(({ system, turns }): Message[] => [
      ...system.map((said): Message => ({ role: "system", parts: [{ kind: "text", text: said }] })),
      ...turns.flatMap((turn, place) => turn(place)),
    ]);

function asked(messages: readonly Message[], more: Partial<Asked> = {}): Asked {
  return {
    shape: "chat",
    kind: "generate",
    model: "asked",
    stream: false,
    prompt: { kind: "messages", messages },
    tools: [{ name: "weigh", parameters: { type: "object", properties: { kg: { type: "number" } } } }],
    toolChoice: "auto",
    parallelTools: undefined,
    format: undefined,
    sampling: {},
    thinking: { asked: false, tokensBeside: 0 },
    verbosity: undefined,
    cacheKey: undefined,
    cacheTtlSeconds: undefined,
    answersPerPrompt: 1,
    extensions: {},
    headers: [],
    promptCharacters: 1,
    received: undefined,
    ...more,
  };
}

function decoded(protocol: Protocol, body: Json): ModelCall {
  const json = JSON.stringify(body);
  return protocol.decode({
    route: protocol.calls[0]!,
    model: "served",
    path: protocol.calls[0]!.path,
    query: new URLSearchParams(),
    headers: {},
    bytes: Buffer.from(json),
    json: body,
  });
}

const written = (shape: Shape, call: Asked): Json =>
  writerOf(shape)!.write(call, { model: "served", outputTokens: 64 });

const messagesIn = ({ prompt }: ModelCall): readonly Message[] => (prompt.kind === "messages" ? prompt.messages : []);

/** A conversation as a list of who says what, whichever messages the parts stand in. */
function said(messages: readonly Message[], read: (part: Part) => Part[] = (part) => [part]): unknown[] {
  return messages.flatMap(({ role, parts }) => parts.flatMap(read).map((part) => [role, part]));
}

/** Instructions at the beginning become one text. */
function withOneInstruction(messages: readonly Message[]): Message[] {
  const texts = messages.filter(({ role }) => role === "system").flatMap(({ parts }) => parts);
  const rest = messages.filter(({ role }) => role !== "system");
  if (texts.length === 0) return rest;
  const whole = texts.map((part) => (part.kind === "text" ? part.text : "")).join("\n\n");
  return [{ role: "system", parts: [{ kind: "text", text: whole }] }, ...rest];
}

describe("a call that is written for an engine and read again says the same", () => {
  test("OpenAI's Responses: a failed tool says so in its text", () => {
    const asWritten = (part: Part): Part[] => {
      if (part.kind !== "tool_result" || !part.isError) return [part];
      const { isError: _said, ...rest } = part;
      const [first] = part.parts;
      return [{ ...rest, parts: [{ kind: "text", text: `Error: ${first?.kind === "text" ? first.text : ""}` }] }];
    };
    // The API says of every image how closely it is looked at.
    const asRead = (part: Part): Part[] => {
      if (part.kind !== "image") return [part];
      const { detail: _usual, ...rest } = part;
      return [rest];
    };
    fc.assert(
      fc.property(conversation("openai"), (messages) => {
        const call = decoded(responses, written("responses", asked(messages)));
        const read = messagesIn(call);
        expect(said(read, asRead)).toEqual(said(withOneInstruction(messages), asWritten));
        expect(call.tools).toMatchObject(asked([]).tools);
      }),
    );
  });

  test("Google's API: a result is the object that has it", () => {
    const asWritten = (part: Part): Part[] => {
      if (part.kind !== "tool_result") return [part];
      const [first] = part.parts;
      const member = { [part.isError ? "error" : "output"]: first?.kind === "text" ? first.text : "" };
      return [{ ...part, name: "weigh", parts: [{ kind: "text", text: JSON.stringify(member) }] }];
    };
    fc.assert(
      fc.property(conversation("gemini"), (messages) => {
        const call = decoded(gemini, written("gemini", asked(messages)));
        const read = messagesIn(call);
        expect(said(read)).toEqual(said(messages, asWritten));
        expect(call.tools).toEqual(asked([]).tools);
      }),
    );
  });

  const sampling = fc.record(
    {
      temperature: fc.constantFrom(0, 0.5, 1),
      topP: fc.constantFrom(0.1, 1),
      presencePenalty: fc.constantFrom(-1, 0, 1),
      frequencyPenalty: fc.constantFrom(-1, 0, 1),
    },
    { requiredKeys: [] },
  );
  const wishes = fc.record(
    {
      sampling,
      toolChoice: fc.constantFrom<Asked["toolChoice"]>("none", "auto", "required", { name: "weigh" }),
      format: fc.constantFrom<Asked["format"]>(
        undefined,
        { kind: "json" },
        { kind: "schema", schema: { type: "object" } },
      ),
    },
    { requiredKeys: ["sampling"] },
  );
  const hello: Message[] = [{ role: "user", parts: [{ kind: "text", text: "hi" }] }];

  test.each<[Shape, Protocol]>([
    ["responses", responses],
    ["gemini", gemini],
  ])("%s: sampling, choice of tools, format and limit", (shape, protocol) => {
    fc.assert(
      fc.property(wishes, (wish) => {
        const call = asked(hello, wish);
        expect(writerOf(shape)!.unsaid(call, { tokenize: false, kvEvents: false })).toEqual([]);
        const read = decoded(protocol, written(shape, call));
        expect(read.sampling).toEqual(wish.sampling);
        expect(read.toolChoice).toEqual(call.toolChoice);
        expect(read.format).toEqual(
          wish.format && { ...wish.format, ...(read.format && "name" in read.format && { name: "output" }) },
        );
        expect(read.outputLimit()?.tokens).toBe(64);
      }),
    );
  });

  test.each<[Shape, Partial<Asked>, string[]]>([
    [
      "responses",
      { sampling: { seed: 1, stop: ["x"], logprobs: 2, minP: 0.1 } },
      ["min_p", "seed", "stop", "logprobs"],
    ],
    ["responses", { answersPerPrompt: 2 }, ["n"]],
    ["responses", { extensions: { logit_bias: { 1: 2 }, user: "me", store: true } }, ["logit_bias", "store"]],
    ["responses", { shape: "gemini", sampling: { stop: ["x"] } }, ["generationConfig.stopSequences"]],
    ["gemini", { sampling: { logprobs: 2, minP: 0.1 } }, ["min_p", "logprobs"]],
    ["gemini", { extensions: { logit_bias: { 1: 2 }, user: "me", store: false } }, ["logit_bias"]],
  ])("%s names what it has no word for: %j", (shape, more, paths) => {
    const unsaid = writerOf(shape)!.unsaid(asked(hello, more), { tokenize: false, kvEvents: false });
    expect(unsaid.filter(({ isHint }) => !isHint).map(({ path }) => path)).toEqual(paths);
  });

  test("Gemini CLI's top-k is left out and said so, where another client's is refused", () => {
    const of = (shape: Shape) =>
      writerOf("responses")!.unsaid(asked(hello, { shape, sampling: { topK: 64 } }), {
        tokenize: false,
        kvEvents: false,
      });
    expect(of("gemini")).toMatchObject([{ path: "generationConfig.topK", isHint: true }]);
    expect(of("chat")).toMatchObject([{ path: "top_k", isHint: false }]);
  });
});

describe("an answer that a protocol writes is read again by the engine's reader", () => {
  const pieces = fc.array(
    fc.oneof(
      text.map((said): AnswerDelta => ({ index: 0, text: said })),
      text.map((thought): AnswerDelta => ({ index: 0, reasoning: thought })),
      args.map((given): AnswerDelta => ({
        index: 0,
        toolCalls: [{ index: -1, name: "weigh", arguments: JSON.stringify(given) }],
      })),
    ),
    { minLength: 1, maxLength: 6 },
  );

  /** All that deltas say, in their order; neighbouring pieces of a kind are one. */
  function told(deltas: readonly AnswerDelta[]): unknown[] {
    const all: { kind: string; text: string }[] = [];
    const add = (kind: string, piece: string, joins: boolean) => {
      const last = all.at(-1);
      if (joins && last?.kind === kind) last.text += piece;
      else all.push({ kind, text: piece });
    };
    for (const { text: piece, reasoning, toolCalls = [] } of deltas) {
      if (reasoning) add("reasoning", reasoning, true);
      if (piece) add("text", piece, true);
      for (const call of toolCalls) {
        if (call.name) add("call", "", false);
        if (call.arguments) add("call", call.arguments, true);
      }
    }
    return all;
  }

  function streamed(protocol: Protocol, reader: WireReader, deltas: readonly AnswerDelta[]): AnswerDelta[] {
    const call = decoded(
      protocol,
      protocol === gemini
        ? {
            contents: [{ role: "user", parts: [{ text: "hi" }] }],
            generationConfig: { thinkingConfig: { includeThoughts: true } },
          }
        : { model: "served", input: "hi" },
    );
    const encode = protocol.events({ call, id: "call_1", createdMs: 0 } satisfies Told);
    const wire = { shape: "chat", data: {}, text: undefined } as const;
    const body = deltas.map((delta) => encode({ deltas: [delta], wire })).join("") + encode(undefined);
    const state = reader.begin(true);
    return body.split("\n\n").flatMap((event) => {
      const data = event
        .split("\n")
        .find((line) => line.startsWith("data: "))
        ?.slice(6);
      return data === undefined ? [] : reader.read(JSON.parse(data) as Json, undefined, data, state).deltas;
    });
  }

  test.each<[string, Protocol, WireReader]>([
    ["responses", responses, responsesReader as WireReader],
    ["gemini", gemini, geminiReader as WireReader],
  ])("%s", (_, protocol, reader) => {
    fc.assert(
      fc.property(pieces, (generated) => {
        let calls = 0;
        const deltas = generated.map((delta) =>
          delta.toolCalls
            ? { ...delta, toolCalls: [{ ...delta.toolCalls[0]!, index: calls, id: `c${calls++}` }] }
            : delta,
        );
        const ended: AnswerDelta[] = [...deltas, { index: 0, finish: calls > 0 ? "tool_calls" : "stop" }];
        const read = streamed(protocol, reader, ended);
        expect(told(read)).toEqual(told(ended));
        expect(read.at(-1)?.finish).toBe(calls > 0 ? "tool_calls" : "stop");
      }),
    );
  });
});
