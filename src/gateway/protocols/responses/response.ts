// The response object of an answer: what was asked is repeated in it, and every member of the Open Responses schema is always there, null
// where it says nothing, because clients read them without looking.
import type { Usage } from "../../../engines/index.ts";

type Json = Record<string, unknown>;

/** How a response stands. */
type Status = "queued" | "in_progress" | "completed" | "incomplete" | "failed" | "cancelled";

/** What changes of a response while it is answered. */
export interface Standing {
  status: Status;
  output: readonly Json[];
  /** Seconds since 1970, of a response that has been completed. */
  completedAt?: number;
  /** Why it is incomplete: `max_output_tokens`, `content_filter`. */
  incomplete?: string;
  error?: { code: string; message: string };
  usage?: Usage;
}

/** What is known of a response when it begins. */
export interface Opening {
  id: string;
  /** Seconds since 1970. */
  createdAt: number;
  /** The body that asked for it. */
  body: Json;
  /** Whether it is kept for later requests. */
  store: boolean;
}

/** The response object. */
export function responseObject({ id, createdAt, body, store }: Opening, standing: Standing): Json {
  const or = (name: string, otherwise: unknown) => body[name] ?? otherwise;
  const { status, output, completedAt, incomplete, error, usage } = standing;
  const reasoning = body["reasoning"] as Json | null | undefined;
  const text = body["text"] as Json | null | undefined;
  return {
    id,
    object: "response",
    created_at: createdAt,
    status,
    background: or("background", false),
    completed_at: completedAt ?? null,
    conversation: conversationOf(body["conversation"]),
    error: error ?? null,
    frequency_penalty: or("frequency_penalty", 0),
    incomplete_details: incomplete === undefined ? null : { reason: incomplete },
    instructions: or("instructions", null),
    max_output_tokens: or("max_output_tokens", null),
    max_tool_calls: or("max_tool_calls", null),
    model: body["model"],
    output,
    parallel_tool_calls: or("parallel_tool_calls", true),
    presence_penalty: or("presence_penalty", 0),
    previous_response_id: or("previous_response_id", null),
    prompt_cache_key: or("prompt_cache_key", null),
    prompt_cache_retention: or("prompt_cache_retention", null),
    reasoning: { effort: null, summary: null, ...reasoning },
    safety_identifier: or("safety_identifier", null),
    service_tier: "default",
    store,
    temperature: or("temperature", 1),
    text: { ...text, format: text?.["format"] ?? { type: "text" } },
    tool_choice: or("tool_choice", "auto"),
    tools: ((body["tools"] ?? []) as Json[]).map(shownTool),
    top_logprobs: or("top_logprobs", 0),
    top_p: or("top_p", 1),
    truncation: or("truncation", "disabled"),
    usage: usage ? usageOf(usage) : null,
    user: or("user", null),
    metadata: or("metadata", {}),
  };
}

const conversationOf = (given: unknown): unknown =>
  given === null || given === undefined ? null : typeof given === "string" ? { id: given } : given;

/** A function as the schema shows it: with every member. */
function shownTool(tool: Json): Json {
  if (tool["type"] !== "function") return tool;
  return {
    ...tool,
    description: tool["description"] ?? null,
    parameters: tool["parameters"] ?? null,
    strict: tool["strict"] ?? null,
  };
}

/** Usage as clients of Responses read it: cached tokens are part of the input, reasoning is part of the output. */
export function usageOf(usage: Usage): Json {
  return {
    input_tokens: usage.promptTokens,
    input_tokens_details: {
      cached_tokens: usage.cachedTokens,
      ...(usage.cacheWriteTokens !== undefined && { cache_write_tokens: usage.cacheWriteTokens }),
    },
    output_tokens: usage.outputTokens,
    output_tokens_details: { reasoning_tokens: usage.reasoningTokens },
    total_tokens: usage.promptTokens + usage.outputTokens,
  };
}
