// OpenAI's embeddings: POST /v1/embeddings, as OpenAI, vLLM, SGLang, llama.cpp, Ollama and the embedded worker answer it. An answer comes whole
// and writes no text, so all that is read of it is its usage.
import { EngineError, type Usage } from "../../types.ts";
import type { WireReader } from "../types.ts";
import { object, tokenCount } from "../values.ts";

/** Fields that every engine with this API is sent. */
export const embeddingFields: readonly string[] = ["model", "input", "encoding_format", "dimensions", "user"];

/** Route below `/v1`. */
export const embeddingsPath = "/embeddings";

export const embeddingsReader: WireReader<undefined> = {
  shape: "embeddings",
  promptCharacters: ({ input }, receivedBytes) => receivedBytes ?? JSON.stringify(input ?? "").length,
  isAnswer: ({ data }) => Array.isArray(data) && data.every((one) => object(one)?.["embedding"] !== undefined),
  begin: () => undefined,
  read: (data, _event, text) => {
    if (!Array.isArray(data["data"])) throw unreadable();
    const bytes = text?.length ?? 0;
    return {
      deltas: [],
      characters: 0,
      bytes,
      reportsUsage: inputUsage(data) !== undefined,
      wire: { shape: "embeddings", data, text },
    };
  },
  ends: () => "stream",
  usage: inputUsage,
};

/**
 * Usage of a call without output: `usage.prompt_tokens`, else `usage.total_tokens` (Jina). Undefined where the answer says neither. Cached
 * tokens are not reported by any engine for such calls.
 */
export function inputUsage(data: Record<string, unknown>): Usage | undefined {
  const usage = object(data["usage"]);
  const promptTokens = tokenCount(usage?.["prompt_tokens"]) ?? tokenCount(usage?.["total_tokens"]);
  if (promptTokens === undefined) return undefined;
  return {
    promptTokens,
    cachedTokens: 0,
    cachedUnreported: true,
    outputTokens: 0,
    reasoningTokens: 0,
    source: "engine",
  };
}

const unreadable = (): EngineError =>
  new EngineError({
    status: 502,
    code: "engine_invalid_answer",
    message: "The engine's answer holds no embeddings.",
    hint: "Check that the engine serves a model that makes embeddings.",
  });
