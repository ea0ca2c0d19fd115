// The proof of the ledger over everything that it compares: the ledger's own tables, and the gateway's records. Each planted fault is a
// row that nothing but a superuser could make, and is found by the name of what is wrong.
import { beforeAll, afterAll, describe, expect, test } from "vitest";
import { recordProof } from "../src/gateway/index.ts";
import { Budgets } from "../src/ledger/budgets.ts";
import { fenceEpoch } from "../src/ledger/leases/leases.ts";
import { beginProcess, makeOrganisation, takeFrom, type Settled } from "../src/ledger/leases/testing.ts";
import { proveLedger } from "../src/ledger/proof/proof.ts";
import type { ScopeKind } from "../src/ledger/index.ts";
import { tamper, testDatabase } from "../src/store/testing.ts";
import { newId, type Database } from "../src/store/index.ts";

const dayMs = 24 * 60 * 60_000;
const organisation = "org_1";

/** Records of every settlement that has none, as the gateway writes them. */
async function record(db: Database): Promise<void> {
  await db.query(
    `insert into calls (id, organisation, project, key, agent, run, endpoint, model, stream, status, price_nano, currency, started_at, duration_ms)
     select call, min(organisation), min(project), min(key), min(agent), min(run), 'chat', min(model), false, 'completed', sum(amount_nano), 'USD',
       min(counted_at), 1
     from settlements group by call on conflict do nothing`,
  );
  await db.query(
    `insert into attempts (id, call, number, engine, status, timings, prompt_tokens, cached_tokens, output_tokens, price_nano, suspense_nano)
     select attempt, call, 1, model, 'completed', '[]', prompt_tokens, cached_tokens, output_tokens, amount_nano, suspense_nano
     from settlements on conflict do nothing`,
  );
}

async function setBudget(db: Database, kind: ScopeKind, id: string, period: "total" | "month" | "day") {
  const budgets = new Budgets(db);
  const budget = { organisation, scope: { kind, id }, currency: "USD", limitNano: 1_000_000n, period };
  return budgets.set({ ...budget, fresh: kind === "run" });
}

let number = 0;
const attempt = (settled: Partial<Settled>): Settled => ({
  attempt: `att_${String(++number).padStart(6, "0")}`,
  amountNano: BigInt(100 + number),
  key: "key_1",
  ...settled,
});

/**
 * Attempts of two runs and of calls outside runs, on three days, with a claim beyond its hold; a lease that is out and one that is lost; a
 * day's budget whose yesterday is over.
 */
async function makeLedger(db: Database) {
  await makeOrganisation(db);
  const project = await setBudget(db, "project", "prj_1", "day");
  await setBudget(db, "organisation", organisation, "month");
  await setBudget(db, "key", "key_1", "total");
  await setBudget(db, "run", "run_1", "total");
  const living = await beginProcess(db);
  const lost = await beginProcess(db);
  const now = Date.now();
  for (const age of [0, 1, 2])
    await living.post([
      attempt({ countedAt: new Date(now - age * dayMs), agent: "agt_1", run: "run_1" }),
      attempt({ countedAt: new Date(now - age * dayMs), agent: "agt_1", run: `run_of_day_${age}` }),
      attempt({ countedAt: new Date(now - age * dayMs), suspenseNano: age === 1 ? 7n : 0n }),
      attempt({ countedAt: new Date(now - age * dayMs), amountNano: 0n, model: "free" }),
    ]);
  await takeFrom(living, [project.id], 500n);
  await takeFrom(lost, [project.id], 300n);
  await fenceEpoch(db, lost.epoch);
  await record(db);
  return { living, lost, project };
}

const rulesOf = ({ discrepancies }: Awaited<ReturnType<typeof proveLedger>>) =>
  discrepancies.map(({ rule, id, expected, found }) => `${rule} ${id}: ${expected}, not ${found}`);
const prove = async (db: Database, kind: "whole" | "incremental" = "whole") =>
  rulesOf(await proveLedger(db, kind, recordProof));

