import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { tamper, testDatabase } from "../store/testing.ts";
import { Session, type Database } from "../store/index.ts";
import {
  createLedger,
  type Ledger,
  type NewRateCard,
  type HoldRequest,
  type RateCard,
  type RecordRows,
  type Scope,
  type TokenCounts,
} from "./index.ts";

const project: Scope = { kind: "project", id: "prj_1" };

/** 1, 0.1 and 2 nano a token. */
const rates = (inputNanoPerMillion = 1_000_000n): NewRateCard => ({
  organisation: "org_1",
  model: "small",
  currency: "USD",
  inputNanoPerMillion,
  cachedNanoPerMillion: 100_000n,
  outputNanoPerMillion: 2_000_000n,
});

interface Opened extends AsyncDisposable {
  ledger: Ledger;
  card: RateCard;
}

/** Rows of attempts and calls belong to another room. */
const noRows: RecordRows = { post: async () => {}, isRedone: () => false, ofCrash: () => ({ attempt: {}, call: {} }) };

/** The ledger of a process of its own. */
async function openLedger(db: Database): Promise<Opened> {
  await db.query(
    "insert into organisations (id, name, currency) values ('org_1', 'one', 'USD') on conflict do nothing",
  );
  const session = await Session.open({ url: db.url });
  const spools = mkdtempSync(join(tmpdir(), "ls-spools-"));
  const ledger = await createLedger({ db, session, spools, machine: "test", records: noRows });
  const card = await ledger.setRateCard(rates());
  return {
    ledger,
    card,
    async [Symbol.asyncDispose]() {
      await ledger.close();
      await session.close();
      rmSync(spools, { recursive: true, force: true });
    },
  };
}

/** A hold of so many tokens of prompt, at 1 nano each, and of output, at 2; whole, so that it is extended by nothing. */
const holdOf = (
  attempt: string,
  card: RateCard,
  [promptTokens, outputTokens]: [number, number],
  more: Partial<HoldRequest> = {},
): HoldRequest => ({
  attempt,
  call: `call_of_${attempt}`,
  organisation: "org_1",
  project: "prj_1",
  key: "key_1",
  agent: undefined,
  run: undefined,
  rateCard: card,
  promptTokens,
  outputTokens,
  whole: true,
  leastOutputTokens: outputTokens,
  context: undefined,
  signal: new AbortController().signal,
  ...more,
});

/** Settles by what an engine said. */
const settle = ({ ledger }: Opened, attempt: string, used: TokenCounts) =>
  ledger.settle({ attempt, tokens: used, usageSource: "engine", row: () => ({}) });

const posted = ({ ledger }: Opened) => ledger.posted(ledger.position());

/** Holds, settles and waits until it is posted. */
async function spend(
  opened: Opened,
  attempt: string,
  held: [number, number],
  used: TokenCounts,
  more: Partial<HoldRequest> = {},
) {
  const result = await opened.ledger.hold(holdOf(attempt, opened.card, held, more));
  if (!result.admitted) return undefined;
  const settled = settle(opened, attempt, used);
  await posted(opened);
  return settled;
}

const tokens = (promptTokens: number, cachedTokens = 0, outputTokens = 0) => ({
  promptTokens,
  cachedTokens,
  outputTokens,
});

const budget = (scope: Scope, limitNano: bigint, period: "total" | "month" | "day" = "total") => ({
  organisation: "org_1",
  scope,
  currency: "USD",
  limitNano,
  period,
});

