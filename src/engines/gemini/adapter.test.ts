// Google's API as an engine does what every engine does, and what it is sent and says is what that API documents.
import type { ServerResponse } from "node:http";
import { describe, expect, test } from "vitest";
import { engineSuite, scriptedSubject } from "../suite.ts";
import { scriptedEngine } from "../testing.ts";
import { geminiCases } from "../testing/geminiCases.ts";
import { createGeminiEngine } from "./adapter.ts";

const credential = "AIza-key-of-the-suite";

/** Routes of the scripted engine. A function in place of an answer writes nothing. */
const counted = { "POST /v1/models/scripted:countTokens": () => ({ totalTokens: 7 }) };

engineSuite(
  "Google's API",
  async () => {
    const own = { routes: { ...counted }, shape: "gemini" as const };
    const server = await scriptedEngine({}, ["scripted"], 0, own);
    return scriptedSubject(createGeminiEngine({ url: server.url, model: "scripted", key: credential }), credential, {
      ...server,
      silence: () => void Object.assign(own.routes, { "GET /v1/models": () => () => {} }),
    });
  },
  geminiCases,
);

const hints = { attempt: "att_1", cacheSalt: "prj_1", project: "prj_1" };
const contents = [{ role: "user", parts: [{ text: "hi" }] }];

describe("what is sent", () => {
  const ask = (shape: "gemini" | "embeddings", body: Record<string, unknown>, streamByPath = false) => ({
    shape,
    body,
    streamByPath,
    hints,
  });

  test("the key stands in a header of its own, and never in the address; hints stay here", async () => {
    await using server = await scriptedEngine({}, ["scripted"], 0, { routes: {}, shape: "gemini" });
    const engine = createGeminiEngine({ url: server.url, model: "scripted", key: credential });
    await (await engine.open(ask("gemini", { contents }))).whole();
    for await (const _ of (await engine.open(ask("gemini", { contents }, true))).chunks);
    expect(server.seen.map(({ path }) => path)).toEqual([
      "/v1/models/scripted:generateContent",
      "/v1/models/scripted:streamGenerateContent?alt=sse",
    ]);
    for (const { headers, body } of server.seen) {
      expect(headers["x-goog-api-key"]).toBe(credential);
      expect(headers).not.toHaveProperty("authorization");
      expect(body).toEqual({ contents });
    }
  });

  test("tuned models have a folder of their own, and no name leaves the path", async () => {
    await using server = await scriptedEngine({}, [], 0, { routes: {}, shape: "gemini" });
    for (const model of ["tunedModels/mine", "models/scripted", "a?key=b#c"]) {
      const engine = createGeminiEngine({ url: server.url, model, key: credential });
      await (await engine.open(ask("gemini", { contents }))).whole();
    }
    expect(server.seen.map(({ path }) => path)).toEqual([
      "/v1/tunedModels/mine:generateContent",
      "/v1/models/scripted:generateContent",
      "/v1/models/a%3Fkey%3Db%23c:generateContent",
    ]);
  });

  test("a prompt's tokens are counted by the model that will read it", async () => {
    let asked: unknown;
    const routes = { "POST /v1/models/scripted:countTokens": (body: unknown) => ((asked = body), { totalTokens: 7 }) };
    await using server = await scriptedEngine({}, ["scripted"], 0, { routes, shape: "gemini" });
    const engine = createGeminiEngine({ url: server.url, model: "scripted" });
    expect(await engine.tokenize("gemini", { contents }, "prj_1")).toEqual({ count: 7 });
    expect(asked).toEqual({ generateContentRequest: { model: "models/scripted", contents } });
    expect(await engine.tokenize("chat", {}, "prj_1")).toBeUndefined();
  });

  test("its context is the longest prompt and the longest answer together", async () => {
    await using server = await scriptedEngine({}, ["scripted"], 0, { routes: {}, shape: "gemini" });
    const facts = await createGeminiEngine({ url: server.url, model: "scripted" }).probe();
    expect(facts).toMatchObject({ models: ["scripted"], contextTokens: 1_100 });
    expect(facts.capabilities.speaks).toEqual(["gemini"]);
  });
});

test("the last report of a stream counts, also where it has fewer tokens than the ones before", async () => {
  const part = (text: string, usageMetadata: object, finishReason?: string) =>
    `data: ${JSON.stringify({ candidates: [{ content: { parts: [{ text }] }, finishReason }], usageMetadata })}\n\n`;
  const routes = {
    "POST /v1/models/scripted:streamGenerateContent": () => (response: ServerResponse) => {
      response.writeHead(200, { "content-type": "text/event-stream" });
      response.write(part("a", { promptTokenCount: 169, totalTokenCount: 169 }));
      response.end(part("b", { promptTokenCount: 79, candidatesTokenCount: 12, totalTokenCount: 91 }, "STOP"));
    },
  };
  await using server = await scriptedEngine({}, ["scripted"], 0, { routes, shape: "gemini" });
  const engine = createGeminiEngine({ url: server.url, model: "scripted", key: credential });
  const answer = await engine.open({ shape: "gemini", body: { contents }, streamByPath: true, hints });
  for await (const _ of answer.chunks);
  expect(answer.usage()).toMatchObject({ promptTokens: 79, outputTokens: 12, source: "engine" });
  await engine.close();
});

describe("embeddings", () => {
  const list = {
    models: [{ name: "models/embed", inputTokenLimit: 100, supportedGenerationMethods: ["embedContent"] }],
  };
  const request = (body: Record<string, unknown>) => ({ shape: "embeddings" as const, body, hints });

  test("OpenAI's body is written as Google's, and its answer read as OpenAI's", async () => {
    let asked: unknown;
    const answer = { embeddings: [{ values: [1, 2] }, { values: [3, 4] }], usageMetadata: { promptTokenCount: 5 } };
    const routes = {
      "GET /v1/models": () => list,
      "POST /v1/models/embed:batchEmbedContents": (body: unknown) => ((asked = body), answer),
    };
    await using server = await scriptedEngine({}, [], 0, { routes, shape: "gemini" });
    const engine = createGeminiEngine({ url: server.url, model: "embed" });
    expect((await engine.probe()).capabilities).toMatchObject({ speaks: ["embeddings"], tokenize: false });
    const opened = await engine.open(request({ model: "embed", input: ["a", "b"], dimensions: 2 }));
    expect((await opened.whole()).wire.data).toEqual({
      object: "list",
      data: [
        { object: "embedding", index: 0, embedding: [1, 2] },
        { object: "embedding", index: 1, embedding: [3, 4] },
      ],
      usage: { prompt_tokens: 5, total_tokens: 5 },
    });
    expect(opened.usage()).toMatchObject({ promptTokens: 5, outputTokens: 0, source: "engine" });
    expect(asked).toEqual({
      requests: ["a", "b"].map((text) => ({
        model: "models/embed",
        content: { parts: [{ text }] },
        outputDimensionality: 2,
      })),
    });
  });

  test("without a report they are counted, and lists of token ids are refused", async () => {
    const routes = { "POST /v1/models/embed:batchEmbedContents": () => ({ embeddings: [{ values: [1] }] }) };
    await using server = await scriptedEngine({}, [], 0, { routes, shape: "gemini" });
    const engine = createGeminiEngine({ url: server.url, model: "embed" });
    const opened = await engine.open(request({ input: "a text" }));
    await opened.whole();
    expect(opened.usage()).toMatchObject({ source: "counted", outputTokens: 0 });
    await expect(engine.open(request({ input: [[1, 2]] }))).rejects.toMatchObject({ status: 400, param: "input" });
  });
});