describe("a proof", () => {
  let db: Database & AsyncDisposable;

  beforeAll(async () => {
    db = await testDatabase();
    await makeLedger(db);
  });
  afterAll(() => db[Symbol.asyncDispose]());

  test("finds nothing where everything agrees, and says what it compared", async () => {
    const report = await proveLedger(db, "whole", recordProof);
    expect(rulesOf(report)).toEqual([]);
    expect(report).toMatchObject({
      kind: "whole",
      discrepancyCount: 0,
      compared: { settlements: 12, batches: 3, budgets: 4, days: 6, suspense: 2 },
    });
  });

  // A fault, what takes it away again, and what is found of it.
  test.each([
    [
      "a changed settlement",
      "update settlements set amount_nano = amount_nano + 1 where attempt = 'att_000001'",
      "update settlements set amount_nano = amount_nano - 1 where attempt = 'att_000001'",
      [
        /^batch_changed batch:/,
        /^batch_entries batch:.*token_cost\/prj_1/,
        /^record_differs att_000001: price/,
        /^budget_spent bud_/,
        /^usage_day .*amount_nano/,
      ],
    ],
    [
      "a settlement and all that is computed from it changed together",
      `with one as (update settlements set key = 'key_2' where attempt = 'att_000004' returning 1) select * from one`,
      "update settlements set key = 'key_1' where attempt = 'att_000004'",
      [/^batch_changed batch:/],
    ],
    [
      "a missing record",
      "delete from attempts where id = 'att_000002'",
      `insert into attempts (id, call, number, engine, status, timings, prompt_tokens, cached_tokens, output_tokens, price_nano, suspense_nano)
       select attempt, call, 1, model, 'completed', '[]', prompt_tokens, cached_tokens, output_tokens, amount_nano, suspense_nano
       from settlements where attempt = 'att_000002'`,
      [/^record_missing att_000002: 1, not 0/, /^call_price call_of_att_000002: 0, not 102/],
    ],
    [
      "a doubled record",
      `insert into attempts (id, call, number, engine, status, timings, prompt_tokens, output_tokens, price_nano)
       select 'att_twice', call, 2, engine, status, timings, prompt_tokens, output_tokens, price_nano from attempts where id = 'att_000003'`,
      "delete from attempts where id = 'att_twice'",
      [/^record_orphan att_twice: 0, not 1/, /^call_price call_of_att_000003/],
    ],
    [
      "two prices of calls that are off and cancel out",
      "update calls set price_nano = price_nano + case id when 'call_of_att_000001' then 1 else -1 end where id in ('call_of_att_000001', 'call_of_att_000002')",
      "update calls set price_nano = price_nano - case id when 'call_of_att_000001' then 1 else -1 end where id in ('call_of_att_000001', 'call_of_att_000002')",
      [/^call_price call_of_att_000001: 101, not 102/, /^call_price call_of_att_000002: 102, not 101/],
    ],
    [
      "a lost entry",
      "delete from entries where account = 'org_1/token_cost/prj_1' and amount_nano = (select max(amount_nano) from entries)",
      `insert into entries (journal, account, amount_nano)
       select batch, 'org_1/token_cost/prj_1', sum(amount_nano) from settlements group by batch on conflict do nothing`,
      [/^batch_entries .*token_cost/, /^journal_sum batch:/, /^balance org_1\/token_cost\/prj_1/],
    ],
    [
      "a wrong balance",
      "update accounts set balance_nano = balance_nano + 1 where id = 'org_1/token_cost/prj_1'",
      "update accounts set balance_nano = balance_nano - 1 where id = 'org_1/token_cost/prj_1'",
      [/^balance org_1\/token_cost\/prj_1/],
    ],
    [
      "a budget's spent off by one nano",
      "update budgets set spent_nano = spent_nano + 1 where scope = 'key:key_1'",
      "update budgets set spent_nano = spent_nano - 1 where scope = 'key:key_1'",
      [/^budget_spent bud_/],
    ],
    [
      "a lease without a live epoch",
      "update epochs set state = 'closed' where state = 'live'",
      "update epochs set state = 'live' where state = 'closed'",
      [/^lease_epoch epoch \d+, bud_.*: 0, not 500/],
    ],
    [
      "a lease that its budget does not know",
      "update leases set out_nano = out_nano + 1",
      "update leases set out_nano = out_nano - 1",
      [/^leased bud_.*: 501, not 500/],
    ],
    [
      "a lost lease that is not named",
      "update budgets set lost_nano = lost_nano + 1 where scope = 'project:prj_1'",
      "update budgets set lost_nano = lost_nano - 1 where scope = 'project:prj_1'",
      [/^lost bud_.*: 300, not 301/],
    ],
    [
      "a suspense item without its entry",
      "insert into suspense (id, organisation, kind, subject, amount_nano, currency, reason, created_at) values ('quarantine:x:1', 'org_1', 'quarantine', 'small', 5, 'USD', 'x', now())",
      "delete from suspense where id = 'quarantine:x:1'",
      [/^suspense_balance org_1\/suspense\/small: 12, not 7/, /^suspense_entry quarantine:x:1: 5, not 0/],
    ],
    [
      "a suspense item that is gone",
      "update suspense set attempt = 'att_none' where kind = 'over_hold'",
      "update suspense set attempt = (select attempt from settlements where suspense_nano > 0) where kind = 'over_hold'",
      [/^suspense_item att_none: 0, not 7/, /^suspense_item att_0000\d\d: 7, not 0/],
    ],
    [
      "a rollup off",
      "update usage_days set calls = calls + 1 where day = (select max(day) from usage_days) and agent = 'agt_1'",
      "update usage_days set calls = calls - 1 where day = (select max(day) from usage_days) and agent = 'agt_1'",
      [/^usage_day \d{4}-\d\d-\d\d, prj_1, agt_1: calls: 2, not 3/],
    ],
    [
      "a run of several days that is not named in the rollup",
      "delete from usage_spans where day = (select min(day) from usage_spans)",
      "insert into usage_spans select kind, subject, day - 2, organisation, project, agent from usage_spans where day = (select max(day) from usage_spans)",
      [/^usage_span run_1 on \d{4}-\d\d-\d\d: 1, not 0/],
    ],
  ])("finds %s by name", async (_, fault, repair, expected) => {
    await prove(db);
    await tamper(db, fault);
    const found = await prove(db);
    for (const rule of expected) expect(found).toContainEqual(expect.stringMatching(rule));
    await tamper(db, repair);
    expect(await prove(db)).toEqual([]);
  });
});

