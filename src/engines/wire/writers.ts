// Which wire format an engine is asked in, and who writes it. A call leaves in its client's own format where the engine speaks that; any
// other format is written from the typed view (asked.ts), straight, so that no API is a bridge between two others.
import type { Asked, Shape } from "../asked.ts";
import type { Capabilities } from "../types.ts";

type Json = Record<string, unknown>;

/** What of a call a wire format has no word for. */
interface Unsaid {
  /** Where it stands in the client's body, as `tools[3].type`. */
  path: string;
  /** Why, as the end of a sentence that begins with the path. */
  reason: string;
  /** It asks for nothing that the answer would miss, so that it may be left out. */
  isHint: boolean;
}

/** Writes calls in one format. */
interface WireWriter {
  /** What would be lost, refusals before hints. Empty: the format says all of the call. */
  unsaid(asked: Asked, capabilities: Capabilities): readonly Unsaid[];
  /** The body under the engine's own name of the model, with the one limit of output. */
  write(asked: Asked, of: WriteWish): Json;
}

/** `stream`: the engine is asked to stream, whatever the client wants. */
interface WriteWish {
  model: string;
  outputTokens?: number;
  stream?: boolean;
}

/** Formats that calls of other formats are written in. Chat completions are written by the protocols themselves (chat/write.ts). */
const writers: Partial<Record<Shape, WireWriter>> = {};

/** The writer of a format; undefined where calls of other formats cannot be written in it. */
export const writerOf = (shape: Shape): WireWriter | undefined => writers[shape];

/** Engines that say nothing else speak OpenAI's completions. */
const usual: readonly Shape[] = ["chat", "completions"];
const ofConversations: ReadonlySet<Shape> = new Set(["chat", "responses", "messages", "gemini"]);

/**
 * The format in which an engine is asked a call: the call's own where the engine speaks it, else the first that the engine prefers for
 * conversations. Undefined where it speaks none: a text to go on with, an embedding or a ranking is no conversation.
 */
export function shapeFor({ shape }: Pick<Asked, "shape">, capabilities: Capabilities | undefined): Shape | undefined {
  const speaks = capabilities?.speaks ?? usual;
  if (speaks.includes(shape)) return shape;
  return ofConversations.has(shape) ? speaks.find((one) => ofConversations.has(one)) : undefined;
}

/** What an engine's model does with a call: writes text, makes embeddings, or ranks. */
export function kindOf(capabilities: Capabilities | undefined): "generate" | "embed" | "rerank" {
  const speaks = capabilities?.speaks ?? usual;
  if (speaks.some((shape) => shape === "completions" || ofConversations.has(shape))) return "generate";
  return speaks.includes("embeddings") ? "embed" : "rerank";
}
