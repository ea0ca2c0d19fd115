// Rerank as Jina made it: POST /rerank with a query and documents, answered by {results: [{index, relevance_score}]}. vLLM, llama.cpp and
// Cohere (v2) answer it too; Cohere counts searches in `meta.billed_units` where the others count tokens in `usage`.
import type { Usage } from "../../types.ts";
import { inputUsage } from "../embeddings/read.ts";
import type { WireReader } from "../types.ts";
import { object, tokenCount } from "../values.ts";

/** Fields that every engine with this API is sent. Documents are put into answers by the gateway, which has them. */
export const rerankFields: readonly string[] = ["model", "query", "documents", "top_n"];

/** Route below the base address. */
export const rerankPath = "/rerank";

export const rerankReader: WireReader<undefined> = {
  shape: "rerank",
  promptCharacters: ({ query, documents }, receivedBytes) => receivedBytes ?? JSON.stringify([query, documents]).length,
  isAnswer: ({ results }) => Array.isArray(results) && results.every(isResult),
  begin: () => undefined,
  read: (data, _event, text) => ({
    deltas: [],
    characters: 0,
    bytes: text?.length ?? 0,
    reportsUsage: rerankUsage(data) !== undefined,
    wire: { shape: "rerank", data, text },
  }),
  ends: () => "stream",
  usage: rerankUsage,
};

function isResult(value: unknown): boolean {
  const { index, relevance_score: score } = object(value) ?? {};
  return Number.isSafeInteger(index) && typeof score === "number" && Number.isFinite(score);
}

/**
 * Tokens as engines count them; Cohere's count stands in `meta.tokens.input_tokens`, and its searches are units. An engine that counts
 * searches alone bills no tokens.
 */
function rerankUsage(data: Record<string, unknown>): Usage | undefined {
  const meta = object(data["meta"]);
  const searches = tokenCount(object(meta?.["billed_units"])?.["search_units"]);
  const tokens = tokenCount(object(meta?.["tokens"])?.["input_tokens"]) ?? (searches === undefined ? undefined : 0);
  const usage =
    inputUsage(data) ?? (tokens === undefined ? undefined : inputUsage({ usage: { prompt_tokens: tokens } }));
  if (!usage) return undefined;
  return searches === undefined ? usage : { ...usage, units: { search_units: searches } };
}
