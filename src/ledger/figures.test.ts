import { expect, test } from "vitest";
import { tamper, testDatabase } from "../store/testing.ts";
import { costFigures } from "./figures.ts";
import { Rates } from "./rates.ts";

test("what caches have saved is counted by the tier of each call's prompt", async () => {
  await using db = await testDatabase();
  await db.query("insert into organisations (id, name, currency) values ('org_1', 'one', 'USD')");
  const rates = new Rates(db, () => new Date());
  const prices = { inputNanoPerMillion: 5_000_000n, cachedNanoPerMillion: 1_000_000n, outputNanoPerMillion: 0n };
  const dearer = { inputNanoPerMillion: 10_000_000n, cachedNanoPerMillion: 2_000_000n, outputNanoPerMillion: 0n };
  const card = { organisation: "org_1", currency: "USD", ...prices };
  const flat = await rates.set({ ...card, model: "flat" });
  const tiered = await rates.set({ ...card, model: "tiered", tiers: [{ abovePromptTokens: 100, ...dearer }] });
  const settle = (attempt: string, by: string, promptTokens: number, cachedTokens: number) =>
    tamper(
      db,
      `insert into settlements (attempt, organisation, call, project, model, rate_card, currency, held_nano, amount_nano, prompt_tokens,
         cached_tokens, output_tokens, usage_source, counted_at, created_at)
       values ($1, 'org_1', 'c', 'p', 'm', $2, 'USD', 9, 9, $3, $4, 0, 'engine', now(), now())`,
      [attempt, by, promptTokens, cachedTokens],
    );
  await settle("a", flat.id, 1_000, 10);
  await settle("b", tiered.id, 100, 10);
  await settle("c", tiered.id, 101, 10);
  const range = { from: new Date(0), to: new Date(Date.now() + 1_000_000) };
  // 4 nano a token at base prices, 8 above 100 tokens.
  expect((await costFigures(db, { organisation: "org_1", project: null, ...range })).savedNano).toBe(40n + 40n + 80n);
});
