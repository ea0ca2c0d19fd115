// Usage in the shape of OpenAI's Responses. Cached and written tokens are part of `input_tokens`, reasoning is part of `output_tokens`.
import type { Usage } from "../../types.ts";
import { object, tokenCount } from "../values.ts";

/** Undefined where the report says nothing of tokens. */
export function responsesUsage(usage: Record<string, unknown>): Usage | undefined {
  const promptTokens = tokenCount(usage["input_tokens"]);
  const outputTokens = tokenCount(usage["output_tokens"]);
  if (promptTokens === undefined || outputTokens === undefined) return undefined;
  const details = object(usage["input_tokens_details"]);
  const reported = tokenCount(details?.["cached_tokens"]);
  const cachedTokens = Math.min(reported ?? 0, promptTokens);
  const written = Math.min(tokenCount(details?.["cache_write_tokens"]) ?? 0, promptTokens - cachedTokens);
  const reasoning = tokenCount(object(usage["output_tokens_details"])?.["reasoning_tokens"]) ?? 0;
  return {
    promptTokens,
    cachedTokens,
    ...(reported === undefined && { cachedUnreported: true }),
    ...(written > 0 && { cacheWriteTokens: written }),
    outputTokens,
    reasoningTokens: Math.min(reasoning, outputTokens),
    source: "engine",
  };
}
