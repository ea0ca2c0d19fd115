// What the database itself refuses: the role that run time connects as is no superuser, and append-only records stay.
// The attacker here has the whole of that role (an injected statement, a stolen URL), or even the owner's.
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { access } from "../../src/store/access.ts";
import type { Database } from "../../src/store/index.ts";
import { asOwner, tamper, testDatabase } from "../../src/store/testing.ts";

let db: Database & AsyncDisposable;
let owner: Database;
beforeAll(async () => {
  db = await testDatabase();
  owner = asOwner(db);
  await tamper(db, "insert into organisations (id, name, currency) values ('org_1', 'one', 'USD')");
  for (const state of ["planned", "claimed", "done", "unknown"])
    await tamper(
      db,
      `insert into effects (key, organisation, project, run, step, ordinal, tool, arguments_ref, state, result_ref, attempts)
       values ($1, 'org_1', 'prj_1', 'run_1', 1, 1, 'order', 'sha256:a', $1, case when $1 = 'done' then 'sha256:r' end, 1)`,
      [state],
    );
});
afterAll(async () => {
  await owner.close();
  await db[Symbol.asyncDispose]();
});

const refused = (sql: string, by: Database = db) => expect(by.query(sql), sql).rejects;
const noRight = { code: "42501" };
const noChange = { code: "23000" };

describe("the role of run time", () => {
  test("is no superuser, makes no roles or databases, and owns nothing", async () => {
    const { rows } = await db.query(
      "select rolsuper, rolcreaterole, rolcreatedb, rolbypassrls, rolreplication from pg_roles where rolname = current_user",
    );
    expect(new Set(Object.values(rows[0]!))).toEqual(new Set([false]));
    const owned = await db.query("select relname from pg_class where relowner = current_user::regrole");
    expect(owned.rows).toEqual([]);
  });

  test.each([
    "copy (select 1) to program 'id'",
    "select pg_read_file('/etc/passwd')",
    "select * from pg_authid",
    "create role intruder superuser",
    "alter role lineshaft_app superuser",
    "create database elsewhere",
    "create table intruder (id int)",
    "create temporary table intruder (id int)",
    "create function intruder() returns int language sql as 'select 1'",
    "alter table settlements disable trigger all",
    "drop table outcomes",
    "set session_replication_role = replica",
    "insert into migrations (number, name, checksum) values (1000, 'x', 'x')",
  ])("is refused: %s", (sql) => refused(sql).toMatchObject({ code: "42501" }));

  test.each([
    "insert into entries (journal, account, amount_nano) values ('j', 'a', 1)",
    "insert into settlements (attempt, organisation, amount_nano, prompt_tokens, cached_tokens, output_tokens, usage_source) values ('att_1', 'org_1', 0, 0, 0, 0, 'engine')",
    "update accounts set balance_nano = 0",
    "update budgets set spent_nano = 0",
    "update leases set out_nano = 0",
    "update epochs set state = 'live'",
    "update spools set position = 0",
    "update suspense set drawn_nano = amount_nano",
    "update runs set version = 'other'",
    "update effects set arguments_ref = 'sha256:b'",
    "update keys set role = 'owner'",
    "delete from keys",
    "delete from effects",
  ])("does not write past the ledger's functions: %s", (sql) => refused(sql).toMatchObject(noRight));
});

const appendOnly = Object.entries(access).flatMap(([table, one]) => (one.class === "append-only" ? [table] : []));

describe("append-only tables", () => {
  test("are those of the ledger, outcomes and what they refer to", () => {
    expect(appendOnly).toEqual(
      expect.arrayContaining(["journals", "entries", "settlements", "rate_cards", "outcomes", "blobs"]),
    );
  });

  test.each(appendOnly)("%s is changed and emptied by no role, not even its owner", async (table) => {
    const column = (
      await owner.query<{ name: string }>(
        "select attname as name from pg_attribute where attrelid = $1::regclass and attnum > 0 and attidentity = '' order by attnum limit 1",
        [table],
      )
    ).rows[0]!.name;
    for (const sql of [
      `update ${table} set ${column} = ${column}`,
      `delete from ${table}`,
      `truncate ${table} cascade`,
    ]) {
      await refused(sql).toMatchObject(noRight);
      await refused(sql, owner).toMatchObject(noChange);
    }
  });
});

describe("effects move forward only, whatever the role", () => {
  test.each([
    "update effects set state = 'planned', result_ref = null where key = 'done'",
    "update effects set state = 'claimed', result_ref = null where key = 'done'",
    "update effects set result_ref = 'sha256:other' where key = 'done'",
    "update effects set state = 'done', result_ref = 'sha256:r' where key = 'planned'",
    "update effects set result_ref = 'sha256:r' where key = 'claimed'",
    "update effects set arguments_ref = 'sha256:other' where key = 'planned'",
    "update effects set attempts = 0 where key = 'claimed'",
    "delete from effects",
    "truncate effects cascade",
  ])("%s", (sql) => refused(sql, owner).toMatchObject(noChange));

  test("the moves of the state machine are allowed", async () => {
    await owner.query("update effects set state = 'claimed', attempts = 2 where key = 'planned'");
    await owner.query("update effects set state = 'done', result_ref = 'sha256:r' where key = 'unknown'");
    await owner.query("update effects set state = 'unknown' where key = 'claimed'");
  });
});
