// Reading OpenAI's wire shapes as engines really speak them: usage in its several spellings, errors in theirs, and counting
// what passed for engines that do not say.
import { limits } from "../../limits.ts";
import { EngineError } from "../../types.ts";
import type { Tier, Timings, Usage } from "../../types.ts";
import { jsonLength, object, tokenCount } from "../values.ts";

type Json = Record<string, unknown>;

/**
 * Usage out of an answer's or chunk's `usage`; undefined where it is absent or says nothing of tokens. Cached tokens are
 * `prompt_tokens_details.cached_tokens` (OpenAI, vLLM, SGLang), `prompt_cache_hit_tokens` (DeepSeek) or `cached_tokens` (Moonshot), and
 * part of the prompt's. Where none is there (vLLM without --enable-prompt-tokens-details), they are unreported, which says nothing of how
 * many they are. Tokens that were written to the cache are `prompt_tokens_details.cache_write_tokens` (OpenAI, OpenRouter) or
 * `prompt_tokens_details.cache_creation_input_tokens` (DashScope). Reasoning is part of `completion_tokens`, but xAI counts it beside them: there `total_tokens` is the sum of all three, and it is added, once.
 */
export function usageOf(answer: Json): Usage | undefined {
  const usage = object(answer["usage"]);
  if (!usage) return undefined;
  const promptTokens = tokenCount(usage["prompt_tokens"]);
  const completionTokens = tokenCount(usage["completion_tokens"]);
  if (promptTokens === undefined || completionTokens === undefined) return undefined;
  // Ollama's text completions say zeros in every chunk before the last.
  if (promptTokens === 0 && completionTokens === 0 && isUnended(answer)) return undefined;
  const details = object(usage["prompt_tokens_details"]);
  const reported =
    tokenCount(details?.["cached_tokens"]) ??
    tokenCount(usage["prompt_cache_hit_tokens"]) ??
    tokenCount(usage["cached_tokens"]);
  const cachedTokens = Math.min(reported ?? 0, promptTokens);
  const saidWritten =
    tokenCount(details?.["cache_write_tokens"]) ?? tokenCount(details?.["cache_creation_input_tokens"]) ?? 0;
  const written = Math.min(saidWritten, promptTokens - cachedTokens);
  const reasoning = tokenCount(object(usage["completion_tokens_details"])?.["reasoning_tokens"]) ?? 0;
  const isBeside = reasoning > 0 && usage["total_tokens"] === promptTokens + completionTokens + reasoning;
  const outputTokens = Math.min(completionTokens + (isBeside ? reasoning : 0), Number.MAX_SAFE_INTEGER);
  const report = object(answer["lineshaft"]);
  const byTier = tiersOf(object(report?.["cachedByTier"]));
  return {
    promptTokens,
    cachedTokens,
    ...(reported === undefined && { cachedUnreported: true }),
    ...(written > 0 && { cacheWriteTokens: written }),
    ...(byTier && { cachedByTier: byTier }),
    outputTokens,
    reasoningTokens: Math.min(reasoning, outputTokens),
    source: "engine",
  };
}

/** Cached tokens by tier, of what are tiers and counts. */
function tiersOf(said: Json | undefined): Partial<Record<Tier, number>> | undefined {
  if (!said) return undefined;
  const tiers: Partial<Record<Tier, number>> = {};
  for (const tier of ["device", "host", "disk", "remote"] as const) {
    const tokens = tokenCount(said[tier]);
    if (tokens !== undefined) tiers[tier] = tokens;
  }
  return tiers;
}

/** Of two reports of one answer, the later, with no count below the earlier's: what was used does not become less. */
export function laterUsage(earlier: Usage | undefined, later: Usage): Usage {
  if (!earlier) return later;
  return {
    ...later,
    promptTokens: Math.max(earlier.promptTokens, later.promptTokens),
    outputTokens: Math.max(earlier.outputTokens, later.outputTokens),
    reasoningTokens: Math.max(earlier.reasoningTokens, later.reasoningTokens),
  };
}

/** Timings out of our worker's report. */
export function timingsOf(answer: Json): Timings {
  const report = object(answer["lineshaft"]);
  if (!report) return {};
  const timings: Timings = {};
  for (const name of ["queueMs", "restoreMs", "prefillMs", "decodeMs"] as const) {
    const value = report[name];
    if (typeof value === "number" && Number.isFinite(value) && value >= 0) timings[name] = value;
  }
  return timings;
}

const isUnended = ({ choices }: Json): boolean =>
  Array.isArray(choices) && choices.some((choice) => object(choice)?.["finish_reason"] === null);

/** Tokens of so many characters where they are not counted: four characters to a token, the usual mean of English text. */
export const estimateTokens = (characters: number): number => Math.ceil(characters / 4);

/**
 * Characters of the prompt in a request's body, tools included. Of a large one the bytes that it came as, since a walk over the values of
 * 32 MB keeps the event loop for milliseconds.
 */
export function promptLength(body: Json, receivedBytes: number | undefined): number {
  if (receivedBytes !== undefined && receivedBytes > limits.largeBodyBytes) return receivedBytes;
  const prompt = body["messages"] ?? body["prompt"];
  const text = typeof prompt === "string" ? prompt.length : jsonLength(prompt ?? "");
  return text + jsonLength(body["tools"]);
}

