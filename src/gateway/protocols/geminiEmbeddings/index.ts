// Google's embeddings: embedContent for one text, batchEmbedContents for several. A call is an embeddings call like any other, in OpenAI's
// shape to engines, and its answer is written as Google's. Source: Google's API reference, "Embeddings", as of November 2026.
import { z } from "@hono/zod-openapi";
import { invalidValue } from "../../refusals.ts";
import type { AnswerChunk } from "../../types.ts";
import { EmbeddingsCall } from "../embeddings/call.ts";
import { encoded } from "../embeddings/vectors.ts";
import { gemini, roots } from "../gemini/index.ts";
import { spelled } from "../gemini/schema.ts";
import { checkBody, checkModel } from "../openai/bodies.ts";
import type { CallRoute, Protocol, Told } from "../types.ts";
import { geminiBatchEmbedBody, geminiEmbedBody } from "./schema.ts";

type EmbedRequest = z.infer<typeof geminiEmbedBody>;

/** Google's of one text is answered by one embedding, of several by a list. */
class GeminiEmbeddingsCall extends EmbeddingsCall {
  readonly isBatch: boolean;

  constructor(body: Record<string, unknown>, isBatch: boolean) {
    super(body, undefined);
    this.isBatch = isBatch;
  }

  protected override with(body: Record<string, unknown>): GeminiEmbeddingsCall {
    return new GeminiEmbeddingsCall(body, this.isBatch);
  }
}

export const geminiEmbeddings: Protocol = {
  ...gemini,
  name: "gemini embeddings",
  shape: "embeddings",
  calls: roots.flatMap((root): CallRoute[] => [
    { method: "POST", path: `${root}/{model}:embedContent` },
    { method: "POST", path: `${root}/{model}:batchEmbedContents` },
  ]),
  questions: [],
  decode({ route, model, json }) {
    const isBatch = route.path.endsWith(":batchEmbedContents");
    const body = checkBody(isBatch ? geminiBatchEmbedBody : geminiEmbedBody, spelled(json));
    checkModel(model);
    const requests = isBatch ? (body as { requests: EmbedRequest[] }).requests : [body as EmbedRequest];
    const sizes = new Set(requests.map(({ outputDimensionality }) => outputDimensionality ?? undefined));
    if (sizes.size > 1)
      throw invalidValue(
        "requests",
        "All texts of a batch have one size of vectors: give each the same outputDimensionality.",
      );
    const [dimensions] = sizes;
    const input = requests.map(({ content }) => content.parts.map(({ text }) => text).join("\n"));
    return new GeminiEmbeddingsCall({ model, input, ...(dimensions !== undefined && { dimensions }) }, isBatch);
  },
  whole: (answer, told) => JSON.stringify(answerOf(answer, told)),
};

function answerOf({ wire, usage }: AnswerChunk, { call }: Told): Record<string, unknown> {
  const embeddings = (wire.data["data"] as Record<string, unknown>[]).map(({ embedding }) => ({
    values: encoded(embedding, "float"),
  }));
  // What an engine reports stands in its answer; what was counted for a silent one is told beside it.
  const tokens = usage?.promptTokens ?? (wire.data["usage"] as { prompt_tokens?: number } | undefined)?.prompt_tokens;
  const metadata = tokens === undefined ? {} : { usageMetadata: { promptTokenCount: tokens } };
  return (call as GeminiEmbeddingsCall).isBatch
    ? { embeddings, ...metadata }
    : { embedding: embeddings[0], ...metadata };
}
