// The worker that makes embeddings, with the real model, against numbers that a forward pass in 32-bit floats gave once (testing/).
import { readFileSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { embeddingModel } from "../../../test/setup/model.ts";
import { unit } from "./embedder.ts";
import { startTestWorker, type TestWorker } from "./testing.ts";

interface Golden {
  pairs: { a: string; b: string; cosine: number }[];
  hello: { text: string; ids: number[]; vector: number[] };
  tokens: { text: string; ids: number[] };
}

const golden = JSON.parse(readFileSync(new URL("testing/miniLm.golden.json", import.meta.url), "utf8")) as Golden;

let worker: TestWorker;
beforeAll(async () => {
  worker = await startTestWorker({ modelPath: await embeddingModel(), embeds: true });
}, 300_000);
afterAll(() => worker.stop());

interface Answer {
  data: { index: number; embedding: number[] }[];
  usage: { prompt_tokens: number; total_tokens: number };
}

async function embed(body: Record<string, unknown>): Promise<Answer> {
  const response = await worker.post("/v1/embeddings", { model: "small", ...body });
  const answer = (await response.json()) as Answer;
  expect(response.status, JSON.stringify(answer)).toBe(200);
  return answer;
}

const dot = (a: number[], b: number[]) => a.reduce((sum, value, index) => sum + value * b[index]!, 0);

describe("vectors", () => {
  test("are those of the model, of length 1", async () => {
    const { data, usage } = await embed({ input: golden.hello.text });
    const vector = data[0]!.embedding;
    expect(vector).toHaveLength(384);
    expect(Math.hypot(...vector)).toBeCloseTo(1, 5);
    // 16-bit weights: the third digit may differ.
    for (const [index, value] of golden.hello.vector.entries()) expect(vector[index]).toBeCloseTo(value, 2.5);
    expect(dot(vector, golden.hello.vector)).toBeGreaterThan(0.9999);
    expect(usage).toEqual({ prompt_tokens: golden.hello.ids.length, total_tokens: golden.hello.ids.length });
  });

  test("of ten pairs of sentences have the cosines of the model, in its order", async () => {
    const { data } = await embed({ input: golden.pairs.flatMap(({ a, b }) => [a, b]) });
    expect(data.map(({ index }) => index)).toEqual(data.map((_, index) => index));
    const cosines = golden.pairs.map((_, index) => dot(data[2 * index]!.embedding, data[2 * index + 1]!.embedding));
    for (const [index, { cosine }] of golden.pairs.entries()) expect(cosines[index]).toBeCloseTo(cosine, 2);
    const order = (values: number[]) => values.map((_, index) => index).toSorted((a, b) => values[a]! - values[b]!);
    expect(order(cosines)).toEqual(order(golden.pairs.map(({ cosine }) => cosine)));
  });

  test("of tokens are those of their text, with and without the tokens around them", async () => {
    const [first, ...rest] = golden.hello.ids;
    const bare = [first!, ...rest].slice(1, -1);
    const { data } = await embed({ input: [golden.hello.ids, bare] });
    const { data: text } = await embed({ input: golden.hello.text });
    for (const { embedding } of data) expect(dot(embedding, text[0]!.embedding)).toBeGreaterThan(0.99999);
  });

  test("in base64 are the same numbers as 32-bit floats, little-endian", async () => {
    const { data } = await embed({ input: "hello world", encoding_format: "base64" });
    const { data: plain } = await embed({ input: "hello world", encoding_format: "float" });
    const bytes = Buffer.from(data[0]!.embedding as unknown as string, "base64");
    expect(bytes).toHaveLength(4 * 384);
    expect(plain[0]!.embedding.map((_, index) => bytes.readFloatLE(4 * index))).toEqual(plain[0]!.embedding);
  });

  test("are scaled to length 1; zeros stay zeros", () => {
    expect([...unit([3, 4])]).toEqual([Math.fround(0.6), Math.fround(0.8)]);
    expect([...unit([0, 0])]).toEqual([0, 0]);
  });
});

test("accents and ideographs are tokenised as the model's makers do", async () => {
  const answer = await worker.post("/tokenize", { prompt: golden.tokens.text });
  expect(await answer.json()).toMatchObject({ count: golden.tokens.ids.length, tokens: golden.tokens.ids });
});

test("a text that spells a control token is text", async () => {
  const { tokens } = (await (await worker.post("/tokenize", { prompt: "[SEP]" })).json()) as { tokens: number[] };
  expect(tokens.slice(1, -1)).not.toContain(102);
});

test("the longest text is served, and one token more is refused by name", async () => {
  expect((await embed({ input: "pump ".repeat(510) })).usage.prompt_tokens).toBe(512);
  const refused = await worker.post("/v1/embeddings", { input: ["short", "pump ".repeat(511)] });
  expect(refused.status).toBe(400);
  expect(await refused.json()).toMatchObject({ error: { code: "context_length_exceeded", param: "input.1" } });
});

test.each([
  ["nothing", { input: "" }, "input"],
  ["no texts", { input: [] }, "input"],
  ["an empty text among others", { input: ["a", ""] }, "input.1"],
  ["a token that is not there", { input: [[30_522]] }, "input.0"],
  ["too many texts", { input: Array.from({ length: 2_049 }, () => "a") }, "input"],
  ["fewer numbers", { input: "a", dimensions: 128 }, "dimensions"],
  ["an unknown encoding", { input: "a", encoding_format: "hex" }, "encoding_format"],
])("%s is refused by the name of the field", async (_name, body, param) => {
  const refused = await worker.post("/v1/embeddings", body);
  expect(refused.status).toBe(400);
  expect(await refused.json()).toMatchObject({ error: { param } });
});

test("says what it is, counts what it did, and has no route of generating workers", async () => {
  const { embeds, contextTokens, totals } = await worker.status();
  expect(embeds).toEqual({ dimensions: 384 });
  expect(contextTokens).toBe(512);
  expect(totals.calls).toBeGreaterThan(0);
  expect((await worker.post("/v1/chat/completions", {})).status).toBe(404);
});
