// Every table says what the runtime role may do with it, and the catalogue of a migrated database agrees.
import { expect, test } from "vitest";
import { access, functions, grantsOf, ownersFunctions } from "./access.ts";
import { Database } from "./database.ts";
import { bootstrapRole, ownerRole, prepareRoles, runtimeRole, urlAs } from "./roles.ts";
import { asOwner, tamper, testDatabase, testPasswords, testServerVariable } from "./testing.ts";

test("every table is declared in access.ts", async () => {
  await using db = await testDatabase();
  const { rows } = await db.query<{ name: string }>(
    "select relname::text as name from pg_class where relnamespace = 'public'::regnamespace and relkind in ('r', 'p')",
  );
  const undeclared = rows.map(({ name }) => name).filter((name) => name !== "migrations" && !access[name]);
  expect(undeclared, "give each of these tables its class in src/store/access.ts").toEqual([]);
  expect(Object.keys(access).filter((name) => !rows.some((row) => row.name === name))).toEqual([]);
});

test("every function is declared in access.ts, no view is undeclared, and a function names tables of its own room only", async () => {
  await using db = await testDatabase();
  const { rows } = await db.query<{ name: string; body: string }>(
    "select proname::text as name, prosrc as body from pg_proc where pronamespace = 'public'::regnamespace",
  );
  expect(rows.map(({ name }) => name).toSorted(), "declare each in src/store/access.ts").toEqual(
    Object.keys(functions).toSorted(),
  );
  const foreign = rows.flatMap(({ name, body }) =>
    Object.entries(access)
      .filter(([table, { room }]) => room !== functions[name]!.room && naming(table).test(body))
      .map(([table]) => `${name} names ${table}`),
  );
  expect(foreign).toEqual([]);
  const views = await db.query("select from pg_views where schemaname = 'public'");
  expect(views.rowCount).toBe(0);
});

/** SQL that reads or writes a table. */
const naming = (table: string) => new RegExp(`\\b(?:from|join|into|update|lock table)\\s+${table}\\b`);

test("every append-only table has its triggers", async () => {
  await using db = await testDatabase();
  const { rows } = await db.query<{ name: string }>(
    "select tgrelid::regclass::text as name from pg_trigger where tgname = 'append_only' and tgenabled = 'O'",
  );
  const declared = Object.entries(access).flatMap(([name, one]) => (one.class === "append-only" ? [name] : []));
  expect(rows.map(({ name }) => name).toSorted(), "call make_append_only(table) in its migration").toEqual(
    declared.toSorted(),
  );
});

test("the runtime role has exactly what is declared", async () => {
  await using db = await testDatabase();
  const { rows } = await db.query<{ name: string; right: string }>(
    `select table_name::text as name, lower(privilege_type) as right from information_schema.table_privileges
     where grantee = current_user and table_schema = 'public'
     union all
     select c.table_name, 'update (' || string_agg(c.column_name, ', ' order by c.column_name) || ')'
     from information_schema.column_privileges c
     where grantee = current_user and table_schema = 'public' and privilege_type = 'UPDATE'
       and not exists (select from information_schema.table_privileges t
         where t.grantee = c.grantee and t.table_name = c.table_name and t.privilege_type = 'UPDATE')
     group by 1`,
  );
  for (const [name, declared] of Object.entries(access)) {
    const found = rows.filter((row) => row.name === name).map(({ right }) => right);
    const sorted = grantsOf(declared).map((right) =>
      right.replace(/\((.*)\)/, (_, columns: string) => `(${columns.split(", ").toSorted().join(", ")})`),
    );
    expect(found.toSorted(), name).toEqual(["select", ...sorted].toSorted());
  }
});

test("the owner's functions run with a fixed search path, for the runtime role only", async () => {
  await using db = await testDatabase();
  const { rows } = await db.query<{ name: string; definer: boolean; config: string[]; everybody: boolean }>(
    `select proname::text as name, prosecdef as definer, proconfig as config,
       exists (select from aclexplode(proacl) where grantee = 0) as everybody
     from pg_proc where proname = any($1)`,
    [ownersFunctions],
  );
  expect(rows.map(({ name }) => name).toSorted()).toEqual(ownersFunctions.toSorted());
  for (const { definer, config, everybody } of rows) {
    expect(definer).toBe(true);
    expect(config).toContain("search_path=pg_catalog, public, pg_temp");
    expect(everybody).toBe(false);
  }
});

test("a data folder of before, with everything owned by the superuser, is brought forward", async () => {
  const server = process.env[testServerVariable]!;
  const name = "test_of_before";
  const administer = async (sql: string) => {
    const admin = new Database(urlAs(server, bootstrapRole, "test", "postgres"), { connections: 1 });
    await admin.query(sql).finally(() => admin.close());
  };
  await administer(`create database ${name}`);
  try {
    const before = new Database(urlAs(server, bootstrapRole, "test", name), { connections: 1 });
    await before.migrate();
    await before.query("insert into organisations (id, name, currency) values ('org_1', 'kept', 'USD')");
    await before.close();
    const urls = await prepareRoles(server, testPasswords, name);
    expect(await prepareRoles(server, testPasswords, name)).toEqual(urls);
    const owner = new Database(urls.owner, { connections: 1 });
    await owner.migrate(runtimeRole);
    await owner.close();
    const db = new Database(urls.runtime, { connections: 1 });
    expect((await db.query("select name from organisations")).rows).toEqual([{ name: "kept" }]);
    const { rows } = await db.query<{ owner: string }>(
      `select distinct pg_get_userbyid(relowner)::text as owner from pg_class where relnamespace = 'public'::regnamespace
       union select pg_get_userbyid(proowner)::text from pg_proc where pronamespace = 'public'::regnamespace`,
    );
    expect(rows).toEqual([{ owner: ownerRole }]);
    await expect(db.query("update organisations set currency = 'EUR'")).rejects.toMatchObject({ code: "42501" });
    await db.close();
  } finally {
    await administer(`drop database ${name} with (force)`);
  }
});

test("an older table's rights are narrowed when its class is", async () => {
  await using db = await testDatabase();
  await tamper(db, `grant all on settlements to ${runtimeRole}`);
  const owner = asOwner(db);
  await owner.migrate(runtimeRole);
  await owner.close();
  await expect(db.query("update settlements set amount_nano = 0")).rejects.toMatchObject({ code: "42501" });
});
