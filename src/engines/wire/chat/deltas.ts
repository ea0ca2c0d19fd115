// What an answer in OpenAI's shape says, as typed deltas: the only place that reads `choices`. A chunk of a stream and a whole answer
// are read by the same function, because a whole answer is a stream of one chunk.
//
// It runs for every token, so it walks the object once and builds nothing for what is absent. Engines send odd things (no `delta`,
// null choices, a tool call without a function): what has no meaning adds nothing, and nothing here throws.
import type { CompletionShape } from "../../asked.ts";
import type { AnswerDelta, EngineChunk, ToolCallDelta } from "../../types.ts";

type Json = Record<string, unknown>;

/**
 * Reads one object of an answer. `text` is its JSON where the engine's own may be passed on unchanged, `bytes` its length in any case.
 * `choices[].message` (a whole chat answer), `choices[].delta` (a chunk of one) and `choices[].text` (a text completion) are all read.
 */
export function chunkOf(shape: CompletionShape, data: Json, text?: string, bytes = text?.length ?? 0): EngineChunk {
  const choices = data["choices"];
  const deltas: AnswerDelta[] = [];
  let characters = 0;
  if (Array.isArray(choices))
    for (const choice of choices as (Json | null)[]) {
      if (choice === null || typeof choice !== "object") continue;
      const delta: AnswerDelta = { index: typeof choice["index"] === "number" ? choice["index"] : 0 };
      characters += readChoice(choice, delta);
      deltas.push(delta);
    }
  return {
    deltas,
    characters,
    bytes,
    reportsUsage: data["usage"] !== undefined && data["usage"] !== null,
    wire: { shape, data, text },
  };
}

/** Puts what the choice says into the delta; answers the characters of text that its reader gets. */
function readChoice(choice: Json, delta: AnswerDelta): number {
  const finish = choice["finish_reason"];
  if (typeof finish === "string") delta.finish = finish;
  let characters = 0;
  const completed = choice["text"];
  if (typeof completed === "string") {
    delta.text = completed;
    characters += completed.length;
  }
  const part = (choice["delta"] ?? choice["message"]) as Json | null | undefined;
  if (part === null || typeof part !== "object") return characters;
  const { content, refusal, reasoning, reasoning_content: reasoningContent } = part;
  if (typeof content === "string") {
    delta.text = content;
    characters += content.length;
  } else if (Array.isArray(content)) characters += readParts(content as (Json | null)[], delta);
  // Some engines send the same reasoning under both names; both are text that the reader gets.
  if (typeof reasoning === "string") {
    delta.reasoning = reasoning;
    characters += reasoning.length;
  }
  if (typeof reasoningContent === "string") {
    delta.reasoning = reasoningContent;
    characters += reasoningContent.length;
  }
  if (typeof refusal === "string") {
    delta.refusal = refusal;
    characters += refusal.length;
  }
  const calls = part["tool_calls"];
  if (Array.isArray(calls) && calls.length > 0) {
    delta.toolCalls = [];
    for (const [place, call] of (calls as (Json | null)[]).entries()) {
      if (call === null || typeof call !== "object") continue;
      const read = toolCallOf(call, place);
      characters += (read.name?.length ?? 0) + (read.arguments?.length ?? 0);
      delta.toolCalls.push(read);
    }
  }
  return characters;
}

/** Content as a list of parts: Mistral's models that think send their thought and their text so. */
function readParts(parts: readonly (Json | null)[], delta: AnswerDelta): number {
  let characters = 0;
  for (const part of parts) {
    if (part === null || typeof part !== "object") continue;
    const { text, thinking } = part;
    if (typeof text === "string") {
      delta.text = (delta.text ?? "") + text;
      characters += text.length;
    }
    if (!Array.isArray(thinking)) continue;
    for (const thought of thinking as (Json | null)[]) {
      if (typeof thought?.["text"] !== "string") continue;
      delta.reasoning = (delta.reasoning ?? "") + thought["text"];
      characters += thought["text"].length;
    }
  }
  return characters;
}

function toolCallOf(call: Json, place: number): ToolCallDelta {
  const { index, id } = call;
  const named = call["function"] as Json | null | undefined;
  const isObject = named !== null && typeof named === "object";
  const read: ToolCallDelta = { index: typeof index === "number" ? index : place };
  if (typeof id === "string") read.id = id;
  if (isObject && typeof named["name"] === "string") read.name = named["name"];
  if (isObject && typeof named["arguments"] === "string") read.arguments = named["arguments"];
  return read;
}

/** Whether the engine says of any of its answers how it ended, in whatever form. */
export function saysEnd(data: Json): boolean {
  const choices = data["choices"];
  return (
    Array.isArray(choices) &&
    (choices as (Json | null)[]).some(
      (choice) => choice?.["finish_reason"] !== null && choice?.["finish_reason"] !== undefined,
    )
  );
}
