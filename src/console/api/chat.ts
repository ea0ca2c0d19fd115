// One answer of POST /v1/chat/completions, streamed: its text as it arrives, then its usage. Afterwards the settled call can be read.
import { EventSourceParserStream } from "eventsource-parser/stream";
import type { CallDetail } from "../../contract/index.ts";
import { ApiFailure, getJson, noteAfter, send } from "./client.ts";

export interface ChatMessage {
  role: "system" | "user" | "assistant";
  content: string;
}

export interface ChatUsage {
  prompt: number;
  cached: number;
  output: number;
}

interface ChatEnd {
  /** Id of the call, from the header x-lineshaft-call. */
  call: string | undefined;
  finishReason: string | undefined;
  usage: ChatUsage | undefined;
}

interface Chunk {
  choices?: { delta?: { content?: string | null }; finish_reason?: string | null }[];
  usage?: {
    prompt_tokens: number;
    completion_tokens: number;
    prompt_tokens_details?: { cached_tokens?: number };
  } | null;
  error?: { code?: string; message?: string; hint?: string };
}

/**
 * Streams one answer. `program` names the conversation, so that the scheduler sends its calls to the endpoint that holds the KV of
 * earlier turns. Throws ApiFailure when the call is refused or its stream breaks off, and an AbortError when `signal` aborts.
 */
export async function streamChat(options: {
  model: string;
  messages: ChatMessage[];
  program: string;
  signal: AbortSignal;
  onCall: (id: string) => void;
  onText: (text: string) => void;
}): Promise<ChatEnd> {
  const response = await send("/v1/chat/completions", {
    method: "POST",
    signal: options.signal,
    headers: { accept: "text/event-stream", "x-lineshaft-program": options.program },
    body: { model: options.model, messages: options.messages, stream: true, stream_options: { include_usage: true } },
  });
  const end: ChatEnd = {
    call: response.headers.get("x-lineshaft-call") ?? undefined,
    finishReason: undefined,
    usage: undefined,
  };
  if (end.call !== undefined) options.onCall(end.call);
  if (response.body === null) return end;
  // What is known only at the end of a stream comes as comments that read like headers.
  const onComment = (comment: string) => {
    const [name, value] = comment.trim().split(": ");
    if (name === "x-lineshaft-after") noteAfter(value ?? null);
  };
  const reader = response.body
    .pipeThrough(new TextDecoderStream())
    .pipeThrough(new EventSourceParserStream({ onComment }))
    .getReader();
  let done = false;
  try {
    while (true) {
      const { done: over, value } = await reader.read();
      if (over) break;
      if (value.data === "[DONE]") {
        done = true;
        break;
      }
      const chunk = JSON.parse(value.data) as Chunk;
      if (chunk.error !== undefined) {
        throw new ApiFailure({
          status: response.status,
          code: chunk.error.code ?? "stream_failed",
          message: chunk.error.message ?? "The answer broke off.",
          ...(chunk.error.hint === undefined ? {} : { hint: chunk.error.hint }),
        });
      }
      const choice = chunk.choices?.[0];
      if (choice?.delta?.content) options.onText(choice.delta.content);
      if (choice?.finish_reason) end.finishReason = choice.finish_reason;
      if (chunk.usage)
        end.usage = {
          prompt: chunk.usage.prompt_tokens,
          cached: chunk.usage.prompt_tokens_details?.cached_tokens ?? 0,
          output: chunk.usage.completion_tokens,
        };
    }
  } catch (error) {
    if (options.signal.aborted || error instanceof ApiFailure) throw error;
    throw brokenOff();
  } finally {
    void reader.cancel().catch(() => undefined);
  }
  if (!done) throw brokenOff();
  return end;
}

const brokenOff = () =>
  new ApiFailure({
    status: 0,
    code: "stream_broken",
    message: "The answer broke off before its end.",
    hint: "What arrived is kept. Try again, or look at the call for the reason.",
  });

const settleTries = 8;
const settleWaitMs = 250;

/** The settled call, which is recorded shortly after its last token. Undefined when that takes longer than nine seconds. */
export async function settledCall(id: string): Promise<CallDetail | undefined> {
  for (let tries = 0; tries < settleTries; tries++) {
    try {
      return await getJson<CallDetail>(`/api/calls/${encodeURIComponent(id)}`);
    } catch (error) {
      if (!(error instanceof ApiFailure) || error.status !== 404) return undefined;
    }
    await new Promise((resolve) => setTimeout(resolve, settleWaitMs * (tries + 1)));
  }
  return undefined;
}