describe("an incremental proof", () => {
  test("reads what was posted since the proof before, and a changed old row is found by the whole one", async () => {
    await using db = await testDatabase();
    const { living } = await makeLedger(db);
    expect((await proveLedger(db, "incremental", recordProof)).compared).toMatchObject({ settlements: 12, batches: 3 });
    expect((await proveLedger(db, "incremental", recordProof)).compared).toMatchObject({ settlements: 0, batches: 0 });
    await living.post([attempt({ agent: "agt_1", run: "run_1" })]);
    await record(db);
    const report = await proveLedger(db, "incremental", recordProof);
    expect(report.compared).toMatchObject({ settlements: 1, batches: 1 });
    expect(rulesOf(report)).toEqual([]);
    // Everything that is computed from it is changed along, and only its checksum tells.
    await tamper(
      db,
      "update settlements set model = 'smaller' where amount_nano = 0 and attempt = (select min(attempt) from settlements where amount_nano = 0)",
    );
    expect(await prove(db, "incremental")).toEqual([]);
    expect(await prove(db)).toEqual([expect.stringMatching(/^batch_changed batch:/)]);
  });

  test.each([
    [
      "a changed settlement",
      "update settlements set amount_nano = amount_nano + 1 where attempt = $1",
      "batch_entries",
    ],
    ["a missing record", "delete from attempts where id = $1", "record_missing"],
    ["a record that says something else", "update attempts set output_tokens = 2 where id = $1", "record_differs"],
    ["a call whose price is off", "update calls set price_nano = 0 where id = 'call_of_' || $1", "call_price"],
    [
      "a lost entry",
      "delete from entries where journal = (select batch from settlements where attempt = $1) and amount_nano > 0",
      "journal_sum",
    ],
    [
      "a run's budget that is off",
      "update budgets set spent_nano = 0 where scope = (select 'run:' || run from settlements where attempt = $1)",
      "budget_spent",
    ],
    [
      "a day that is off",
      "update usage_days set runs = 0 where day = (select usage_day(counted_at) from settlements where attempt = $1)",
      "usage_day",
    ],
  ])("finds %s of a new batch, again and again until it is put right", async (_, fault, rule) => {
    await using db = await testDatabase();
    const { living } = await makeLedger(db);
    expect(await prove(db, "incremental")).toEqual([]);
    const posted = attempt({ agent: "agt_1", run: "run_1" });
    await living.post([posted]);
    await record(db);
    await tamper(db, fault, fault.includes("$1") ? [posted.attempt] : []);
    expect(await prove(db, "incremental")).toContainEqual(expect.stringMatching(new RegExp(`^${rule} `)));
    if (!["budget_spent", "usage_day"].includes(rule))
      expect(await prove(db, "incremental")).toContainEqual(expect.stringMatching(new RegExp(`^${rule} `)));
  });
});

test("an attempt may be recorded before its call, which has not ended, but not for ever", async () => {
  await using db = await testDatabase();
  await makeOrganisation(db);
  const process = await beginProcess(db);
  const underWay = newId("call");
  const lost = newId("call", Date.now() - dayMs);
  await process.post([attempt({ call: underWay }), attempt({ call: lost })]);
  await record(db);
  await tamper(db, "delete from calls");
  expect(await prove(db)).toEqual([expect.stringMatching(new RegExp(`^call_price ${lost}: \\d+, not 0$`))]);
  expect(await prove(db, "incremental")).toEqual([]);
});

test("records of attempts from before there were batches may be missing, but not say something else", async () => {
  await using db = await testDatabase();
  await makeLedger(db);
  await tamper(db, "update settlements set batch = null");
  await tamper(db, "delete from attempts where id = 'att_000001'");
  await tamper(db, "delete from calls where id = 'call_of_att_000001'");
  const rules = (await proveLedger(db, "whole", recordProof)).discrepancies.map(({ rule }) => rule);
  expect(rules).not.toContain("record_missing");
  expect(rules).toContain("attempt_entries");
});