/** Seconds of a Retry-After header, which is a number of seconds or a date. */
export function retryAfterSeconds(header: string | string[] | undefined, now = Date.now()): number | undefined {
  const text = Array.isArray(header) ? header[0] : header;
  if (text === undefined) return undefined;
  const seconds = Number(text);
  if (Number.isFinite(seconds) && seconds >= 0) return seconds;
  const date = Date.parse(text);
  return Number.isNaN(date) ? undefined : Math.max(0, Math.ceil((date - now) / 1000));
}

/** Where SGLang's refusal of a field goes on with the place in its own files, which is of no use to callers. */
const sourceLine = /\n\n {2}File "/;

/** What went wrong inside an answer: `{error: {message, code, param}}`, vLLM's older `{message, code}`, or plain text. */
function errorDetail(text: string): { message?: string; code?: string; param?: string; hint?: string } {
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch {
    const line = text.trim().slice(0, 300);
    return line === "" || line.startsWith("<") ? {} : { message: line };
  }
  const top = object(parsed);
  const error = object(top?.["error"]) ?? (typeof top?.["error"] === "string" ? { message: top["error"] } : top);
  const field = (name: string) => (typeof error?.[name] === "string" ? error[name] : undefined);
  const message = field("message") ?? field("detail");
  return {
    ...(message !== undefined && { message: message.split(sourceLine)[0]!.slice(0, 2000) }),
    ...(field("code") !== undefined && { code: field("code")! }),
    ...(field("param") !== undefined && { param: field("param")! }),
    ...(field("hint") !== undefined && { hint: field("hint")! }),
  };
}

/** How engines say that a prompt is too long (vLLM, SGLang, llama.cpp, providers): most of them give no code for it. */
const tooLong = /context (length|window|size)|(longer|larger) than the .{0,40}context/i;
/** How llama.cpp's server says it of an embedding's input that is longer than its physical batch, with status 500. */
const tooLarge = /^input .{0,30}is too large to process/;

/**
 * How llama.cpp's server ends all calls under way, with status 500, when they are more together than the KV cache that its slots share. They
 * share one where it was started without a number of slots, or with `--kv-unified`; `/props` does not say so.
 */
const sharedFull = /^Context size has been exceeded/;

/** An engine's refusal as our error: whose fault it is, and whether another try may do better. */
export function refusalOf(status: number, text: string, retryAfter: number | undefined): EngineError {
  const detail = errorDetail(text);
  if (status === 401 || status === 403)
    // Its message may repeat part of the key: it is not shown.
    return new EngineError({
      status: 502,
      code: "engine_auth_failed",
      message: `The engine refused Lineshaft's credentials (${status}).`,
      hint: "Check the environment variable named with --key-env, and start again.",
      retryable: true,
    });
  if (status >= 300 && status < 400)
    return new EngineError({
      status: 502,
      code: "engine_redirected",
      message: `The engine answered with a redirect (${status}), which is not followed.`,
      hint: "Add the engine under the address that it really has.",
      retryable: true,
    });
  if (status === 404 && detail.code !== "context_length_exceeded")
    return new EngineError({
      status: 502,
      code: "engine_model_missing",
      message: `The engine does not know the model or the route: ${detail.message ?? "404"}`,
      hint: "Compare with the models it lists: lineshaft engines list.",
      retryable: true,
    });
  if (status === 429 || status === 408 || status === 402)
    return new EngineError({
      status: 429,
      code: status === 402 || detail.code === "insufficient_quota" ? "engine_quota" : "engine_busy",
      message: detail.message ?? "The engine takes no more calls for now.",
      hint: detail.hint ?? "Try again a little later.",
      retryable: true,
      ...(retryAfter !== undefined && { retryAfterSeconds: retryAfter }),
    });
  if (sharedFull.test(detail.message ?? ""))
    return new EngineError({
      status: 429,
      code: "engine_busy",
      message: "The KV cache that the engine's slots share is full.",
      hint: "Try again later. A llama.cpp server started with --no-kv-unified, or with a larger --ctx-size, has room for every slot.",
      retryable: true,
    });
  const isTooLarge = tooLarge.test(detail.message ?? "");
  if (status >= 500 && !isTooLarge)
    return new EngineError({
      status: status === 503 || status === 504 ? status : 502,
      code: detail.code ?? "engine_failed",
      message: detail.message ?? `The engine failed (${status}).`,
      hint: detail.hint ?? "Look at its log; the call can be tried again.",
      retryable: true,
      ...(retryAfter !== undefined && { retryAfterSeconds: retryAfter }),
    });
  const isTooLong = isTooLarge || tooLong.test(detail.message ?? "");
  return new EngineError({
    status: status === 413 ? 413 : 400,
    code: isTooLong ? "context_length_exceeded" : (detail.code ?? "invalid_request"),
    message: detail.message ?? `The engine refused the request (${status}).`,
    hint: detail.hint ?? "The engine judges this field itself: see its documentation.",
    ...(detail.param !== undefined && { param: detail.param }),
    retryable: false,
  });
}
