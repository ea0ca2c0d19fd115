// Figures of money for the overview: the same sums as the bill's, and as the settlements' one by one, wherever a range begins and ends.
import { expect, onTestFinished, test } from "vitest";
import { asOwner, tamper, testDatabase } from "../store/testing.ts";
import { readBill } from "./bill.ts";
import { costFigures } from "./figures.ts";
import { Rates } from "./rates.ts";

interface Settled {
  attempt: string;
  card: string;
  at?: string;
  project?: string;
  prompt?: number;
  cached?: number;
  amount?: number;
  suspense?: number;
}

async function setting() {
  const db = await testDatabase();
  const owner = asOwner(db);
  onTestFinished(async () => {
    await owner.close();
    await db[Symbol.asyncDispose]();
  });
  await db.query("insert into organisations (id, name, currency) values ('org_1', 'one', 'USD')");
  const rates = new Rates(db, () => new Date());
  const prices = { inputNanoPerMillion: 5_000_000n, cachedNanoPerMillion: 1_000_000n, outputNanoPerMillion: 0n };
  const dearer = { inputNanoPerMillion: 10_000_000n, cachedNanoPerMillion: 2_000_000n, outputNanoPerMillion: 0n };
  const card = { organisation: "org_1", currency: "USD", ...prices };
  const flat = (await rates.set({ ...card, model: "flat" })).id;
  const tiered = (await rates.set({ ...card, model: "tiered", tiers: [{ abovePromptTokens: 100, ...dearer }] })).id;
  /** Makes settlements, and counts them in the rollup as a posting does. */
  const settle = async (all: Settled[]) => {
    for (const { attempt, card, at, project = "p", prompt = 0, cached = 0, amount = 9, suspense = 0 } of all)
      await tamper(
        db,
        `insert into settlements (attempt, organisation, call, project, model, rate_card, currency, held_nano, amount_nano, prompt_tokens,
           cached_tokens, output_tokens, usage_source, suspense_nano, counted_at, created_at)
         values ($1, 'org_1', 'call ' || $1, $2, 'm', $3, 'USD', 9, $4, $5, $6, 0, 'engine', $7, coalesce($8::timestamptz, now()), now())`,
        [attempt, project, card, amount, prompt, cached, suspense, at],
      );
    await owner.query("select count_usage($1)", [all.map(({ attempt }) => attempt)]);
  };
  return { db, flat, tiered, settle };
}

test("what caches have saved is counted by the tier of each call's prompt", async () => {
  const { db, flat, tiered, settle } = await setting();
  await settle([
    { attempt: "a", card: flat, prompt: 1_000, cached: 10 },
    { attempt: "b", card: tiered, prompt: 100, cached: 10 },
    { attempt: "c", card: tiered, prompt: 101, cached: 10 },
  ]);
  const range = { from: new Date(0), to: new Date(Date.now() + 1_000_000) };
  // 4 nano a token at base prices, 8 above 100 tokens.
  expect((await costFigures(db, { organisation: "org_1", project: null, ...range })).savedNano).toBe(40n + 40n + 80n);
});

test("a range's figures are the bill's and the settlements', at midnights, inside days and over many of them", async () => {
  const { db, flat, tiered, settle } = await setting();
  const moments = [
    "2026-03-01T00:00:00Z",
    "2026-03-01T23:59:59.999Z",
    "2026-03-02T00:00:00Z",
    "2026-03-02T12:00:00Z",
    "2026-03-03T12:00:00Z",
    "2026-03-05T00:00:00Z",
  ];
  const all = moments.flatMap((at, place): Settled[] =>
    ["p", "q"].map((project, other) => ({
      attempt: `${place}${project}`,
      card: other === 0 ? flat : tiered,
      at,
      project,
      prompt: 90 + 10 * place,
      cached: 7 * place + other,
      amount: 10 ** place + other,
      suspense: place % 2 === 0 ? place : 0,
    })),
  );
  // Two postings, as a poster makes them.
  await settle(all.slice(0, 7));
  await settle(all.slice(7));
  const ends = [...moments, "2026-02-28T06:00:00Z", "2026-03-02T06:00:00Z", "2026-03-09T00:00:00Z"].map(Date.parse);
  for (const from of ends)
    for (const to of ends.filter((end) => end >= from)) {
      const range = { from: new Date(from), to: new Date(to) };
      for (const project of [null, "q"]) {
        const found = await costFigures(db, { organisation: "org_1", project, ...range });
        const { rows } = await db.query<Record<"cost" | "suspense" | "saved", bigint>>(
          `select coalesce(sum(amount_nano), 0) as cost, coalesce(sum(suspense_nano), 0) as suspense,
             (coalesce(sum(cache_saving(s.cached_tokens, s.prompt_tokens, r)), 0) / 1000000)::bigint as saved
           from settlements s join rate_cards r on r.id = s.rate_card
           where counted_at >= $1 and counted_at < $2 and ($3::text is null or project = $3)`,
          [range.from, range.to, project],
        );
        const { cost, suspense, saved } = rows[0]!;
        expect(found).toEqual({ costNano: cost, suspenseNano: suspense, savedNano: saved });
        if (from === to) continue;
        const bill = await readBill(db, "org_1", { ...range, ...(project !== null && { project }) });
        expect(found.costNano).toBe(bill.total.tokenCostNano);
        expect(found.suspenseNano).toBe(bill.suspense.reduce((sum, { amountNano }) => sum + amountNano, 0n));
      }
    }
});

test("a month's figures are read from days, without its settlements", async () => {
  const { db, flat, settle } = await setting();
  await settle([{ attempt: "a", card: flat, at: "2026-03-02T12:00:00Z", cached: 1_000, amount: 5 }]);
  await tamper(db, "delete from settlements");
  const range = { from: new Date("2026-03-01T06:00:00Z"), to: new Date("2026-03-31T06:00:00Z") };
  const figures = await costFigures(db, { organisation: "org_1", project: null, ...range });
  expect(figures).toEqual({ costNano: 5n, suspenseNano: 0n, savedNano: 4_000n });
});
