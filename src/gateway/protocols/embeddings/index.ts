// OpenAI's embeddings: POST /v1/embeddings. OpenAI's own clients ask for base64 unless told otherwise: 32-bit floats, little-endian. Engines that
// know one of the two forms answer in it whatever was asked, so an answer in the other form is written anew.
import { decodeBody } from "../openai/bodies.ts";
import { openAiVerbs } from "../openai/verbs.ts";
import type { Protocol } from "../types.ts";
import type { AnswerChunk } from "../../types.ts";
import { EmbeddingsCall } from "./call.ts";
import { embeddingsBody } from "./schema.ts";

type Json = Record<string, unknown>;

export const embeddings: Protocol = {
  ...openAiVerbs("chat"),
  name: "embeddings",
  shape: "embeddings",
  calls: [{ method: "POST", path: "/v1/embeddings" }],
  questions: [],
  decode({ json, bytes, text }) {
    const body = decodeBody(embeddingsBody, json, "input");
    return new EmbeddingsCall(body, { shape: "embeddings", bytes, text, object: body });
  },
  whole: (answer, { call }) => wholeText(answer, (call as EmbeddingsCall).encoding),
};

/** JSON text of the answer, in the encoding that was asked for. */
function wholeText({ wire, usage }: AnswerChunk, encoding: "float" | "base64"): string {
  const data = (wire.data["data"] as Json[]).map((one) => ({ ...one, embedding: encoded(one["embedding"], encoding) }));
  const answer: Json = { ...wire.data, object: "list", data };
  if (usage) answer["usage"] = { prompt_tokens: usage.promptTokens, total_tokens: usage.promptTokens };
  return JSON.stringify(answer);
}

/** A vector in the encoding; what is neither numbers nor text stays as the engine said it. */
function encoded(vector: unknown, encoding: "float" | "base64"): unknown {
  if (encoding === "base64" && Array.isArray(vector)) {
    const bytes = Buffer.alloc(4 * vector.length);
    for (const [index, value] of (vector as number[]).entries()) bytes.writeFloatLE(value, 4 * index);
    return bytes.toString("base64");
  }
  if (encoding === "float" && typeof vector === "string") {
    const bytes = Buffer.from(vector, "base64");
    return Array.from({ length: Math.floor(bytes.length / 4) }, (_, index) => bytes.readFloatLE(4 * index));
  }
  return vector;
}
