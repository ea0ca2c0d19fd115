// Routes of models over HTTP: set, listed, removed, and what a client sees of a call that another model serves.
import { expect, test } from "vitest";
import { hello, rows, testGateway, testPrices, type TestGateway } from "./testing.ts";
import { createOpenAiEngine } from "../engines/index.ts";
import { scriptedEngine } from "../engines/testing.ts";

const set = (at: TestGateway, body: object) => at.request("/api/routes", { method: "PUT", body: JSON.stringify(body) });

test("a route is set, replaced, listed and removed, and its fields are judged", async () => {
  await using at = await testGateway();
  const route = {
    model: "claude-*",
    serves: "scripted",
    fallbacks: ["other/a b"],
    retry: { most: 2, wait_most_ms: 50 },
    hedge: { after_ms: 800, share: 0.05 },
    continues: false,
  };
  expect(await set(at, route)).toMatchObject({ status: 200, body: { ...route, updated_at: expect.any(String) } });
  expect((await set(at, { model: "org/m", fallbacks: ["x"] })).status).toBe(200);
  expect((await set(at, { model: "claude-*", serves: "scripted" })).body).not.toHaveProperty("retry");
  const { body } = await at.request("/api/routes");
  expect(body).toMatchObject({
    data: [{ model: "claude-*", serves: "scripted" }, { model: "org/m" }],
    next_cursor: null,
  });
  expect(await set(at, { model: "m", serve: "x" })).toMatchObject({ status: 400 });
  expect(await set(at, { model: "m", hedge: { after_ms: 800, share: 1.5 } })).toMatchObject({ status: 400 });
  expect(await set(at, { model: "m", serves: "m" })).toMatchObject({
    status: 400,
    body: { error: { code: "invalid_value" } },
  });
  const remove = () => at.request(`/api/routes/${encodeURIComponent("org/m")}`, { method: "DELETE" });
  expect(await remove()).toMatchObject({ status: 200, body: { model: "org/m", deleted: true } });
  expect((await remove()).status).toBe(404);
});

test("an alias and a fallback serve a client's call: it is billed as the model that served it, and the books agree", async () => {
  await using at = await testGateway({ script: { fail: { status: 500 } } });
  await using second = await scriptedEngine({ usage: { prompt: 10, output: 4 } });
  const { organisation } = at.principal;
  at.engines.add("second", createOpenAiEngine({ url: second.url, model: "second" }), {
    kind: "openai",
    model: "second",
  });
  const dear = { ...testPrices, inputNanoPerMillion: 30_000_000n, outputNanoPerMillion: 70_000_000n };
  await at.ledger.setRateCard({ organisation, model: "second", currency: "USD", ...dear });
  await set(at, { model: "claude-opus", serves: "scripted", fallbacks: ["second"] });
  for (const stream of [false, true]) {
    const answer = await at.request("/v1/chat/completions", {
      method: "POST",
      body: JSON.stringify({ ...hello, model: "claude-opus", stream }),
    });
    expect([answer.status, answer.headers.get("x-lineshaft-model")]).toEqual([200, "second"]);
  }
  const { calls, attempts, settlements } = await rows(at);
  expect(calls).toHaveLength(2);
  for (const call of calls) {
    expect(call).toMatchObject({ model: "second", asked_model: "claude-opus", price_nano: 580n });
    const own = attempts.filter((attempt) => attempt["call"] === call["id"]);
    expect(own.map(({ why, model, status, price_nano }) => [why, model, status, price_nano])).toEqual([
      ["first", "scripted", "failed", 0n],
      ["fallback", "second", "completed", 580n],
    ]);
  }
  expect(settlements.reduce((sum, row) => sum + row["amount_nano"], 0n)).toBe(1160n);
  expect((await at.ledger.prove()).discrepancies).toEqual([]);
  const [shown] = (await at.request("/api/calls")).body.data;
  expect(shown).toMatchObject({ model: "second", asked_model: "claude-opus" });
  const { data } = await at.client().models.list();
  expect(data.map(({ id }) => id)).toEqual(["scripted", "second", "claude-opus"]);
});
