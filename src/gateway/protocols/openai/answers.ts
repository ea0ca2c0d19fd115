// Answers in OpenAI's shape, of chat and of text completions. What an engine of the same shape sent is passed on as it came. An answer
// is written anew where the gateway changed it, where its usage is billed otherwise than the engine says, and where an engine answered
// in the other shape.
import { joinedDeltas } from "../../../engines/index.ts";
import type { AnswerDelta, CompletionShape, Usage } from "../../../engines/index.ts";
import type { AnswerChunk } from "../../types.ts";
import { proofText } from "../proof.ts";
import type { Told } from "../types.ts";

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
export function answerText(shape: CompletionShape, chunk: AnswerChunk, chunked: boolean, told: Told): string {
  const { wire, usage, altered } = chunk;
  if (wire.shape === shape && altered !== true) {
    if (usage !== undefined) return JSON.stringify({ ...wire.data, usage: openAiUsage(usage) });
    return wire.text ?? JSON.stringify(wire.data);
  }
  const choices = ofAnswers(chunk.deltas).map((delta) => choiceOf(shape, delta, chunked));
  const written: Json = {
    ...frameOf(shape, chunk, chunked, told),
    choices: wire.shape === shape && !chunked ? choices.map(over(wire.data)) : choices,
  };
  if (usage !== undefined) written["usage"] = openAiUsage(usage);
  return JSON.stringify(written);
}

/** One delta for each answer: clients look at one choice of a chunk for each. */
function ofAnswers(deltas: readonly AnswerDelta[]): readonly AnswerDelta[] {
  if (deltas.length < 2) return deltas;
  const indexes = [...new Set(deltas.map(({ index }) => index))];
  if (indexes.length === deltas.length) return deltas;
  return indexes.map((index) =>
    joinedDeltas(
      deltas.filter((delta) => delta.index === index),
      index,
    ),
  );
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

/** Encodes the chunks of one stream. An event of another API that says nothing to a client of this one is left out. */
export function chunkEncoder(shape: CompletionShape, told: Told): (chunk: AnswerChunk) => string | undefined {
  /** Thought so far, by answer: what proves it comes after it. */
  const thought = new Map<number, string>();
  return (chunk) => {
    const { wire, usage, deltas } = chunk;
    if (wire.shape === shape || shape !== "chat") return answerText(shape, chunk, true, told);
    if (deltas.length === 0 && usage === undefined) return undefined;
    if (!deltas.some(({ reasoning, proof }) => reasoning !== undefined || proof))
      return answerText(shape, chunk, true, told);
    const parts = deltas.map((delta) => {
      const { index, reasoning = "", proof } = delta;
      thought.set(index, (thought.get(index) ?? "") + reasoning);
      if (!proof) return delta;
      const text = thought.get(index)!;
      thought.delete(index);
      return { ...delta, blocks: [{ kind: "reasoning" as const, text, proof }] };
    });
    return answerText(shape, { ...chunk, deltas: parts }, true, told);
  };
}

/** What stands around the choices: the id, the model and the time, as the engine said them. Events of other APIs do not say them all. */
function frameOf(shape: CompletionShape, { wire }: AnswerChunk, chunked: boolean, told: Told): Json {
  const { choices: _choices, usage: _usage, ...frame } = wire.data;
  if (wire.shape === shape) return frame;
  const { id, created, model } = frame;
  return {
    id: id ?? `chatcmpl-${told.id.replace(/^[a-z]+_/, "")}`,
    object: objectName(shape, chunked),
    created: created ?? Math.floor(told.createdMs / 1000),
    model: model ?? told.call.model,
  };
}

function objectName(shape: CompletionShape, chunked: boolean): string {
  if (shape === "completions") return "text_completion";
  return chunked ? "chat.completion.chunk" : "chat.completion";
}

function choiceOf(shape: CompletionShape, delta: AnswerDelta, chunked: boolean): Json {
  const { index } = delta;
  const finish = delta.finish === undefined ? null : (foreignFinishes[delta.finish] ?? delta.finish);
  if (shape === "completions") return { index, text: delta.text ?? "", finish_reason: finish };
  return { index, [chunked ? "delta" : "message"]: messageOf(delta, chunked), finish_reason: finish };
}

/** Reasons of other APIs in OpenAI's words, which its clients check against a list. */
const foreignFinishes: Readonly<Record<string, string>> = {
  refusal: "content_filter",
  pause: "stop",
  model_context_window_exceeded: "length",
};

/**
 * What proves an answer's thought, for the client to send back in its next turn: OpenRouter's `reasoning_details`, which clients keep. The
 * thought's text is in it, because few clients send that back.
 */
function detailsOf({ blocks, proof, reasoning }: AnswerDelta): Json[] {
  const proved = blocks
    ? blocks.flatMap((part) =>
        part.kind === "reasoning" && part.proof ? [{ proof: part.proof, text: part.text }] : [],
      )
    : proof
      ? [{ proof, text: reasoning }]
      : [];
  return proved.flatMap((one, index) => {
    const data = proofText(one.proof, "other", one.text);
    return data === undefined ? [] : [{ type: "reasoning.encrypted", data, format: "unknown", index }];
  });
}

function messageOf(delta: AnswerDelta, chunked: boolean): Json {
  const { text, reasoning, refusal, toolCalls } = delta;
  const message: Json = chunked ? {} : { role: "assistant", content: null };
  if (text !== undefined) message["content"] = text;
  if (reasoning !== undefined) message["reasoning_content"] = reasoning;
  const details = detailsOf(delta);
  if (details.length > 0) message["reasoning_details"] = details;
  if (refusal !== undefined) message["refusal"] = refusal;
  if (toolCalls)
    message["tool_calls"] = toolCalls.map(({ index, id, name, arguments: text }) => ({
      ...(chunked && { index }),
      ...(id !== undefined && { id, type: "function" }),
      function: { ...(name !== undefined && { name }), ...(text !== undefined && { arguments: text }) },
    }));
  return message;
}
