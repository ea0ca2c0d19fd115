// Calls without output through the pipeline: what engines are sent, what is held and billed, and that no model is called for what it does
// not do.
import { describe, expect, test } from "vitest";
import type { RateCard } from "../ledger/index.ts";
import { card, memoryGateway } from "./testing/memoryGateway.ts";
import { embeddings } from "./protocols/embeddings/index.ts";
import { rerank } from "./protocols/rerank/index.ts";
import { decodeAs } from "./protocols/testing.ts";

const vector = { object: "embedding", index: 0, embedding: [0.5, 0.25] };
const embedded = { object: "list", model: "scripted", data: [vector], usage: { prompt_tokens: 5, total_tokens: 5 } };
const ranked = { results: [{ index: 0, relevance_score: 0.5 }], usage: { total_tokens: 7 } };

/** A gateway whose engine answers these calls so, and what it was sent. */
async function gatewayOf(answers: { embeddings?: unknown; rerank?: unknown }, owner = "vllm", priced: RateCard = card) {
  const seen: Record<string, unknown>[] = [];
  const route = (answer: unknown) => (body: unknown) => {
    seen.push(body as Record<string, unknown>);
    return answer as object;
  };
  const at = await memoryGateway({
    owner,
    cardOf: () => priced,
    engineRoutes: {
      "POST /v1/embeddings": route(answers.embeddings ?? embedded),
      "POST /v1/rerank": route(answers.rerank ?? ranked),
      "GET /version": () => ({ version: "0.32.0" }),
    },
  });
  return { at, seen };
}

const embed = (body: object = {}) => ({ asked: decodeAs(embeddings, { model: "scripted", input: "hello", ...body }) });
const rank = { asked: decodeAs(rerank, { model: "scripted", query: "q", documents: ["a", "b"] }) };

test("embeddings are held for their input, billed by the engine's count, and recorded as such", async () => {
  const { at, seen } = await gatewayOf({});
  await using _at = at;
  at.ledger.limitNano = 1_000_000n;
  const answer = await at.gateway.call(at.request({}, embed({ input: ["hello", "world"] })));
  expect((await answer.whole()).wire.data).toEqual(embedded);
  expect(seen[0]).toMatchObject({ model: "scripted", input: ["hello", "world"], cache_salt: expect.any(String) });
  expect(at.ledger.settlements).toMatchObject([{ amountNano: 15n, tokens: { promptTokens: 5, outputTokens: 0 } }]);
  expect(at.ledger.held.size).toBe(0);
  const record = await answer.finished;
  expect(record).toMatchObject({
    endpoint: "embeddings",
    status: "completed",
    promptTokens: 5,
    outputTokens: 0,
    priceNano: 15n,
  });
});

test("the hold covers every text, and no more than the bound of its bytes", async () => {
  const { at } = await gatewayOf({});
  await using _at = at;
  const input = Array.from({ length: 10 }, () => "x".repeat(100));
  at.ledger.limitNano = 3n * 1_319n;
  await expect(at.gateway.call(at.request({}, embed({ input })))).rejects.toMatchObject({ code: "budget_exceeded" });
  at.ledger.limitNano = 3n * 1_320n;
  await (await at.gateway.call(at.request({}, embed({ input })))).whole();
});

test("rerank is billed by the engine's count", async () => {
  const { at, seen } = await gatewayOf({});
  await using _at = at;
  const answer = await at.gateway.call(at.request({}, rank));
  await answer.whole();
  expect(seen[0]).toMatchObject({ query: "q", documents: ["a", "b"] });
  expect(at.ledger.settlements).toMatchObject([{ amountNano: 21n, tokens: { promptTokens: 7, outputTokens: 0 } }]);
  expect(await answer.finished).toMatchObject({ endpoint: "rerank", outputTokens: 0 });
});

describe("searches that a card prices", () => {
  const searching = { ...card, inputNanoPerMillion: 0n, cachedNanoPerMillion: 0n, unitsNano: { search_units: 50n } };
  const cohere = (searches: number, tokens?: number) => ({
    results: ranked.results,
    meta: {
      billed_units: { search_units: searches },
      ...(tokens !== undefined && { tokens: { input_tokens: tokens } }),
    },
  });
  const documents = Array.from({ length: 150 }, (_, index) => `document ${index}`);
  const many = { asked: decodeAs(rerank, { model: "scripted", query: "q", documents }) };

  test.each<[string, object, bigint]>([
    ["two searches for more than a hundred documents", cohere(2), 100n],
    ["the engine's own count where it is less", cohere(1, 900), 50n],
    ["never more than was held for", cohere(9), 100n],
    ["none where the engine counts none", ranked, 0n],
  ])("are billed: %s", async (_name, answer, billed) => {
    const { at } = await gatewayOf({ rerank: answer }, "vllm", searching);
    await using _at = at;
    await (await at.gateway.call(at.request({}, many))).whole();
    expect(at.ledger.settlements).toMatchObject([{ amountNano: billed }]);
    expect(at.ledger.heldNano).toBe(0n);
  });

  test("are held for before the engine is asked", async () => {
    const { at, seen } = await gatewayOf({ rerank: cohere(2) }, "vllm", searching);
    await using _at = at;
    at.ledger.limitNano = 99n;
    await expect(at.gateway.call(at.request({}, many))).rejects.toMatchObject({ code: "budget_exceeded" });
    expect(seen).toEqual([]);
    at.ledger.limitNano = 100n;
    await (await at.gateway.call(at.request({}, many))).whole();
  });

  test("cost nothing where the card does not name them", async () => {
    const { at } = await gatewayOf({ rerank: cohere(2, 7) });
    await using _at = at;
    await (await at.gateway.call(at.request({}, many))).whole();
    expect(at.ledger.settlements).toMatchObject([{ amountNano: 21n, suspenseNano: 0n }]);
  });
});

test("an engine that says no usage is billed by a count of what was sent, never nothing", async () => {
  const { at } = await gatewayOf({ embeddings: { data: [vector] } });
  await using _at = at;
  const answer = await at.gateway.call(at.request({}, embed({ input: "x".repeat(400) })));
  const { usage } = await answer.whole();
  expect(usage).toMatchObject({ source: "counted" });
  expect(usage!.promptTokens).toBeGreaterThanOrEqual(100);
});

test.each([
  ["no list of embeddings", { embeddings: { data: "none" } }, embed()],
  ["no results", { rerank: { results: [{ index: "0" }] } }, rank],
  ["an error with a 200", { embeddings: { error: { message: "broken" } } }, embed()],
])("an answer with %s fails, and its hold is given back", async (_name, answers, request) => {
  const { at } = await gatewayOf(answers);
  await using _at = at;
  await expect(at.gateway.call(at.request({}, request))).rejects.toMatchObject({ status: 502 });
  expect(at.ledger.held.size).toBe(0);
});

test("no model is called for what it does not do", async () => {
  const { at, seen } = await gatewayOf({});
  await using _at = at;
  const [endpoint] = at.engines.list();
  endpoint!.facts!.capabilities.speaks = ["embeddings"];
  await expect(at.gateway.call(at.request())).rejects.toMatchObject({
    status: 400,
    code: "api_not_spoken",
    param: "model",
  });
  await expect(at.gateway.call(at.request({}, rank))).rejects.toMatchObject({ status: 400, param: "model" });
  endpoint!.facts!.capabilities.speaks = ["chat", "completions"];
  await expect(at.gateway.call(at.request({}, embed()))).rejects.toMatchObject({
    status: 400,
    code: "api_not_spoken",
  });
  expect([seen.length, at.engine.seen.length]).toEqual([0, 0]);
});
