// OpenAI's embeddings: POST /v1/embeddings. OpenAI's own clients ask for base64 unless told otherwise: 32-bit floats, little-endian.
// Engines that know one of the two forms answer in it whatever was asked, so an answer in the other form is written anew. Any other answer
// is passed on as it came.
import { decodeBody } from "../openai/bodies.ts";
import { openAiVerbs } from "../openai/verbs.ts";
import type { Protocol } from "../types.ts";
import type { AnswerChunk } from "../../types.ts";
import { EmbeddingsCall } from "./call.ts";
import { embeddingsBody } from "./schema.ts";
import { encoded, isEncoded } from "./vectors.ts";

type Json = Record<string, unknown>;

export const embeddings: Protocol = {
  ...openAiVerbs("chat"),
  name: "embeddings",
  shape: "embeddings",
  calls: [{ method: "POST", path: "/v1/embeddings" }],
  questions: [],
  decode({ json, bytes, members }) {
    const body = decodeBody(embeddingsBody, json, "input");
    return new EmbeddingsCall(body, { shape: "embeddings", bytes, members, object: body });
  },
  whole: (answer, { call }) => wholeText(answer, (call as EmbeddingsCall).encoding),
};

/** JSON text of the answer, in the encoding that was asked for. */
function wholeText({ wire, usage }: AnswerChunk, encoding: "float" | "base64"): string {
  const vectors = wire.data["data"] as Json[];
  const isAsAsked = wire.data["object"] === "list" && vectors.every((one) => isEncoded(one["embedding"], encoding));
  if (wire.text !== undefined && !usage && isAsAsked) return wire.text;
  const data = vectors.map((one) => ({ ...one, embedding: encoded(one["embedding"], encoding) }));
  const answer: Json = { ...wire.data, object: "list", data };
  if (usage) answer["usage"] = { prompt_tokens: usage.promptTokens, total_tokens: usage.promptTokens };
  return JSON.stringify(answer);
}
