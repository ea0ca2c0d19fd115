// Prices over HTTP: what is set is what is answered, explained and billed.
import { describe, expect, test } from "vitest";
import * as schemas from "../contract/index.ts";
import { scriptedEngine } from "../engines/testing.ts";
import { hello, testGateway } from "./testing.ts";

const json = (value: unknown, method = "POST") => ({ method, body: JSON.stringify(value) });

const usd = (perMillion: number) => String(Math.round(perMillion * 1e9));

/** As OpenAI publishes it: twice the input and one and a half times the output above 272,000 tokens. */
const card = {
  model: "gpt-5.5",
  currency: "USD",
  input_nano_per_million: usd(5),
  cached_nano_per_million: usd(0.5),
  output_nano_per_million: usd(30),
  tiers: [
    {
      above_prompt_tokens: 272_000,
      input_nano_per_million: usd(10),
      cached_nano_per_million: usd(1),
      output_nano_per_million: usd(45),
    },
  ],
  call_nano: "1000",
  units_nano: { search: usd(0.01) },
  batch: { discount_percent: 50 },
};

describe("prices", () => {
  test("set, listed, planned, explained", async () => {
    await using at = await testGateway();
    const put = (body: object) => at.request("/api/prices", json(body, "PUT"));
    const { batch: _discount, ...kept } = card;
    const made = await put(card);
    expect(made.status).toBe(200);
    expect(schemas.card.parse(made.body)).toMatchObject({ ...kept, version: 1, state: "valid" });
    expect(made.body.batch.tiers[0]).toMatchObject({
      input_nano_per_million: usd(5),
      output_nano_per_million: usd(22.5),
    });
    expect((await put(card)).body.version).toBe(1);
    const planned = await put({ ...card, call_nano: "2000", valid_from: "2999-01-01" });
    expect(planned.body).toMatchObject({ version: 2, state: "planned", valid_from: "2999-01-01T00:00:00.000Z" });
    const states = async (query: string) =>
      (await at.request(`/api/prices${query}`)).body.data.map((one: schemas.CardResource) => [
        one.model,
        one.version,
        one.state,
      ]);
    expect(await states("")).toEqual([
      ["gpt-5.5", 2, "planned"],
      ["gpt-5.5", 1, "valid"],
      ["scripted", 1, "valid"],
    ]);
    await put({ ...card, call_nano: "3000" });
    expect(await states("?model=gpt-5.5")).toEqual([
      ["gpt-5.5", 3, "valid"],
      ["gpt-5.5", 2, "planned"],
      ["gpt-5.5", 1, "replaced"],
    ]);

    const asked = {
      model: "gpt-5.5",
      prompt_tokens: 300_000,
      cached_tokens: 250_000,
      output_tokens: 2_000,
      units: { search: 1 },
    };
    const explained = await at.request("/api/prices/explain", json(asked));
    expect(schemas.priceExplained.parse(explained.body)).toMatchObject({
      above_prompt_tokens: 272_000,
      lines: [
        { kind: "input", count: 50_000, nano_per_million: usd(10), millionths_nano: "500000000000000" },
        { kind: "cached", count: 250_000, nano_per_million: usd(1), millionths_nano: "250000000000000" },
        { kind: "output", count: 2_000, nano_per_million: usd(45), millionths_nano: "90000000000000" },
        { kind: "unit:search", count: 1, nano_per_million: usd(10_000), millionths_nano: "10000000000000" },
        { kind: "call", count: 1, nano_per_million: "3000000000", millionths_nano: "3000000000" },
      ],
      amount_nano: "850003000",
      // Nothing of the prompt cached: 3.00 USD in place of 0.75.
      held_nano: "3100003000",
    });
    expect((await at.request("/api/prices/explain", json({ ...asked, batch: true }))).body.amount_nano).toBe(
      "430003000",
    );
  });

  test("what cannot be set or explained says why", async () => {
    await using at = await testGateway();
    const sets: [object, string][] = [
      [{ currency: "CNY" }, "currency_mismatch"],
      [{ valid_from: "2026-02-01", valid_until: "2026-01-01" }, "invalid_request"],
      [{ call_nano: "-1" }, "invalid_request"],
      [{ units_nano: { Image: "1" } }, "invalid_request"],
      [{ tiers: [...card.tiers, ...card.tiers] }, "invalid_request"],
      [{ tiers: [{ above_prompt_tokens: 1, input_nano_per_million: "1" }] }, "invalid_request"],
      [{ batch: { discount_percent: 0 } }, "invalid_request"],
    ];
    for (const [more, code] of sets)
      expect(
        (await at.request("/api/prices", json({ ...card, ...more }, "PUT"))).body.error.code,
        JSON.stringify(more),
      ).toBe(code);
    await at.request("/api/prices", json({ ...card, batch: undefined }, "PUT"));
    const asks: [object, number, string][] = [
      [{ model: "unheard-of" }, 403, "model_unpriced"],
      [{ batch: true }, 400, "batch_unpriced"],
      [{ prompt_tokens: 1, cached_tokens: 2 }, 400, "invalid_value"],
      [{ output_tokens: 1, reasoning_tokens: 2 }, 400, "invalid_value"],
      [{ units: { image: 1 } }, 400, "invalid_value"],
    ];
    for (const [more, status, code] of asks) {
      const answer = await at.request("/api/prices/explain", json({ model: "gpt-5.5", ...more }));
      expect([answer.status, answer.body.error.code], JSON.stringify(more)).toEqual([status, code]);
    }
  });
});

