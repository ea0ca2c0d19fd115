// Cards over time and over writers, in a real Postgres: which card prices a call, and what is done where none does.
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { StoreUnavailableError, type Database } from "../store/index.ts";
import { testDatabase } from "../store/testing.ts";
import { Rates, type NewRateCard } from "./rates.ts";

let db: Database & AsyncDisposable;
beforeAll(async () => {
  db = await testDatabase();
  await db.query(
    "insert into organisations (id, name, currency) values ('org_1', 'one', 'USD'), ('org_2', 'two', 'USD')",
  );
});
afterAll(() => db[Symbol.asyncDispose]());

const card = (model: string, inputNanoPerMillion: bigint, more: Partial<NewRateCard> = {}): NewRateCard => ({
  organisation: "org_1",
  model,
  currency: "USD",
  inputNanoPerMillion,
  cachedNanoPerMillion: 100_000n,
  outputNanoPerMillion: 2_000_000n,
  ...more,
});

/** Rates whose own clock stands at `nowMs`; validity is by the database's. */
function opened(clock = { nowMs: 0 }): Rates {
  return new Rates(db, () => new Date(clock.nowMs));
}
const inMs = (ms: number) => new Date(Date.now() + ms);
const hour = 3_600_000;
const input = async (rates: Rates, model: string) => (await rates.current("org_1", model))?.inputNanoPerMillion;

describe("versions", () => {
  test("writers that set prices at once: the same prices are one version, different ones a version each", async () => {
    const rates = opened();
    expect((await rates.set(card("many", 1n))).version).toBe(1);
    const [same, again] = await Promise.all([rates.set(card("many", 5n)), rates.set(card("many", 5n))]);
    expect(new Set([same.version, again.version]).has(2)).toBe(true);
    expect((await rates.set(card("many", 5n))).version).toBeLessThanOrEqual(3);
    const newest = Math.max(same.version, again.version);
    const set = await Promise.all([6n, 7n, 8n, 9n].map((price) => rates.set(card("many", price))));
    expect(set.map((added) => added.version).toSorted()).toEqual([1, 2, 3, 4].map((more) => newest + more));
  });

  test("a price that another gateway set is used here five seconds later", async () => {
    const clock = { nowMs: 0 };
    const [here, there] = [opened(clock), opened()];
    await there.set(card("shared", 1n));
    expect(await input(here, "shared")).toBe(1n);
    await there.set(card("shared", 5n));
    expect(await input(here, "shared")).toBe(1n);
    clock.nowMs = 5_000;
    expect(await input(here, "shared")).toBe(5n);
    // At once where this process was told.
    await there.set(card("shared", 7n));
    here.changed();
    expect(await input(here, "shared")).toBe(7n);
  });

  test("a card comes back from Postgres as it was set, and a part of it that differs is a version", async () => {
    const rates = opened();
    const whole = card("whole", 1n, {
      cacheWriteNanoPerMillion: 2n,
      cacheWriteLongNanoPerMillion: 3n,
      reasoningNanoPerMillion: 4n,
      tiers: [
        { abovePromptTokens: 200_000, inputNanoPerMillion: 5n, cachedNanoPerMillion: 6n, outputNanoPerMillion: 7n },
      ],
      callNano: 8n,
      unitsNano: { image: 9n },
      batch: { inputNanoPerMillion: 10n, cachedNanoPerMillion: 11n, outputNanoPerMillion: 12n },
    });
    const { organisation: _organisation, ...prices } = whole;
    expect(await rates.set(whole)).toMatchObject({ ...prices, version: 1 });
    expect(await opened().current("org_1", "whole")).toMatchObject(prices);
    expect((await rates.set({ ...whole, unitsNano: { image: 9n } })).version).toBe(1);
    expect((await rates.set({ ...whole, unitsNano: { image: 10n } })).version).toBe(2);
    expect((await rates.set({ ...whole, batch: undefined! })).version).toBe(3);
  });
});

