// Answers of OpenAI's chat and text completions, as an exchange reads them.
import type { CompletionShape } from "../../asked.ts";
import type { EngineRequest } from "../../types.ts";
import type { WireReader } from "../types.ts";
import { chunkOf, saysEnd } from "./deltas.ts";
import { RepeatedChunks } from "./repeated.ts";
import { promptLength, usageOf } from "./usage.ts";

const readerOf = (shape: CompletionShape): WireReader<RepeatedChunks | undefined> => ({
  shape,
  promptCharacters: promptLength,
  isAnswer: (data) => Array.isArray(data["choices"]),
  begin: (streams, taken) => (streams ? new RepeatedChunks(shape, taken) : undefined),
  read: (data, _event, text) => chunkOf(shape, data, text),
  learn: (text, chunk, repeated) => repeated?.learn(text, chunk),
  again: (text, repeated) => repeated?.read(text),
  ends: (data) => (saysEnd(data) ? "answer" : "no"),
  usage: usageOf,
});

/** Readers of the two shapes, which differ in where a choice has its text. */
export const completionReaders: Record<CompletionShape, WireReader<RepeatedChunks | undefined>> = {
  chat: readerOf("chat"),
  completions: readerOf("completions"),
};

/** Routes of OpenAI's API below `/v1`. */
export const completionPaths: Record<CompletionShape, string> = {
  chat: "/chat/completions",
  completions: "/completions",
};

/** The shape of a request to an engine that speaks these two alone. The gateway asks such an engine nothing else. */
export function completionShapeOf({ shape }: Pick<EngineRequest, "shape">): CompletionShape {
  if (shape === "chat" || shape === "completions") return shape;
  throw new TypeError(`This engine speaks chat and completions; it was asked in the shape ${shape}.`);
}