describe("a model without a price", () => {
  test("is refused, or billed by the fallback as an estimate with an alarm that its own price ends", async () => {
    await using at = await testGateway();
    await using mine = await scriptedEngine({}, ["m"]);
    await at.request("/api/engines", json({ name: "mine", urls: [mine.url], model: "m" }));
    const call = () => at.client().chat.completions.create({ ...hello, model: "mine" });
    expect((await at.request("/api/prices/unknown")).body).toEqual({ rule: "refuse" });
    await expect(call()).rejects.toMatchObject({ code: "model_unpriced" });
    const fallback = { rule: "hold_at", fallback: "dearest" };
    expect((await at.request("/api/prices/unknown", json(fallback, "PUT"))).body.error.code).toBe("fallback_unpriced");
    await at.request("/api/prices", json({ ...card, model: "dearest" }, "PUT"));
    expect((await at.request("/api/prices/unknown", json(fallback, "PUT"))).body).toEqual(fallback);

    const alarmed = () => at.alarms.list(at.principal.organisation).filter(({ code }) => code === "price_unknown");
    expect(alarmed()).toEqual([]);
    const usage = (await call()).usage!;
    expect(alarmed()).toMatchObject([{ subject: "mine" }]);
    const [{ settled_nano: nano, rate_card: by, usage_source: source, model }] = await settled(at);
    expect([model, by, source]).toEqual(["mine", `${at.principal.organisation}/dearest/1`, "estimated"]);
    expect(nano).toBe(BigInt(usage.prompt_tokens * 5_000 + usage.completion_tokens * 30_000 + 1_000));
    const listed = (await at.request("/api/engines")).body.data.find(({ name }: { name: string }) => name === "mine");
    expect(listed.price.estimate).toBe(true);

    await at.request("/api/prices", json({ ...card, model: "mine", call_nano: "7" }, "PUT"));
    expect(alarmed()).toEqual([]);
    await call();
    expect((await settled(at))[0]).toMatchObject({
      rate_card: `${at.principal.organisation}/mine/1`,
      usage_source: "engine",
    });
  });
});

/** Settlements, newest first. */
async function settled(at: Awaited<ReturnType<typeof testGateway>>) {
  await at.gateway.flushed();
  const { rows } = await at.db.query<{ settled_nano: bigint; rate_card: string; usage_source: string; model: string }>(
    "select amount_nano as settled_nano, rate_card, usage_source, model from settlements order by created_at desc",
  );
  return rows as [(typeof rows)[number]];
}
