// Usage as Anthropic reports it. A prompt is counted in three parts that do not overlap (read from the cache, written to it, the rest);
// the house's `promptTokens` is their sum. Counts in a stream's `message_delta` are of the whole answer so far: the last one holds, and
// nothing is summed. The output in `message_start` is a placeholder of one to eight tokens, which is no count.
import type { Usage } from "../../types.ts";
import { object, tokenCount } from "../values.ts";

type Json = Record<string, unknown>;

/** Adds what `usage` says to what was said before in the same answer. Undefined where nothing of a prompt was said yet. */
export function usageOf(said: Json, before: Usage | undefined, isStart: boolean): Usage | undefined {
  const rest = tokenCount(said["input_tokens"]);
  const output = isStart ? 0 : tokenCount(said["output_tokens"]);
  if (output === undefined) return undefined;
  const thought = tokenCount(object(said["output_tokens_details"])?.["thinking_tokens"]);
  const reasoningTokens = Math.min(thought ?? before?.reasoningTokens ?? 0, output);
  const units = unitsOf(said) ?? before?.units;
  const prompt = rest === undefined ? promptIn(before) : promptOf(said, rest);
  if (prompt === undefined) return undefined;
  const usage: Usage = { ...prompt, outputTokens: output, reasoningTokens, source: "engine", ...(units && { units }) };
  return withCompactions(usage, said);
}

type PromptUsage = Omit<Usage, "outputTokens" | "reasoningTokens" | "source" | "units">;

function promptIn(before: Usage | undefined): PromptUsage | undefined {
  if (!before) return undefined;
  const { outputTokens: _output, reasoningTokens: _reasoning, source: _source, units: _units, ...prompt } = before;
  return prompt;
}

function promptOf(said: Json, rest: number): PromptUsage {
  const read = tokenCount(said["cache_read_input_tokens"]);
  const cachedTokens = read ?? 0;
  const split = object(said["cache_creation"]);
  const long = tokenCount(split?.["ephemeral_1h_input_tokens"]) ?? 0;
  const written = tokenCount(said["cache_creation_input_tokens"]) ?? 0;
  const short = tokenCount(split?.["ephemeral_5m_input_tokens"]) ?? Math.max(0, written - long);
  return {
    promptTokens: bounded(rest + cachedTokens + short + long),
    cachedTokens,
    ...(read === undefined && { cachedUnreported: true }),
    ...(short > 0 && { cacheWriteTokens: short }),
    ...(long > 0 && { cacheWriteLongTokens: long }),
  };
}

/** A request that summarised its own conversation reports that apart from the rest (`iterations` of the type `compaction`). */
function withCompactions(usage: Usage, said: Json): Usage {
  const iterations = said["iterations"];
  if (!Array.isArray(iterations)) return usage;
  let sum = usage;
  for (const one of iterations as Json[]) {
    if (object(one)?.["type"] !== "compaction") continue;
    const prompt = promptOf(one, tokenCount(one["input_tokens"]) ?? 0);
    const write = (sum.cacheWriteTokens ?? 0) + (prompt.cacheWriteTokens ?? 0);
    const long = (sum.cacheWriteLongTokens ?? 0) + (prompt.cacheWriteLongTokens ?? 0);
    sum = {
      ...sum,
      promptTokens: bounded(sum.promptTokens + prompt.promptTokens),
      cachedTokens: bounded(sum.cachedTokens + prompt.cachedTokens),
      ...(write > 0 && { cacheWriteTokens: write }),
      ...(long > 0 && { cacheWriteLongTokens: long }),
      outputTokens: bounded(sum.outputTokens + (tokenCount(one["output_tokens"]) ?? 0)),
    };
  }
  return sum;
}

const bounded = (tokens: number): number => Math.min(tokens, Number.MAX_SAFE_INTEGER);

/** What Anthropic's own tools were used for, by the names that a rate card may price. */
function unitsOf(said: Json): Record<string, number> | undefined {
  const used = object(said["server_tool_use"]);
  const searches = tokenCount(used?.["web_search_requests"]) ?? 0;
  const fetches = tokenCount(used?.["web_fetch_requests"]) ?? 0;
  if (searches === 0 && fetches === 0) return undefined;
  return { ...(searches > 0 && { web_search: searches }), ...(fetches > 0 && { web_fetch: fetches }) };
}
