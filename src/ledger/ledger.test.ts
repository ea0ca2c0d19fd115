import { describe, expect, test } from "vitest";
import { tamper, testDatabase } from "../store/testing.ts";
import { Session, type Database } from "../store/index.ts";
import { createLedger, type HoldRequest, type Ledger, type NewRateCard, type RateCard, type Scope } from "./index.ts";

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
  /** Ends the process: its lock is free at once, and its holds stay. */
  session: Session;
}

/** The ledger of a process of its own, which has this identity. */
async function openLedger(db: Database, processId?: number): Promise<Opened> {
  await db.query(
    "insert into organisations (id, name, currency) values ('org_1', 'one', 'USD') on conflict do nothing",
  );
  const session = await Session.open({ url: db.url, ...(processId !== undefined && { processId }) });
  const ledger = await createLedger({ db, session });
  const card = await ledger.setRateCard(rates());
  return {
    ledger,
    card,
    session,
    async [Symbol.asyncDispose]() {
      ledger.close();
      await session.close();
    },
  };
}

const holdOf = (attempt: string, amountNano: bigint, card: RateCard, scopes: Scope[] = [project]): HoldRequest => ({
  attempt,
  call: `call_of_${attempt}`,
  organisation: "org_1",
  project: "prj_1",
  scopes,
  amountNano,
  rateCard: card,
  most: { promptTokens: 10_000, outputTokens: 10_000 },
});

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
    await ledger.hold(holdOf("att_1", 5000n, card));
    await ledger.setRateCard({ ...card, organisation: "org_1", inputNanoPerMillion: 9_000_000n });
    const settlement = await ledger.settle({ attempt: "att_1", tokens: tokens(1000, 400, 100), usageSource: "engine" });
    // 600 at 1, 400 at 0.1 and 100 at 2 nano a token
    expect(settlement).toEqual({
      attempt: "att_1",
      amountNano: 840n,
      suspenseNano: 0n,
      currency: "USD",
      repeated: false,
      tokens: tokens(1000, 400, 100),
      claimed: undefined,
      usageSource: "engine",
    });
    const { rows } = await db.query("select id, balance_nano from accounts order by id");
    expect(rows).toEqual([
      { id: "org_1/provider_cost/small", balance_nano: -840n },
      { id: "org_1/token_cost/prj_1", balance_nano: 840n },
    ]);
    expect((await ledger.prove()).discrepancies).toEqual([]);
  });

  test("settling again changes nothing and answers the first settlement, in one batch too", async () => {
    await using db = await testDatabase();
    await using opened = await openLedger(db);
    const { ledger, card } = opened;
    await ledger.hold(holdOf("att_1", 5000n, card));
    const again = (count: number) => ledger.settle({ attempt: "att_1", tokens: tokens(count), usageSource: "engine" });
    const [first, second] = await Promise.all([again(100), again(200)]);
    const third = await again(300);
    expect([first, second, third].map((s) => [s?.amountNano, s?.repeated])).toEqual([
      [100n, false],
      [100n, true],
      [100n, true],
    ]);
    expect((await ledger.prove()).discrepancies).toEqual([]);
  });

  test("an attempt that never held cannot settle, and does not harm its neighbours", async () => {
    await using db = await testDatabase();
    await using opened = await openLedger(db);
    const { ledger, card } = opened;
    await ledger.hold(holdOf("att_1", 5000n, card));
    const results = await Promise.allSettled(
      ["att_none", "att_1"].map((attempt) => ledger.settle({ attempt, tokens: tokens(10), usageSource: "engine" })),
    );
    expect(results.map((result) => result.status)).toEqual(["rejected", "fulfilled"]);
  });

  test("an attempt id that was used is refused, and does not harm its neighbours", async () => {
    await using db = await testDatabase();
    await using opened = await openLedger(db);
    const { ledger, card } = opened;
    await ledger.hold(holdOf("att_1", 1n, card));
    const results = await Promise.allSettled([
      ledger.hold(holdOf("att_1", 1n, card)),
      ledger.hold(holdOf("att_2", 1n, card)),
    ]);
    expect(results.map((result) => result.status)).toEqual(["rejected", "fulfilled"]);
  });

  test("void releases the hold and costs nothing", async () => {
    await using db = await testDatabase();
    await using opened = await openLedger(db);
    const { ledger, card } = opened;
    await ledger.setBudget(budget(project, 5000n));
    await ledger.hold(holdOf("att_1", 5000n, card));
    expect((await ledger.void("att_1")).amountNano).toBe(0n);
    expect(await ledger.listBudgets("org_1")).toMatchObject([{ spentNano: 0n, heldNano: 0n, leftNano: 5000n }]);
    expect((await ledger.prove()).discrepancies).toEqual([]);
  });
});

