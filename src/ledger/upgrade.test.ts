// A home of the version before leases: what it settled keeps counting, and what it held when it stopped is settled in full.
import { expect, test } from "vitest";
import { Database, migrate, readMigrations, runtimeRole, urlAs } from "../store/index.ts";
import { ownerRole } from "../store/roles.ts";
import { testPasswords, testServerVariable } from "../store/testing.ts";
import { readBill } from "./bill.ts";
import { Budgets } from "./budgets.ts";
import { proveLedger } from "./proof/proof.ts";

/** The newest migration before leases. */
const before = 18;
const scopes = ["organisation:org_1", "project:prj_1", "key:key_1", "agent:agt_1", "run:run_1"];

const held = (attempt: string, amount: bigint) => ({
  attempt,
  call: `call_of_${attempt}`,
  organisation: "org_1",
  project: "prj_1",
  agent: "agt_1",
  run: "run_1",
  model: "small",
  amount: amount.toString(),
  currency: "USD",
  scopes,
  rate_card: "org_1/small/1",
});

test("settlements of before keep counting in bills, budgets and the proof; open holds are settled in full, marked estimated", async () => {
  const server = process.env[testServerVariable]!;
  const name = "test_of_holds";
  const admin = new Database(urlAs(server, "lineshaft", "test", "postgres"), { connections: 1 });
  await admin.query(`create database ${name} owner ${ownerRole}`);
  const owner = new Database(urlAs(server, ownerRole, testPasswords.owner, name), { connections: 1 });
  const db = new Database(urlAs(server, runtimeRole, testPasswords.runtime, name), { connections: 2 });
  try {
    const client = await owner.pool.connect();
    await migrate(client, { migrations: readMigrations().slice(0, before), runtimeRole });
    await client.query("insert into organisations (id, name, currency) values ('org_1', 'one', 'USD')");
    await client.query(`insert into rate_cards (id, organisation, model, version, currency, input_nano_per_million, cached_nano_per_million,
      output_nano_per_million) values ('org_1/small/1', 'org_1', 'small', 1, 'USD', 1000000, 1000000, 1000000)`);
    await client.query(
      "select set_budget('bud_1', 'org_1', 'project', 'prj_1', 'USD', 10000, 'total'), set_budget('bud_2', 'org_1', 'key', 'key_1', 'USD', 10000, 'month')",
    );
    await client.query("select hold_attempts(7, $1)", [
      JSON.stringify([held("att_1", 500n), held("att_2", 300n), held("att_3", 40n)]),
    ]);
    await client.query("select settle_attempts($1)", [
      JSON.stringify([
        { attempt: "att_1", amount: "120", prompt: 100, cached: 0, output: 20, source: "engine" },
        {
          attempt: "att_3",
          amount: "40",
          prompt: 40,
          cached: 0,
          output: 0,
          source: "engine",
          suspense: "60",
          claimed_prompt: 100,
          claimed_output: 0,
        },
      ]),
    ]);
    await migrate(client, { runtimeRole });
    client.release();
    const { rows } = await db.query(
      `select attempt, call, project, key, agent, run, model, rate_card, held_nano, amount_nano, suspense_nano, usage_source, batch
       from settlements order by attempt`,
    );
    const context = {
      project: "prj_1",
      key: "key_1",
      agent: "agt_1",
      run: "run_1",
      model: "small",
      rate_card: "org_1/small/1",
      batch: null,
    };
    const settled = (
      attempt: string,
      held_nano: bigint,
      amount_nano: bigint,
      usage_source: string,
      suspense_nano = 0n,
    ) => ({
      ...context,
      attempt,
      call: `call_of_${attempt}`,
      held_nano,
      amount_nano,
      usage_source,
      suspense_nano,
    });
    expect(rows).toEqual([
      settled("att_1", 500n, 120n, "engine"),
      settled("att_2", 300n, 300n, "estimated"),
      settled("att_3", 40n, 40n, "engine", 60n),
    ]);
    for (const budget of await new Budgets(db).list("org_1"))
      expect(budget).toMatchObject({ spentNano: 460n, leasedNano: 0n, leftNano: 9_540n, pending: false });
    const bill = await readBill(db, "org_1", {});
    expect(bill.total).toMatchObject({ tokenCostNano: 460n, calls: 3, promptTokens: 140 });
    expect((await db.query("select id, amount_nano from suspense")).rows).toEqual([
      { id: "over_hold:att_3", amount_nano: 60n },
    ]);
    expect((await proveLedger(db, "whole", undefined)).discrepancies).toEqual([]);
  } finally {
    await Promise.all([owner.close(), db.close()]);
    await admin.query(`drop database ${name} with (force)`);
    await admin.close();
  }
});
