// Embeddings by Google's API: OpenAI's body written as `batchEmbedContents`, and its answer as OpenAI's. Source: Google's API reference,
// "Embeddings", as of November 2026. Its answers report the tokens of some models alone, so usage is counted where it is missing.
import { EngineError } from "../../types.ts";
import { inputUsage } from "../embeddings/read.ts";
import type { WireReader } from "../types.ts";
import { listIn, object, tokenCount } from "../values.ts";
import { geminiRefusal } from "./errors.ts";

type Json = Record<string, unknown>;

/** The body for texts. `model`: as the address names it, `models/…`. Throws EngineError 400 for lists of token ids. */
export function writeEmbeddings({ input, dimensions }: Json, model: string): Json {
  const texts = typeof input === "string" ? [input] : (input as unknown[]);
  return {
    requests: texts.map((text) => {
      if (typeof text !== "string") throw noTokens();
      return {
        model,
        content: { parts: [{ text }] },
        ...(typeof dimensions === "number" && { outputDimensionality: dimensions }),
      };
    }),
  };
}

/** Answers as OpenAI's, which is how the gateway and its clients know them. */
export const geminiEmbeddingsReader: WireReader<undefined> = {
  shape: "embeddings",
  promptCharacters: ({ requests }, receivedBytes) => receivedBytes ?? JSON.stringify(requests ?? "").length,
  isAnswer: (data) => Array.isArray(data["embeddings"]),
  begin: () => undefined,
  read(data, _event, text) {
    const embeddings = listIn(data, "embeddings");
    const unreadable = embeddings.findIndex(({ values }) => !Array.isArray(values));
    if (unreadable >= 0) throw noNumbers(unreadable);
    const usage = usageOf(data);
    return {
      deltas: [],
      characters: 0,
      bytes: text?.length ?? 0,
      reportsUsage: usage !== undefined,
      wire: {
        shape: "embeddings",
        data: {
          object: "list",
          data: embeddings.map(({ values }, index) => ({ object: "embedding", index, embedding: values })),
          ...(usage && { usage: { prompt_tokens: usage.promptTokens, total_tokens: usage.promptTokens } }),
        },
        text: undefined,
      },
    };
  },
  ends: () => "stream",
  usage: usageOf,
  refusal: geminiRefusal,
};

function usageOf(data: Json): ReturnType<typeof inputUsage> {
  const tokens = tokenCount(object(data["usageMetadata"])?.["promptTokenCount"]);
  return tokens === undefined ? undefined : inputUsage({ usage: { prompt_tokens: tokens } });
}

const noTokens = (): EngineError =>
  new EngineError({
    status: 400,
    code: "invalid_value",
    param: "input",
    message: "Google's models take texts, and no lists of token ids.",
    hint: "Send the texts themselves.",
    retryable: false,
  });

const noNumbers = (place: number): EngineError =>
  new EngineError({
    status: 502,
    code: "engine_invalid_answer",
    message: `The engine's embedding ${place} holds no numbers.`,
    hint: "Check that the engine serves a model that makes embeddings.",
  });
