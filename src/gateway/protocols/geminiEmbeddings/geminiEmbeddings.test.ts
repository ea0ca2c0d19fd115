// Google's embeddings: what is read of a request, how an answer is written, and a call through the whole gateway.
import { describe, expect, test } from "vitest";
import { memoryGateway } from "../../testing/memoryGateway.ts";
import { routeOf } from "../registry.ts";
import type { ReceivedRequest } from "../types.ts";
import { geminiEmbeddings } from "./index.ts";

function decoded(verb: string, json: unknown, model = "org/vectors:small") {
  const route = routeOf("POST", `/v1beta/models/${model}:${verb}`);
  if (!route?.call) throw new Error("no such route");
  const text = JSON.stringify(json);
  const received = { route: route.call, model, json, bytes: Buffer.from(text), query: new URLSearchParams() };
  return geminiEmbeddings.decode(received as unknown as ReceivedRequest);
}

const content = (...texts: string[]) => ({ parts: texts.map((text) => ({ text })) });
const vectors = (...values: unknown[]) => ({
  object: "list",
  data: values.map((embedding, index) => ({ object: "embedding", index, embedding })),
  usage: { prompt_tokens: 5, total_tokens: 5 },
});

describe("a request", () => {
  test("of one text, in either spelling, is an embeddings call of the model that the path names", () => {
    const one = {
      model: "models/ignored",
      content: content("a", "b"),
      task_type: "RETRIEVAL_QUERY",
      output_dimensionality: 8,
    };
    const call = decoded("embedContent", one);
    expect(call).toMatchObject({ model: "org/vectors:small", kind: "embed", shape: "embeddings" });
    expect(call.engineBody({ model: "m", outputTokens: undefined, stream: false, shape: "embeddings" })).toEqual({
      model: "m",
      input: ["a\nb"],
      dimensions: 8,
    });
  });

  test("of several texts is one call", () => {
    const call = decoded("batchEmbedContents", { requests: [{ content: content("a") }, { content: content("b") }] });
    expect(call.prompt).toEqual({ kind: "list", prompts: ["a", "b"] });
  });

  test.each<[string, string, unknown]>([
    ["no content", "embedContent", {}],
    ["an empty text", "embedContent", { content: content("") }],
    ["a picture", "embedContent", { content: { parts: [{ inlineData: { mimeType: "image/png", data: "" } }] } }],
    ["an unknown field", "embedContent", { content: content("a"), tools: [] }],
    ["no requests", "batchEmbedContents", { requests: [] }],
    [
      "two sizes of vectors",
      "batchEmbedContents",
      { requests: [{ content: content("a"), outputDimensionality: 8 }, { content: content("b") }] },
    ],
  ])("with %s is refused by name", (_name, verb, body) => {
    expect(() => decoded(verb, body)).toThrow(expect.objectContaining({ status: 400 }));
  });
});

test.each<[string, unknown, object]>([
  ["embedContent", { content: content("a") }, { embedding: { values: [0.5, 0.25] } }],
  [
    "batchEmbedContents",
    { requests: [{ content: content("a") }, { content: content("b") }] },
    { embeddings: [{ values: [0.5, 0.25] }, { values: [1] }] },
  ],
])("%s is answered in Google's shape, held and billed as any embeddings", async (verb, body, expected) => {
  const bytes = Buffer.alloc(4);
  bytes.writeFloatLE(1);
  await using at = await memoryGateway({
    owner: "vllm",
    engineRoutes: {
      "POST /v1/embeddings": () => vectors([0.5, 0.25], bytes.toString("base64")),
      "GET /version": () => ({ version: "0.32.0" }),
    },
  });
  const call = decoded(verb, body, "scripted");
  const answer = await at.gateway.call(at.requestOf(call));
  const chunk = await answer.whole();
  const text = geminiEmbeddings.whole(chunk, { call, id: "call_1", createdMs: 0 } as never);
  expect(JSON.parse(String(text))).toMatchObject({ ...expected, usageMetadata: { promptTokenCount: 5 } });
  expect(await answer.finished).toMatchObject({ endpoint: "embeddings", priceNano: 15n });
});