describe("hold and settle", () => {
  test("a settlement charges what was used at the prices of the hold and posts both sides", async () => {
    await using db = await testDatabase();
    await using opened = await openLedger(db);
    const { ledger, card } = opened;
    await ledger.hold(holdOf("att_1", card, [2000, 1000]));
    await ledger.setRateCard({ ...card, organisation: "org_1", inputNanoPerMillion: 9_000_000n });
    // 600 at 1, 400 at 0.1 and 100 at 2 nano a token
    expect(settle(opened, "att_1", tokens(1000, 400, 100))).toEqual({
      attempt: "att_1",
      amountNano: 840n,
      suspenseNano: 0n,
      currency: "USD",
      repeated: false,
      tokens: tokens(1000, 400, 100),
      claimed: undefined,
      usageSource: "engine",
    });
    await posted(opened);
    const { rows } = await db.query("select id, balance_nano from accounts order by id");
    expect(rows).toEqual([
      { id: "org_1/provider_cost/small", balance_nano: -840n },
      { id: "org_1/token_cost/prj_1", balance_nano: 840n },
    ]);
    expect((await ledger.prove()).discrepancies).toEqual([]);
  });

  test("an attempt that holds nothing cannot settle", async () => {
    await using db = await testDatabase();
    await using opened = await openLedger(db);
    expect(() => settle(opened, "att_none", tokens(10))).toThrow(expect.objectContaining({ code: "hold_missing" }));
    await spend(opened, "att_1", [10, 0], tokens(10));
    expect(() => settle(opened, "att_1", tokens(10))).toThrow(expect.objectContaining({ code: "hold_missing" }));
  });

  test("an attempt that was never sent gives its hold back and leaves nothing behind", async () => {
    await using db = await testDatabase();
    await using opened = await openLedger(db);
    const { ledger, card } = opened;
    await ledger.setBudget(budget(project, 5000n));
    await ledger.hold(holdOf("att_1", card, [5000, 0]));
    ledger.settle({ attempt: "att_1", tokens: tokens(0), usageSource: "counted", row: () => undefined });
    expect(await spend(opened, "att_2", [5000, 0], tokens(10))).toMatchObject({ amountNano: 10n });
    expect(await ledger.listBudgets("org_1")).toMatchObject([{ spentNano: 10n }]);
    expect((await db.query("select attempt from settlements")).rows).toEqual([{ attempt: "att_2" }]);
    expect((await ledger.prove()).discrepancies).toEqual([]);
  });
});