describe("validity", () => {
  test("a card that is set ahead prices no call before its moment, and every call from it on", async () => {
    const rates = opened();
    await rates.set(card("ahead", 1n));
    await rates.set(card("ahead", 2n, { validFrom: inMs(hour) }));
    expect(await input(rates, "ahead")).toBe(1n);
    // A correction of today's price leaves the planned one in its place.
    await rates.set(card("ahead", 3n));
    expect(await input(rates, "ahead")).toBe(3n);
    expect((await rates.list("org_1", "ahead")).map(({ card: of, state }) => [of.version, state])).toEqual([
      [3, "valid"],
      [2, "planned"],
      [1, "replaced"],
    ]);
  });

  test("a card is believed no longer than until the moment when another becomes valid", async () => {
    let queries = 0;
    const clock = { nowMs: 0 };
    const counting = { query: (...of: Parameters<Database["query"]>) => (queries++, db.query(...of)) } as Database;
    const rates = new Rates(counting, () => new Date(clock.nowMs));
    let model = "";
    // Where the machine stands still, the second card is valid before the first one is read. It is tried again with another model.
    for (let price: bigint | undefined; price !== 1n;) {
      model += "soon";
      await opened().set(card(model, 1n));
      await opened().set(card(model, 2n, { validFrom: inMs(4_000) }));
      queries = 0;
      price = await input(rates, model);
    }
    await rates.current("org_1", model);
    expect(queries).toBe(1);
    // A card that nothing follows is believed for 5 s.
    clock.nowMs = 4_000;
    await rates.current("org_1", model);
    expect(queries).toBe(2);
  });

  test("while a card for a time is valid it prices calls, and the card before it does once it has ended", async () => {
    const rates = opened();
    for (const model of ["promoted", "promoted-before"])
      await rates.set(card(model, 10n, { validFrom: inMs(-3 * hour) }));
    await rates.set(card("promoted", 1n, { validFrom: inMs(-hour), validUntil: inMs(hour) }));
    await rates.set(card("promoted-before", 1n, { validFrom: inMs(-2 * hour), validUntil: inMs(-hour) }));
    expect(await input(rates, "promoted")).toBe(1n);
    expect(await input(rates, "promoted-before")).toBe(10n);
  });

  test("a gap is no price, never a price of zero", async () => {
    const rates = opened();
    await rates.set(card("gap", 1n, { validFrom: inMs(-2 * hour), validUntil: inMs(-hour) }));
    await rates.set(card("gap", 2n, { validFrom: inMs(hour) }));
    expect(await rates.current("org_1", "gap")).toBeUndefined();
    expect((await rates.list("org_1", "gap")).map(({ state }) => state)).toEqual(["planned", "ended"]);
    // What fills it is valid at once.
    await rates.ensure(card("gap", 3n));
    expect(await input(rates, "gap")).toBe(3n);
  });

  test("cards of before there was a validity have been valid since ever", async () => {
    await db.query(
      `insert into rate_cards (id, organisation, model, version, currency, input_nano_per_million, cached_nano_per_million,
         output_nano_per_million, valid_from)
       values ('org_1/old/1', 'org_1', 'old', 1, 'USD', 1, 1, 1, '-infinity'), ('org_1/old/2', 'org_1', 'old', 2, 'USD', 2, 2, 2, '-infinity')`,
    );
    const current = await opened().current("org_1", "old");
    expect(current).toMatchObject({ version: 2, inputNanoPerMillion: 2n });
    expect(current?.validFrom).toBeUndefined();
  });
});

describe("with the database away", () => {
  test("a card that was read goes on pricing calls for ten minutes, and not beyond its validity", async () => {
    let away = false;
    const clock = { nowMs: 0 };
    const failing = {
      query: async (...of: Parameters<Database["query"]>) => {
        if (away) throw new StoreUnavailableError("away", { sent: false });
        return db.query(...of);
      },
    } as Database;
    const rates = new Rates(failing, () => new Date(clock.nowMs));
    await opened().set(card("offline", 1n));
    await opened().set(card("until", 1n, { validUntil: inMs(hour / 10) }));
    for (const model of ["offline", "until"]) await rates.current("org_1", model);
    away = true;
    clock.nowMs = hour / 10 - 30_000;
    expect(await input(rates, "offline")).toBe(1n);
    expect(await input(rates, "until")).toBe(1n);
    await expect(rates.current("org_1", "never-read")).rejects.toBeInstanceOf(StoreUnavailableError);
    clock.nowMs = hour / 10;
    expect(await input(rates, "offline")).toBe(1n);
    await expect(rates.current("org_1", "until")).rejects.toBeInstanceOf(StoreUnavailableError);
    clock.nowMs = 600_000;
    await expect(rates.current("org_1", "offline")).rejects.toBeInstanceOf(StoreUnavailableError);
  });
});

describe("an unknown price", () => {
  test("refuses by default, or is held at the fallback's card as an estimate", async () => {
    const rates = opened();
    expect(await rates.unknownPrice("org_1")).toEqual({ rule: "refuse" });
    expect(await rates.current("org_1", "unheard-of")).toBeUndefined();
    await expect(rates.setUnknownPrice("org_1", { rule: "hold_at", fallback: "dearest" })).rejects.toMatchObject({
      code: "fallback_unpriced",
    });
    const dearest = await rates.set(card("dearest", 77n));
    await rates.setUnknownPrice("org_1", { rule: "hold_at", fallback: "dearest" });
    expect(await rates.current("org_1", "unheard-of")).toEqual({ ...dearest, model: "unheard-of", estimate: true });
    // A price of its own ends the estimate at once.
    await rates.set(card("unheard-of", 5n));
    expect(await input(rates, "unheard-of")).toBe(5n);
    expect((await rates.current("org_1", "unheard-of"))?.estimate).toBeUndefined();
    // It is a rule of one organisation.
    expect(await rates.current("org_2", "unheard-of")).toBeUndefined();
    await rates.current("org_1", "another");
    await rates.setUnknownPrice("org_1", { rule: "refuse" });
    expect(await rates.current("org_1", "another")).toBeUndefined();
  });

  test("a model of which only the fallback is known is not priced for good", async () => {
    const rates = opened();
    await rates.set(card("dearest", 77n));
    await rates.setUnknownPrice("org_1", { rule: "hold_at", fallback: "dearest" });
    await rates.ensure(card("ensured", 4n));
    expect(await input(rates, "ensured")).toBe(4n);
  });
});
