// Which wire format an engine is asked in, and who writes it. A call leaves in its client's own format where the engine speaks that; any
// other format is written from the typed view (asked.ts), straight, so that no API is a bridge between two others.
import type { Asked, Shape } from "../asked.ts";
import type { Capabilities } from "../types.ts";
import type { WireWriter } from "./types.ts";
import { geminiWriter } from "./gemini/write.ts";
import { messagesWriter } from "./messages/write.ts";
import { responsesWriter } from "./responses/write.ts";

/** Formats that calls of other formats are written in. Chat completions are written by the protocols themselves (chat/write.ts). */
const writers: Partial<Record<Shape, WireWriter>> = {
  messages: messagesWriter,
  responses: responsesWriter,
  gemini: geminiWriter,
};

/** The writer of a format; undefined where calls of other formats cannot be written in it. */
export const writerOf = (shape: Shape): WireWriter | undefined => writers[shape];

/** Engines that say nothing else speak OpenAI's completions. */
const usual: readonly Shape[] = ["chat", "completions"];
const ofConversations: ReadonlySet<Shape> = new Set(["chat", "responses", "messages", "gemini"]);

const isWritten = (shape: Shape): boolean =>
  ofConversations.has(shape) && (shape === "chat" || writers[shape] !== undefined);

/**
 * The format in which an engine is asked a call: the call's own where the engine speaks it, else the first that the engine prefers for
 * conversations and that calls can be written in. Undefined where there is none: a text to go on with, an embedding or a ranking is no
 * conversation.
 */
export function shapeFor({ shape }: Pick<Asked, "shape">, capabilities: Capabilities | undefined): Shape | undefined {
  const speaks = capabilities?.speaks ?? usual;
  if (speaks.includes(shape)) return shape;
  return ofConversations.has(shape) ? speaks.find(isWritten) : undefined;
}

/** What an engine's model does with a call: writes text, makes embeddings, or ranks. */
export function kindOf(capabilities: Capabilities | undefined): "generate" | "embed" | "rerank" {
  const speaks = capabilities?.speaks ?? usual;
  if (speaks.some((shape) => shape === "completions" || ofConversations.has(shape))) return "generate";
  return speaks.includes("embeddings") ? "embed" : "rerank";
}