describe("budgets", () => {
  test("parallel calls of two processes never pass a budget", async () => {
    await using db = await testDatabase();
    await using first = await openLedger(db);
    await using second = await openLedger(db);
    await first.ledger.setBudget(budget(project, 1000n));
    const spent = await Promise.all(
      Array.from({ length: 50 }, (_, index) =>
        spend(index % 2 ? first : second, `att_${index}`, [90, 0], tokens(70 + (index % 20))),
      ),
    );
    const total = spent.reduce((sum, settled) => sum + (settled?.amountNano ?? 0n), 0n);
    expect(total).toBeLessThanOrEqual(1000n);
    expect(spent.filter(Boolean).length).toBeGreaterThanOrEqual(11);
    expect(await first.ledger.listBudgets("org_1")).toMatchObject([{ spentNano: total }]);
    expect((await first.ledger.prove()).discrepancies).toEqual([]);
  });

  test("a call is counted against every scope, or against none when one refuses; the refusal names the budget", async () => {
    await using db = await testDatabase();
    await using opened = await openLedger(db);
    const { ledger, card } = opened;
    const key: Scope = { kind: "key", id: "key_1" };
    await ledger.setBudget(budget(project, 1000n));
    await ledger.setBudget(budget(key, 100n));
    const refused = await ledger.hold(holdOf("att_1", card, [500, 0]));
    expect(refused).toMatchObject({ admitted: false, why: "spent", refusedBy: { scope: key, limitNano: 100n } });
    const admitted = await ledger.hold(holdOf("att_2", card, [60, 0]));
    expect(admitted).toMatchObject({ admitted: true, tightest: { scope: key, leftNano: 40n } });
  });

  test("a budget pays up to the hold; what an engine claims beyond it is in suspense, in the bill and proved", async () => {
    await using db = await testDatabase();
    await using opened = await openLedger(db);
    const { ledger } = opened;
    await ledger.setBudget(budget(project, 100n));
    const settled = await spend(opened, "att_1", [50, 0], tokens(150));
    expect(settled).toMatchObject({ amountNano: 50n, suspenseNano: 100n, tokens: tokens(50), claimed: tokens(150) });
    expect(await ledger.listBudgets("org_1")).toMatchObject([{ spentNano: 50n }]);
    const { rows } = await db.query("select id, balance_nano from accounts order by id");
    expect(rows).toEqual([
      { id: "org_1/provider_cost/small", balance_nano: -150n },
      { id: "org_1/suspense/small", balance_nano: 100n },
      { id: "org_1/token_cost/prj_1", balance_nano: 50n },
    ]);
    const bill = await ledger.bill("org_1");
    expect(bill.total).toMatchObject({ tokenCostNano: 50n, promptTokens: 50 });
    expect(bill.suspense).toEqual([{ model: "small", attempts: 1, amountNano: 100n }]);
    expect((await ledger.prove()).discrepancies).toEqual([]);
  });

  test("no claim makes suspense overflow: it is bounded for each attempt", async () => {
    await using db = await testDatabase();
    await using opened = await openLedger(db);
    const lie = tokens(1e300, 0, 1e300);
    expect(await spend(opened, "att_1", [50, 0], lie)).toMatchObject({ amountNano: 50n, suspenseNano: 10n ** 14n });
    expect(await spend(opened, "att_2", [50, 0], tokens(10))).toMatchObject({ amountNano: 10n, suspenseNano: 0n });
    expect((await opened.ledger.prove()).discrepancies).toEqual([]);
  });

  test("a budget in another currency refuses: nothing can be compared, and money fails closed", async () => {
    await using db = await testDatabase();
    await using opened = await openLedger(db);
    const { ledger, card } = opened;
    await ledger.setBudget({ ...budget(project, 10n ** 12n), currency: "EUR" });
    expect(await ledger.hold(holdOf("att_1", card, [1, 0]))).toMatchObject({
      admitted: false,
      why: "currency",
      refusedBy: { currency: "EUR" },
    });
  });

  test("a new month's budget counts what the month has cost already; a total begins when it is set", async () => {
    await using db = await testDatabase();
    await using opened = await openLedger(db);
    const { ledger } = opened;
    await spend(opened, "att_1", [100, 0], tokens(70));
    expect((await ledger.setBudget(budget(project, 1000n, "month"))).spentNano).toBe(70n);
    expect((await ledger.setBudget(budget(project, 1000n, "total"))).spentNano).toBe(0n);
    expect((await ledger.prove()).discrepancies).toEqual([]);
  });

  test("a month that is over is forgotten at the next hold", async () => {
    await using db = await testDatabase();
    await using opened = await openLedger(db);
    const { ledger, card } = opened;
    await ledger.setBudget(budget(project, 100n, "month"));
    await tamper(db, "update budgets set spent_nano = 100, period_start = period_start - interval '1 month'");
    expect(await ledger.listBudgets("org_1")).toMatchObject([{ spentNano: 0n, leftNano: 100n }]);
    expect(await ledger.hold(holdOf("att_1", card, [100, 0]))).toMatchObject({ admitted: true });
  });

  test("a budget set while settlements run counts each of them once", async () => {
    await using db = await testDatabase();
    await using opened = await openLedger(db);
    const { ledger, card } = opened;
    const attempts = Array.from({ length: 30 }, (_, index) => `att_${index}`);
    await Promise.all(attempts.map((attempt) => ledger.hold(holdOf(attempt, card, [10, 0]))));
    const setting = ledger.setBudget(budget(project, 10_000n, "month"));
    for (const attempt of attempts) settle(opened, attempt, tokens(7));
    await Promise.all([posted(opened), setting]);
    expect(await ledger.listBudgets("org_1")).toMatchObject([{ spentNano: 210n }]);
    expect((await ledger.prove()).discrepancies).toEqual([]);
  });
});

