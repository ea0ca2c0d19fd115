// Rerank: which of some documents answer a query best. POST /v1/rerank and /rerank in the shape of Jina and vLLM, POST /v2/rerank in
// Cohere's. Answers are written here, because engines differ in what they add; a document is repeated only where the call asks for it.
import { EngineError } from "../../../engines/index.ts";
import { decodeBody } from "../openai/bodies.ts";
import { openAiVerbs } from "../openai/verbs.ts";
import type { Protocol, Told } from "../types.ts";
import type { AnswerChunk } from "../../types.ts";
import { RerankCall } from "./call.ts";
import { rerankBody } from "./schema.ts";

interface Result {
  index: number;
  relevance_score: number;
}

const coherePath = "/v2/rerank";

export const rerank: Protocol = {
  ...openAiVerbs("chat"),
  name: "rerank",
  shape: "rerank",
  calls: ["/v1/rerank", "/rerank", coherePath].map((path) => ({ method: "POST", path })),
  questions: [],
  decode({ json, bytes, members, path }) {
    const body = decodeBody(rerankBody, json);
    return new RerankCall(body, { shape: "rerank", bytes, members, object: body }, path === coherePath);
  },
  whole: (answer, told) => JSON.stringify(answerOf(answer, told)),
};

/** Documents in a search as Cohere counts them. */
const documentsPerSearch = 100;

function answerOf({ wire, usage }: AnswerChunk, { call, id }: Told): Record<string, unknown> {
  const { documents, isCohere, returnsDocuments, prompt } = call as RerankCall;
  const top = prompt.kind === "rerank" ? prompt.top : undefined;
  const results = resultsOf(wire.data["results"] as Result[], documents.length)
    .slice(0, top)
    .map(({ index, relevance_score }) => ({
      index,
      relevance_score,
      ...(returnsDocuments && { document: { text: documents[index] } }),
    }));
  const tokens = usage?.promptTokens ?? saidTokens(wire.data);
  if (!isCohere) return { id, model: call.model, results, usage: { prompt_tokens: tokens, total_tokens: tokens } };
  const searches = Math.ceil(documents.length / documentsPerSearch);
  return { id, results, meta: { billed_units: { search_units: searches }, tokens: { input_tokens: tokens } } };
}

/** The best first. Throws EngineError where the engine names a document that there is not. */
function resultsOf(results: readonly Result[], documents: number): Result[] {
  const wrong = results.find(({ index }) => index < 0 || index >= documents);
  if (wrong)
    throw new EngineError({
      status: 502,
      code: "engine_invalid_answer",
      message: `The engine's answer cannot be read: it ranks document ${wrong.index}, and the call has ${documents}.`,
      hint: "Check that the address belongs to an endpoint for rerank.",
    });
  return results.toSorted((a, b) => b.relevance_score - a.relevance_score);
}

function saidTokens(data: Record<string, unknown>): number {
  const { usage, meta } = data as {
    usage?: { prompt_tokens?: number; total_tokens?: number };
    meta?: { tokens?: { input_tokens?: number } };
  };
  return usage?.prompt_tokens ?? usage?.total_tokens ?? meta?.tokens?.input_tokens ?? 0;
}
