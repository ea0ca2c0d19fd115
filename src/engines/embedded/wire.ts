// OpenAI's answer objects, built in one place: whole answers, chunks, usage, and what the worker adds to them.
import type { CallEnd } from "./call.ts";
import type { WorkerReport } from "./protocol.ts";
import type { Delta, FinishReason } from "./reply.ts";

export interface AnswerHead {
  id: string;
  created: number;
  model: string;
}

interface WireUsage {
  prompt_tokens: number;
  completion_tokens: number;
  total_tokens: number;
  prompt_tokens_details: { cached_tokens: number };
  completion_tokens_details: { reasoning_tokens: number };
}

export function usageOf(end: CallEnd): WireUsage {
  const { device, disk } = end.report.cachedByTier;
  return {
    prompt_tokens: end.promptTokens,
    completion_tokens: end.outputTokens,
    total_tokens: end.promptTokens + end.outputTokens,
    prompt_tokens_details: { cached_tokens: device + disk },
    completion_tokens_details: { reasoning_tokens: 0 },
  };
}

/** The object names of one route. */
export interface Wire {
  idPrefix: string;
  /** The first chunk of a stream; undefined if the route has none. */
  opening(head: AnswerHead): object | undefined;
  chunk(head: AnswerHead, delta: Delta): object;
  closing(head: AnswerHead, reason: FinishReason): object;
  usage(head: AnswerHead, usage: WireUsage, report: WorkerReport): object;
  whole(
    head: AnswerHead,
    deltas: readonly Delta[],
    reason: FinishReason,
    usage: WireUsage,
    report: WorkerReport,
  ): object;
}

interface ToolCall {
  id: string;
  type: "function";
  function: { name: string; arguments: string };
}

const chatChunk = (head: AnswerHead, delta: object, reason: FinishReason | null) => ({
  id: head.id,
  object: "chat.completion.chunk",
  created: head.created,
  model: head.model,
  choices: [{ index: 0, delta, logprobs: null, finish_reason: reason }],
});

export const chatWire: Wire = {
  idPrefix: "chatcmpl-",
  opening: (head) => chatChunk(head, { role: "assistant", content: "" }, null),
  chunk: (head, delta) => chatChunk(head, chatDelta(delta), null),
  closing: (head, reason) => chatChunk(head, {}, reason),
  usage: (head, usage, report) => ({
    id: head.id,
    object: "chat.completion.chunk",
    created: head.created,
    model: head.model,
    choices: [],
    usage,
    lineshaft: report,
  }),
  whole: (head, deltas, reason, usage, report) => {
    const calls: ToolCall[] = [];
    let content = "";
    for (const delta of deltas) {
      if (delta.type === "text") content += delta.text;
      else calls.push(toolCall(delta));
    }
    const message = {
      role: "assistant",
      content: content === "" && calls.length > 0 ? null : content,
      refusal: null,
      ...(calls.length > 0 && { tool_calls: calls }),
    };
    return {
      id: head.id,
      object: "chat.completion",
      created: head.created,
      model: head.model,
      choices: [{ index: 0, message, logprobs: null, finish_reason: reason }],
      usage,
      lineshaft: report,
    };
  },
};

function chatDelta(delta: Delta): object {
  if (delta.type === "text") return { content: delta.text };
  return { tool_calls: [{ index: delta.index, ...toolCall(delta) }] };
}

function toolCall({ id, name, arguments: given }: Extract<Delta, { type: "call" }>): ToolCall {
  return { id, type: "function", function: { name, arguments: given } };
}

const completion = (head: AnswerHead, text: string, reason: FinishReason | null) => ({
  id: head.id,
  object: "text_completion",
  created: head.created,
  model: head.model,
  choices: [{ index: 0, text, logprobs: null, finish_reason: reason }],
});

export const completionWire: Wire = {
  idPrefix: "cmpl-",
  opening: () => undefined,
  chunk: (head, delta) => completion(head, textOf(delta), null),
  closing: (head, reason) => completion(head, "", reason),
  usage: (head, usage, report) => ({ ...completion(head, "", null), choices: [], usage, lineshaft: report }),
  whole: (head, deltas, reason, usage, report) => ({
    ...completion(head, deltas.map(textOf).join(""), reason),
    usage,
    lineshaft: report,
  }),
};

function textOf(delta: Delta): string {
  return delta.type === "text" ? delta.text : "";
}
