// In which format an engine is asked a call.
import { expect, test } from "vitest";
import type { Shape } from "../asked.ts";
import { shapeFor } from "./writers.ts";

const facts = { tokenize: false, kvEvents: false };

test.each<[Shape, readonly Shape[] | undefined, Shape | undefined]>([
  // Engines that say nothing else speak OpenAI's completions.
  ["chat", undefined, "chat"],
  ["completions", undefined, "completions"],
  ["messages", undefined, "chat"],
  ["responses", undefined, "chat"],
  ["embeddings", undefined, undefined],
  // The call's own format before the one that the engine prefers.
  ["chat", ["responses", "chat"], "chat"],
  ["gemini", ["messages", "chat"], "messages"],
  ["chat", ["responses"], "responses"],
  ["responses", ["gemini"], "gemini"],
  // A format that no call can be written in is passed over.
  ["messages", ["embeddings", "completions", "chat"], "chat"],
  ["gemini", ["messages"], "messages"],
  ["completions", ["messages"], undefined],
  ["rerank", ["chat", "rerank"], "rerank"],
  ["chat", ["embeddings"], undefined],
])("a call of %s at an engine that speaks %j is asked in %s", (shape, speaks, expected) => {
  expect(shapeFor({ shape }, speaks && { ...facts, speaks })).toBe(expected);
});
