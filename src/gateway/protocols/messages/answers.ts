// Answers as Anthropic's clients read them: blocks, reasons to stop, usage. events.ts tells the same in pieces.
import { chatToolName } from "../../../engines/index.ts";
import type { AnswerDelta, Part, Usage } from "../../../engines/index.ts";
import type { AnswerChunk } from "../../types.ts";
import { proofText } from "../proof.ts";
import type { Told } from "../types.ts";

type Json = Record<string, unknown>;

/** Reasons that Anthropic names otherwise. Any other word passes as it is. */
const stopReasons: Readonly<Record<string, string>> = {
  stop: "end_turn",
  length: "max_tokens",
  tool_calls: "tool_use",
  function_call: "tool_use",
  content_filter: "refusal",
  pause: "pause_turn",
};

/** Why an answer stopped. Some engines say `stop` of an answer that ends with a call of a tool. */
export function stopOf(finish: string | undefined, stopSequence: string | undefined, calls: boolean): Json {
  if (stopSequence !== undefined) return { stop_reason: "stop_sequence", stop_sequence: stopSequence };
  if (finish === undefined) return { stop_reason: null, stop_sequence: null };
  const isTool = calls && (finish === "stop" || finish === "tool_calls");
  const reason = Object.hasOwn(stopReasons, finish) ? stopReasons[finish] : finish;
  return { stop_reason: isTool ? "tool_use" : reason, stop_sequence: null };
}

/** Anthropic counts a prompt in three parts that do not overlap: read from the cache, written to it, and the rest. */
export function messagesUsage(usage: Usage): Json {
  const { promptTokens, cachedTokens, cacheWriteTokens = 0, cacheWriteLongTokens = 0, outputTokens } = usage;
  const written = cacheWriteTokens + cacheWriteLongTokens;
  return {
    input_tokens: Math.max(0, promptTokens - cachedTokens - written),
    cache_creation_input_tokens: written,
    cache_read_input_tokens: cachedTokens,
    cache_creation: { ephemeral_5m_input_tokens: cacheWriteTokens, ephemeral_1h_input_tokens: cacheWriteLongTokens },
    output_tokens: outputTokens,
    output_tokens_details: { thinking_tokens: usage.reasoningTokens },
    ...unknownUsage,
  };
}

/** Members of a usage that only Anthropic's own servers have a word for. Clients that check an answer by its schema expect them. */
const unknownUsage: Json = { inference_geo: null, server_tool_use: null, service_tier: null };

export const noUsage: Json = {
  input_tokens: 0,
  cache_creation_input_tokens: 0,
  cache_read_input_tokens: 0,
  cache_creation: null,
  output_tokens: 0,
  output_tokens_details: null,
  ...unknownUsage,
};

/** What stands around the blocks of an answer. */
export const frameOf = ({ call, id }: Told): Json => ({
  id: `msg_${id.replace(/^[a-z]+_/, "")}`,
  type: "message",
  role: "assistant",
  model: call.model,
  container: null,
  stop_details: null,
});

/** The blocks that a model writes, as whole answers and the starts of streamed blocks have them. */
export const textBlock = (text: string): Json => ({ type: "text", text, citations: null });

export const toolBlock = (id: string, name: string, input: Json): Json => ({
  type: "tool_use",
  id,
  name,
  input,
  caller: { type: "direct" },
});

/**
 * Whether thought is told, and its text with it. A client that did not ask for thought expects none; one that wants its text left out
 * still gets the proof, which it sends back in the next turn.
 */
export const thoughtShown = ({ call }: Told): { told: boolean; text: boolean } => ({
  told: call.thinking.asked,
  text: call.thinking.show !== "omitted",
});

/** Names of tools as the client wrote them, by the names that a chat engine was given in their place. */
export const toolNames = ({ call }: Told): ReadonlyMap<string, string> =>
  new Map(call.tools.filter(({ name }) => name.length > 64).map((tool) => [chatToolName(tool), tool.name]));

/** JSON text of a whole answer. */
export function wholeMessage({ deltas, wire, usage, altered }: AnswerChunk, told: Told): string {
  const isOwn = wire.shape === "messages";
  if (isOwn && altered !== true) {
    if (usage === undefined) return wire.text ?? JSON.stringify(wire.data);
    return JSON.stringify({ ...wire.data, usage: { ...(wire.data["usage"] as object), ...messagesUsage(usage) } });
  }
  const delta: AnswerDelta = deltas[0] ?? { index: 0 };
  const content = blocksOf(delta, told);
  return JSON.stringify({
    ...(isOwn ? wire.data : frameOf(told)),
    content,
    ...stopOf(
      delta.finish,
      delta.stopSequence,
      content.some(({ type }) => type === "tool_use"),
    ),
    usage: usage ? messagesUsage(usage) : (wire.data["usage"] ?? noUsage),
  });
}

function blocksOf(delta: AnswerDelta, told: Told): Json[] {
  const names = toolNames(told);
  const shown = thoughtShown(told);
  return (delta.blocks ?? partsIn(delta)).flatMap((part): Json[] => {
    switch (part.kind) {
      case "text":
      case "refusal":
        return part.text === "" ? [] : [textBlock(part.text)];
      case "reasoning": {
        if (!shown.told) return [];
        const { proof } = part;
        if (proof?.origin === "anthropic" && proof.encrypted !== undefined)
          return [{ type: "redacted_thinking", data: proof.encrypted }];
        const signature = proof ? (proofText(proof, "anthropic", shown.text ? undefined : part.text) ?? "") : "";
        const thinking = shown.text ? part.text : "";
        return thinking === "" && signature === "" ? [] : [{ type: "thinking", thinking, signature }];
      }
      case "tool_call":
        return [toolBlock(part.id, names.get(part.name) ?? part.name, inputOf(part.arguments))];
      case "opaque":
        return part.shape === "messages" ? [part.item] : [];
      default:
        return [];
    }
  });
}

/** Parts of an answer that came without their order: thought, text, calls. */
function partsIn({ reasoning, proof, text, refusal, toolCalls = [], opaque = [] }: AnswerDelta): Part[] {
  return [
    ...(reasoning !== undefined || proof
      ? [{ kind: "reasoning" as const, text: reasoning ?? "", ...(proof && { proof }) }]
      : []),
    ...opaque.map((one) => ({ kind: "opaque" as const, ...one })),
    ...(text === undefined ? [] : [{ kind: "text" as const, text }]),
    ...(refusal === undefined ? [] : [{ kind: "refusal" as const, text: refusal }]),
    ...toolCalls.map(({ index, id, name = "", arguments: text = "" }) => ({
      kind: "tool_call" as const,
      id: id ?? `toolu_${index}`,
      name,
      arguments: text,
    })),
  ];
}

/** Arguments as the object that Anthropic's clients get. What a model wrote that is no JSON object is kept under one name. */
export function inputOf(text: string): Json {
  if (text.trim() === "") return {};
  try {
    const read = JSON.parse(text) as unknown;
    if (read !== null && typeof read === "object" && !Array.isArray(read)) return read as Json;
  } catch {
    // It is kept below.
  }
  return { raw_arguments: text };
}
