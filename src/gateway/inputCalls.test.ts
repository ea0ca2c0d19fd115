// Calls without output through the pipeline: what engines are sent, what is held and billed, and that no model is called for what it does not do.
import { expect, test } from "vitest";
import { memoryGateway } from "./testing/memoryGateway.ts";
import { embeddings } from "./protocols/embeddings/index.ts";
import { rerank } from "./protocols/rerank/index.ts";
import { decodeAs } from "./protocols/testing.ts";

const vector = { object: "embedding", index: 0, embedding: [0.5, 0.25] };
const embedded = { object: "list", model: "scripted", data: [vector], usage: { prompt_tokens: 5, total_tokens: 5 } };
const ranked = { results: [{ index: 0, relevance_score: 0.5 }], usage: { total_tokens: 7 } };

/** A gateway whose engine answers these calls so, and what it was sent. */
async function gatewayOf(answers: { embeddings?: unknown; rerank?: unknown }, owner = "vllm") {
  const seen: Record<string, unknown>[] = [];
  const route = (answer: unknown) => (body: unknown) => {
    seen.push(body as Record<string, unknown>);
    return answer as object;
  };
  const at = await memoryGateway({
    owner,
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
