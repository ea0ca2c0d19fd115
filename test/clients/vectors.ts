// An engine that makes embeddings and ranks documents by their words, for suites and clients that judge the API: equal texts have equal
// vectors, texts that share words are near each other. It is no model.
import type { ScriptedRoutes } from "../../src/engines/testing.ts";

type Json = Record<string, any>;

const width = 64;
/** As vLLM refuses a longer input. */
const mostTokens = 512;

const wordsOf = (text: string): string[] => text.toLowerCase().match(/[\p{L}\p{N}]+|[^\s\p{L}\p{N}]/gu) ?? [];

const textOf = (input: unknown): string => (Array.isArray(input) ? input.join(" ") : String(input));

/** Every word turns the vector to places of its own; its length is 1. */
function vectorOf(text: string): number[] {
  const vector = Array.from({ length: width }, (_, place) => (place === 0 ? 1e-3 : 0));
  for (const word of wordsOf(text)) {
    let hash = 2166136261;
    for (const letter of word) hash = Math.imul(hash ^ letter.codePointAt(0)!, 16777619) >>> 0;
    vector[hash % width]! += 1;
    vector[(hash >>> 8) % width]! += 0.5;
  }
  const length = Math.hypot(...vector);
  return vector.map((value) => Math.fround(value / length));
}

const tokensOf = (text: string): number => wordsOf(text).length + 2;

function embeddings(body: Json) {
  const { input, encoding_format: format } = body;
  const isMany = Array.isArray(input) && input.some((one) => typeof one !== "number");
  const texts = (isMany ? input : [input]).map(textOf);
  const long = texts.find((text) => tokensOf(text) > mostTokens);
  if (long !== undefined) return tooLong(tokensOf(long));
  const tokens = texts.reduce((sum, text) => sum + tokensOf(text), 0);
  const data = texts.map((text, index) => {
    const vector = vectorOf(text);
    const encoded = Buffer.from(new Float32Array(vector).buffer).toString("base64");
    return { object: "embedding", index, embedding: format === "base64" ? encoded : vector };
  });
  return { object: "list", model: body["model"], data, usage: { prompt_tokens: tokens, total_tokens: tokens } };
}

function rerank({ query, documents, top_n: top }: Json) {
  const asked = new Set(wordsOf(query));
  const scored = (documents as (string | { text: string })[]).map((document, index) => {
    const text = typeof document === "string" ? document : document.text;
    const has = new Set(wordsOf(text));
    const score = [...asked].filter((word) => has.has(word)).length / Math.max(1, asked.size);
    return { index, relevance_score: score, document: { text } };
  });
  const results = scored.toSorted((a, b) => b.relevance_score - a.relevance_score).slice(0, top ?? scored.length);
  const tokens = scored.reduce((sum, { document }) => sum + tokensOf(query) + tokensOf(document.text), 0);
  return { id: "rerank-1", results, usage: { prompt_tokens: tokens, total_tokens: tokens } };
}

const tooLong =
  (tokens: number): ReturnType<ScriptedRoutes["routes"][string]> =>
  (response) => {
    const message = `The input (${tokens} tokens) is longer than the model's context length of ${mostTokens} tokens.`;
    response.writeHead(400, { "content-type": "application/json" });
    response.end(JSON.stringify({ error: { message, type: "BadRequestError", param: "input", code: 400 } }));
  };

export const vectorRoutes = (): ScriptedRoutes["routes"] => ({
  "POST /v1/embeddings": (body) => embeddings(body as Json),
  "POST /v1/rerank": (body) => rerank(body as Json),
  "GET /version": () => ({ version: "0.32.0" }),
});