describe("outcomes and the bill", () => {
  const outcome = (run: string, verdict: "passed" | "failed") => ({
    organisation: "org_1",
    project: "prj_1",
    run,
    agent: "agt_1",
    contract: "inspection",
    verifier: "physics@1",
    verdict,
    reason: "because",
    evidenceRef: "sha256:0",
    attested: false,
    priceNano: 1_000_000n,
    currency: "USD",
  });

  test("a passed outcome earns its price once; a failed one nothing, and its tokens still cost", async () => {
    await using db = await testDatabase();
    await using opened = await openLedger(db);
    const { ledger } = opened;
    for (const run of ["run_1", "run_2"])
      await spend(opened, `att_${run}`, [500, 250], tokens(200, 0, 50), { agent: "agt_1", run });
    expect(await ledger.recordOutcome(outcome("run_1", "passed"))).toMatchObject({
      repeated: false,
      priceNano: 1_000_000n,
    });
    expect(await ledger.recordOutcome(outcome("run_1", "failed"))).toMatchObject({ repeated: true, verdict: "passed" });
    expect(await ledger.recordOutcome(outcome("run_2", "failed"))).toMatchObject({ priceNano: 0n });
    const bill = await ledger.bill("org_1");
    expect(bill.lines).toHaveLength(1);
    expect(bill.total).toMatchObject({
      runs: 2,
      calls: 2,
      promptTokens: 400,
      outputTokens: 100,
      revenueNano: 1_000_000n,
      tokenCostNano: 600n,
      marginNano: 999_400n,
      outcomesPassed: 1,
      outcomesFailed: 1,
      outcomesAttested: 0,
      passRate: 0.5,
      costPerVerifiedOutcomeNano: 600n,
      verifiedOutcomesPerMillionTokens: 2000,
    });
    expect((await ledger.prove()).discrepancies).toEqual([]);
  });

  test("the cost of a verified outcome is that of the agents whose work is judged, not of chats and other agents", async () => {
    await using db = await testDatabase();
    await using opened = await openLedger(db);
    const { ledger } = opened;
    const used = tokens(200, 0, 50);
    for (const run of ["run_1", "run_2"]) await spend(opened, `att_${run}`, [500, 250], used, { agent: "agt_1", run });
    await spend(opened, "att_other", [500, 250], used, { agent: "agt_2", run: "run_3" });
    for (const chat of ["att_chat_1", "att_chat_2"]) await spend(opened, chat, [500, 250], used);
    await ledger.recordOutcome(outcome("run_1", "passed"));
    await ledger.recordOutcome(outcome("run_2", "failed"));
    const { lines, total } = await ledger.bill("org_1");
    expect(lines.find(({ agent }) => agent === "agt_1")).toMatchObject({
      costPerVerifiedOutcomeNano: 600n,
      verifiedOutcomesPerMillionTokens: 2000,
    });
    expect(total).toMatchObject({
      tokenCostNano: 1500n,
      costPerVerifiedOutcomeNano: 600n,
      verifiedOutcomesPerMillionTokens: 2000,
    });
  });

  test("a bill of a period holds what happened in it, its end excluded", async () => {
    await using db = await testDatabase();
    await using opened = await openLedger(db);
    const { ledger } = opened;
    await spend(opened, "att_1", [100, 0], tokens(10));
    await tamper(db, "update settlements set counted_at = '2026-03-01T00:00:00Z'");
    await tamper(db, "update usage_days set day = '2026-03-01'");
    const march = { from: new Date("2026-03-01T00:00:00Z"), to: new Date("2026-04-01T00:00:00Z") };
    const february = { from: new Date("2026-02-01T00:00:00Z"), to: new Date("2026-03-01T00:00:00Z") };
    expect((await ledger.bill("org_1", march)).total.tokenCostNano).toBe(10n);
    expect((await ledger.bill("org_1", february)).total.tokenCostNano).toBe(0n);
  });
});

test("the proof finds what does not agree", async () => {
  await using db = await testDatabase();
  await using opened = await openLedger(db);
  const { ledger } = opened;
  await ledger.setBudget(budget(project, 1000n));
  await spend(opened, "att_1", [100, 0], tokens(10));
  await tamper(db, "update accounts set balance_nano = balance_nano + 1 where kind = 'token_cost'");
  await tamper(db, "update budgets set spent_nano = 3");
  const { discrepancies } = await ledger.prove();
  expect(discrepancies.map((found) => [found.expected, found.found])).toEqual([
    [10n, 11n],
    [10n, 3n],
  ]);
});

test("16 writers settling over many accounts and budgets never deadlock", async () => {
  await using db = await testDatabase();
  const scopes: Scope[] = Array.from({ length: 6 }, (_, index) => ({ kind: "agent", id: `agt_${index}` }));
  const ledgers = await Promise.all([1, 2, 3, 4].map(() => openLedger(db)));
  for (const scope of scopes) await ledgers[0]!.ledger.setBudget(budget(scope, 10n ** 9n));
  const work = Array.from({ length: 160 }, (_, index) =>
    spend(ledgers[index % 4]!, `att_${index}`, [100, 0], tokens(50), {
      agent: scopes[index % 6]!.id,
      project: `prj_${index % 3}`,
      run: `run_of_${index % 6}_${index % 3}`,
    }),
  );
  await Promise.all(work);
  expect((await ledgers[0]!.ledger.prove()).discrepancies).toEqual([]);
  expect((await ledgers[0]!.ledger.bill("org_1")).total.tokenCostNano).toBe(8000n);
  for (const opened of ledgers) await opened[Symbol.asyncDispose]();
});