describe("budgets", () => {
  test("50 parallel calls never pass a budget, whatever is held or settled in between", async () => {
    await using db = await testDatabase();
    await using first = await openLedger(db);
    await using second = await openLedger(db);
    await first.ledger.setBudget(budget(project, 1000n));
    let highest = 0n;
    const attempts = Array.from({ length: 50 }, async (_, index) => {
      const { ledger, card } = index % 2 ? first : second;
      const result = await ledger.hold(holdOf(`att_${index}`, 90n, card));
      const [now] = await ledger.listBudgets("org_1");
      if (now!.spentNano + now!.heldNano > highest) highest = now!.spentNano + now!.heldNano;
      if (result.admitted)
        await ledger.settle({ attempt: `att_${index}`, tokens: tokens(70 + (index % 20)), usageSource: "engine" });
      return result.admitted;
    });
    const admitted = (await Promise.all(attempts)).filter(Boolean).length;
    expect(highest).toBeLessThanOrEqual(1000n);
    expect(admitted).toBeGreaterThanOrEqual(11);
    expect((await first.ledger.prove()).discrepancies).toEqual([]);
  });

  test("a call is counted against every scope, or against none when one refuses; the refusal names the budget", async () => {
    await using db = await testDatabase();
    await using opened = await openLedger(db);
    const { ledger, card } = opened;
    const key: Scope = { kind: "key", id: "key_1" };
    await ledger.setBudget(budget(project, 1000n));
    await ledger.setBudget(budget(key, 100n));
    const refused = await ledger.hold(holdOf("att_1", 500n, card, [project, key]));
    expect(refused).toMatchObject({ admitted: false, refusedBy: { scope: key, limitNano: 100n, leftNano: 100n } });
    const admitted = await ledger.hold(holdOf("att_2", 60n, card, [project, key]));
    expect(admitted).toMatchObject({ admitted: true, tightest: { scope: key, leftNano: 40n } });
    expect(await ledger.listBudgets("org_1")).toMatchObject([{ heldNano: 60n }, { heldNano: 60n }]);
  });

  test("a budget pays up to the hold; what an engine claims beyond it is in suspense, in the bill and proved", async () => {
    await using db = await testDatabase();
    await using opened = await openLedger(db);
    const { ledger, card } = opened;
    await ledger.setBudget(budget(project, 100n));
    await ledger.hold({ ...holdOf("att_1", 50n, card), most: { promptTokens: 50, outputTokens: 0 } });
    const settled = await ledger.settle({ attempt: "att_1", tokens: tokens(150), usageSource: "engine" });
    expect(settled).toMatchObject({ amountNano: 50n, suspenseNano: 100n, tokens: tokens(50), claimed: tokens(150) });
    expect(await ledger.listBudgets("org_1")).toMatchObject([{ spentNano: 50n, heldNano: 0n, leftNano: 50n }]);
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

  test("no claim makes suspense overflow: it is bounded per attempt and in all, and settling goes on", async () => {
    await using db = await testDatabase();
    await using opened = await openLedger(db);
    const { ledger, card } = opened;
    const lie = async (attempt: string) => {
      await ledger.hold({ ...holdOf(attempt, 50n, card), most: { promptTokens: 50, outputTokens: 0 } });
      return ledger.settle({ attempt, tokens: tokens(1e300, 0, 1e300), usageSource: "engine" });
    };
    expect(await lie("att_1")).toMatchObject({ amountNano: 50n, suspenseNano: 10n ** 14n });
    // As after ten thousand such lies.
    await db.query(`insert into journals (id, organisation, kind) values ('suspense:earlier', 'org_1', 'suspense')`);
    const lines = (["suspense", "provider_cost"] as const).map((kind, index) => ({
      journal: "suspense:earlier",
      account: `org_1/${kind}/small`,
      organisation: "org_1",
      kind,
      subject: "small",
      currency: "USD",
      amount: String(index === 0 ? 10n ** 18n : -(10n ** 18n)),
    }));
    await db.query("select post_entries($1)", [JSON.stringify(lines)]);
    await tamper(
      db,
      `insert into suspense (id, organisation, kind, subject, attempt, amount_nano, currency, reason, created_at)
       values ('unanswered:earlier', 'org_1', 'unanswered', 'small', 'earlier', 10^18, 'USD', 'Earlier.', now())`,
    );
    expect(await lie("att_2")).toMatchObject({ amountNano: 50n, suspenseNano: 0n });
    await ledger.hold(holdOf("att_3", 50n, card));
    expect(await ledger.settle({ attempt: "att_3", tokens: tokens(10), usageSource: "engine" })).toMatchObject({
      amountNano: 10n,
      suspenseNano: 0n,
    });
    expect((await ledger.prove()).discrepancies).toMatchObject([{ rule: "suspense_item", id: "earlier" }]);
  });

  test("a budget in another currency refuses: nothing can be compared, and money fails closed", async () => {
    await using db = await testDatabase();
    await using opened = await openLedger(db);
    const { ledger, card } = opened;
    await ledger.setBudget({ ...budget(project, 10n ** 12n), currency: "EUR" });
    expect(await ledger.hold(holdOf("att_1", 1n, card))).toMatchObject({
      admitted: false,
      refusedBy: { currency: "EUR" },
    });
  });

  test("a new month's budget counts what the month has cost already; a total begins when it is set", async () => {
    await using db = await testDatabase();
    await using opened = await openLedger(db);
    const { ledger, card } = opened;
    await ledger.hold(holdOf("att_1", 100n, card));
    await ledger.settle({ attempt: "att_1", tokens: tokens(70), usageSource: "engine" });
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
    expect(await ledger.hold(holdOf("att_1", 100n, card))).toMatchObject({ admitted: true });
  });

  test("a budget set while settlements run counts each of them once", async () => {
    await using db = await testDatabase();
    await using opened = await openLedger(db);
    const { ledger, card } = opened;
    const attempts = Array.from({ length: 30 }, (_, index) => `att_${index}`);
    await Promise.all(attempts.map((attempt) => ledger.hold(holdOf(attempt, 10n, card))));
    const settle = (attempt: string) => ledger.settle({ attempt, tokens: tokens(7), usageSource: "engine" });
    await Promise.all([...attempts.map(settle), ledger.setBudget(budget(project, 10_000n, "month"))]);
    expect(await ledger.listBudgets("org_1")).toMatchObject([{ spentNano: 210n }]);
    expect((await ledger.prove()).discrepancies).toEqual([]);
  });
});

describe("processes that are gone", () => {
  test("their holds are settled in full, those of the living are left alone", async () => {
    await using db = await testDatabase();
    await using living = await openLedger(db);
    const dead = await openLedger(db);
    await living.ledger.setBudget(budget(project, 1000n));
    await living.ledger.hold(holdOf("att_living", 100n, living.card));
    await dead.ledger.hold(holdOf("att_dead", 200n, dead.card));
    expect(await living.ledger.sweep()).toBe(0);
    await dead.session.close();
    // Its lock is free for the first time: it may be about to take it again.
    expect(await living.ledger.sweep()).toBe(0);
    expect(await living.ledger.sweep()).toBe(1);
    expect(await living.ledger.sweep()).toBe(0);
    expect(await living.ledger.listBudgets("org_1")).toMatchObject([{ spentNano: 200n, heldNano: 100n }]);
    const { rows } = await db.query("select attempt, usage_source from settlements");
    expect(rows).toEqual([{ attempt: "att_dead", usage_source: "estimated" }]);
    expect((await living.ledger.prove()).discrepancies).toEqual([]);
  });

  test("a process whose lock was free in one round only is left alone", async () => {
    await using db = await testDatabase();
    await using living = await openLedger(db);
    const away = await openLedger(db, 7);
    await away.ledger.hold(holdOf("att_1", 100n, away.card));
    await away.session.close();
    expect(await living.ledger.sweep()).toBe(0);
    await using back = await openLedger(db, 7);
    expect(await living.ledger.sweep()).toBe(0);
    const settled = await back.ledger.settle({ attempt: "att_1", tokens: tokens(10), usageSource: "engine" });
    expect(settled).toMatchObject({ amountNano: 10n, repeated: false });
  });

  test("one that comes back after its hold was settled is answered what was settled, tokens included", async () => {
    await using db = await testDatabase();
    await using living = await openLedger(db);
    await using late = await openLedger(db);
    await late.ledger.hold(holdOf("att_1", 100n, late.card));
    // Its lock goes with its connection; it still works on its call.
    await late.session.close();
    for (let round = 0; round < 2; round++) await living.ledger.sweep();
    const settled = await late.ledger.settle({ attempt: "att_1", tokens: tokens(40, 10, 5), usageSource: "engine" });
    expect(settled).toMatchObject({ amountNano: 100n, tokens: tokens(0), usageSource: "estimated", repeated: true });
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
    const { ledger, card } = opened;
    const agent: Scope = { kind: "agent", id: "agt_1" };
    for (const run of ["run_1", "run_2"]) {
      await ledger.hold(holdOf(`att_${run}`, 1000n, card, [project, agent, { kind: "run", id: run }]));
      await ledger.settle({ attempt: `att_${run}`, tokens: tokens(200, 0, 50), usageSource: "engine" });
    }
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
    const { ledger, card } = opened;
    const spend = async (attempt: string, scopes: Scope[]) => {
      await ledger.hold(holdOf(attempt, 10_000n, card, [project, ...scopes]));
      await ledger.settle({ attempt, tokens: tokens(200, 0, 50), usageSource: "engine" });
    };
    for (const run of ["run_1", "run_2"])
      await spend(`att_${run}`, [
        { kind: "agent", id: "agt_1" },
        { kind: "run", id: run },
      ]);
    await spend("att_other", [
      { kind: "agent", id: "agt_2" },
      { kind: "run", id: "run_3" },
    ]);
    for (const chat of ["att_chat_1", "att_chat_2"]) await spend(chat, []);
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
    const { ledger, card } = opened;
    await ledger.hold(holdOf("att_1", 100n, card));
    await ledger.settle({ attempt: "att_1", tokens: tokens(10), usageSource: "engine" });
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
  const { ledger, card } = opened;
  await ledger.setBudget(budget(project, 1000n));
  await ledger.hold(holdOf("att_1", 100n, card));
  await ledger.settle({ attempt: "att_1", tokens: tokens(10), usageSource: "engine" });
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
  const work = Array.from({ length: 160 }, async (_, index) => {
    const { ledger, card } = ledgers[index % 4]!;
    const own = [
      scopes[index % 6]!,
      { ...project, id: `prj_${index % 3}` },
      { kind: "run" as const, id: `run_of_${index % 6}_${index % 3}` },
    ];
    await ledger.hold({
      ...holdOf(`att_${index}`, 100n, card, index % 2 ? own : own.toReversed()),
      project: `prj_${index % 3}`,
    });
    await ledger.settle({ attempt: `att_${index}`, tokens: tokens(50), usageSource: "engine" });
  });
  await Promise.all(work);
  expect((await ledgers[0]!.ledger.prove()).discrepancies).toEqual([]);
  expect((await ledgers[0]!.ledger.bill("org_1")).total.tokenCostNano).toBe(8000n);
  for (const opened of ledgers) await opened[Symbol.asyncDispose]();
});
