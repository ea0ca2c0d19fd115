// Answers in OpenAI's shape, of chat and of text completions. What an engine of the same shape sent is passed on as it came. An answer
// is written anew where the gateway changed it, where its usage is billed otherwise than the engine says, and where an engine answered
// in the other shape.
import type { AnswerDelta, CompletionShape, Usage } from "../../../engines/index.ts";
import type { AnswerChunk } from "../../types.ts";

type Json = Record<string, unknown>;

/** Usage as OpenAI's clients read it. */
function openAiUsage(usage: Usage): Json {
  return {
    prompt_tokens: usage.promptTokens,
    completion_tokens: usage.outputTokens,
    total_tokens: usage.promptTokens + usage.outputTokens,
    prompt_tokens_details: { cached_tokens: usage.cachedTokens },
    completion_tokens_details: { reasoning_tokens: usage.reasoningTokens },
  };
}

/** JSON of a whole answer (`chunked` false), or of one chunk of a stream. */
export function answerText(shape: CompletionShape, chunk: AnswerChunk, chunked: boolean): string {
  const { wire, usage, altered } = chunk;
  if (wire.shape === shape && altered !== true) {
    if (usage !== undefined) return JSON.stringify({ ...wire.data, usage: openAiUsage(usage) });
    return wire.text ?? JSON.stringify(wire.data);
  }
  const choices = chunk.deltas.map((delta) => choiceOf(shape, delta, chunked));
  const written: Json = {
    ...frameOf(shape, chunk, chunked),
    choices: wire.shape === shape && !chunked ? choices.map(over(wire.data)) : choices,
  };
  if (usage !== undefined) written["usage"] = openAiUsage(usage);
  return JSON.stringify(written);
}

/**
 * A choice that was written anew over the one that the engine sent, so that what was not changed (log probabilities, annotations, names of
 * fields) stays as the engine said it.
 */
function over(data: Json): (choice: Json) => Json {
  const sent = new Map(
    (Array.isArray(data["choices"]) ? (data["choices"] as Json[]) : []).map((one) => [one["index"], one]),
  );
  return (choice) => {
    const original = sent.get(choice["index"]);
    if (original === undefined) return choice;
    const [was, is] = [original["message"], choice["message"]] as [Json | undefined, Json | undefined];
    if (!was || !is) return { ...original, ...choice };
    // Reasoning has two names in the field; the engine's own stays.
    const { reasoning_content: reasoning, ...rest } = is;
    const named =
      reasoning === undefined
        ? {}
        : { [("reasoning" in was ? "reasoning" : "reasoning_content") as string]: reasoning };
    return { ...original, ...choice, message: { ...was, ...rest, ...named } };
  };
}

/** What stands around the choices: the id, the model and the time, as the engine said them. */
function frameOf(shape: CompletionShape, { wire }: AnswerChunk, chunked: boolean): Json {
  const { choices: _choices, usage: _usage, ...frame } = wire.data;
  if (wire.shape === shape) return frame;
  const { id, created, model } = frame;
  return { id, object: objectName(shape, chunked), created, model };
}

function objectName(shape: CompletionShape, chunked: boolean): string {
  if (shape === "completions") return "text_completion";
  return chunked ? "chat.completion.chunk" : "chat.completion";
}

function choiceOf(shape: CompletionShape, delta: AnswerDelta, chunked: boolean): Json {
  const { index, finish = null } = delta;
  if (shape === "completions") return { index, text: delta.text ?? "", finish_reason: finish };
  return { index, [chunked ? "delta" : "message"]: messageOf(delta, chunked), finish_reason: finish };
}

function messageOf({ text, reasoning, refusal, toolCalls }: AnswerDelta, chunked: boolean): Json {
  const message: Json = chunked ? {} : { role: "assistant", content: null };
  if (text !== undefined) message["content"] = text;
  if (reasoning !== undefined) message["reasoning_content"] = reasoning;
  if (refusal !== undefined) message["refusal"] = refusal;
  if (toolCalls)
    message["tool_calls"] = toolCalls.map(({ index, id, name, arguments: text }) => ({
      ...(chunked && { index }),
      ...(id !== undefined && { id, type: "function" }),
      function: { ...(name !== undefined && { name }), ...(text !== undefined && { arguments: text }) },
    }));
  return message;
}
