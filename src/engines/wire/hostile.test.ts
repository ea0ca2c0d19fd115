// Answers that no engine should send: any JSON at any place of an answer is read, or is an EngineError; nothing else is thrown, no count is
// more than can be counted, and what is remembered of a stream stays bounded.
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { EngineError, type Usage } from "../types.ts";
import { geminiEmbeddingsReader } from "./gemini/embed.ts";
import { geminiReader } from "./gemini/read.ts";
import { responsesReader } from "./responses/read.ts";
import type { WireReader } from "./types.ts";
import { runs } from "../../../test/setup/runs.ts";

type Json = Record<string, unknown>;

/** Any value, with the members that the readers look at. */
function valuesOf(names: readonly string[], texts: readonly string[]): fc.Arbitrary<unknown> {
  return fc.letrec((tie) => ({
    value: fc.oneof(
      { depthSize: "small", withCrossShrink: true },
      fc.constantFrom<unknown>(
        null,
        true,
        -1,
        1e300,
        Number.MAX_SAFE_INTEGER,
        2.5,
        "",
        "toString",
        "constructor",
        ...texts,
      ),
      fc.array(tie("value"), { maxLength: 3 }),
      fc.dictionary(fc.constantFrom(...names, "__proto__", "toString"), tie("value"), { maxKeys: 6 }),
    ),
  })).value;
}

const readers: [string, WireReader, string[], string[]][] = [
  [
    "responses",
    responsesReader as WireReader,
    [
      ...["type", "response", "output", "item", "delta", "output_index", "status", "error", "usage", "input_tokens"],
      ...["output_tokens", "input_tokens_details", "cached_tokens", "content", "summary", "encrypted_content", "text"],
      ...["call_id", "name", "namespace", "arguments", "input", "incomplete_details", "reason", "summary_index", "id"],
    ],
    [
      ...[
        "response.output_item.added",
        "response.output_item.done",
        "response.output_text.delta",
        "response.completed",
      ],
      ...["response.function_call_arguments.delta", "response.reasoning_text.delta", "response.incomplete", "message"],
      ...["function_call", "custom_tool_call", "reasoning", "output_text", "refusal", "response.failed", "error"],
    ],
  ],
  [
    "gemini",
    geminiReader as WireReader,
    [
      ...[
        "candidates",
        "content",
        "parts",
        "text",
        "thought",
        "thoughtSignature",
        "functionCall",
        "name",
        "args",
        "id",
      ],
      ...["index", "finishReason", "usageMetadata", "promptTokenCount", "candidatesTokenCount", "thoughtsTokenCount"],
      ...["totalTokenCount", "cachedContentTokenCount", "promptFeedback", "blockReason", "responseId"],
    ],
    ["STOP", "SAFETY"],
  ],
  [
    "Google's embeddings",
    geminiEmbeddingsReader as WireReader,
    ["embeddings", "values", "usageMetadata", "promptTokenCount"],
    [],
  ],
];

describe.each(readers)("answers of %s", (_, reader, names, texts) => {
  const objects = fc.dictionary(fc.constantFrom(...names), valuesOf(names, texts), { maxKeys: 6 });

  test("of any JSON are read or refused", () => {
    fc.assert(
      fc.property(fc.array(objects, { maxLength: 4 }), fc.boolean(), (events, isStreamed) => {
        const state = reader.begin(isStreamed);
        for (const event of events) {
          judge(() => {
            for (const count of countsOf(reader.usage(event, state)))
              expect(Number.isSafeInteger(count) && count >= 0).toBe(true);
            reader.isAnswer(event);
            reader.ends(event, undefined);
            const chunk = reader.read(event, undefined, isStreamed ? JSON.stringify(event) : undefined, state);
            for (const { index, text = "", reasoning = "", finish = "", toolCalls = [] } of chunk.deltas) {
              expect(Number.isSafeInteger(index)).toBe(true);
              expect([typeof text, typeof reasoning, typeof finish]).toEqual(["string", "string", "string"]);
              for (const call of toolCalls) expect(typeof (call.arguments ?? "")).toBe("string");
            }
          });
        }
      }),
      { numRuns: runs(300) },
    );
  });

  test("that are nested as deep as JSON may be are read in time", () => {
    let deep: unknown = "x";
    for (let level = 0; level < 10_000; level++) deep = { [names[level % names.length]!]: [deep] };
    judge(() => reader.read(deep as Json, undefined, "", reader.begin(true)));
  });
});

/** Only an EngineError may be thrown. */
function judge(read: () => unknown): void {
  try {
    read();
  } catch (error) {
    if (!(error instanceof EngineError)) throw error;
  }
}

const countsOf = (usage: Usage | undefined): number[] =>
  usage ? [usage.promptTokens, usage.cachedTokens, usage.outputTokens, usage.reasoningTokens] : [];
