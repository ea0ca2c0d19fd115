// A database of the operator's own: with one role for everything, with a second one for migrations, and with a superuser.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { Home, Supervisor } from "../fleet/index.ts";
import { Database, isSuperuser, prepareRoles } from "../store/index.ts";
import { testPasswords, testServerVariable } from "../store/testing.ts";
import { readSettings } from "./settings.ts";
import type { ExternalUrls } from "../store/index.ts";
import { startDatabase } from "./postgres.ts";

const server = () => process.env[testServerVariable]!;

async function withEmptyDatabase(work: (urls: { owner: string; runtime: string }) => Promise<void>): Promise<void> {
  const name = "test_external";
  const urls = await prepareRoles(server(), testPasswords, name);
  try {
    await work(urls);
  } finally {
    const admin = new Database(server(), { connections: 1 });
    await admin.query(`drop database ${name} with (force)`);
    await admin.close();
  }
}

async function opened(urls: ExternalUrls): Promise<Database> {
  const folder = mkdtempSync(join(tmpdir(), "lineshaft-external-"));
  const home = new Home(folder);
  const supervisor = new Supervisor({ recordsPath: home.recordsPath, mark: folder });
  const { db, port } = await startDatabase(home, supervisor, urls);
  expect(port).toBeNull();
  rmSync(folder, { recursive: true, force: true });
  return db;
}

const insert = "insert into organisations (id, name, currency) values ('org_1', 'one', 'USD')";
const card = "insert into rate_cards values ('card_1', 'org_1', 'm', 1, 'USD', 1, 1, 1)";

test("with two roles, run time has only its grants", async () => {
  await withEmptyDatabase(async ({ owner, runtime }) => {
    const db = await opened({ DATABASE_URL: runtime, LINESHAFT_MIGRATION_URL: owner });
    await db.query(insert);
    await expect(db.query("drop table outcomes")).rejects.toMatchObject({ code: "42501" });
    await expect(db.query("update rate_cards set version = 2")).rejects.toMatchObject({ code: "42501" });
    expect(await isSuperuser(db)).toBe(false);
    await db.close();
  });
});

test("with one role, the triggers still keep what was written", async () => {
  await withEmptyDatabase(async ({ owner }) => {
    const db = await opened({ DATABASE_URL: owner });
    await db.query(insert);
    await db.query(card);
    await expect(db.query("update rate_cards set version = 2")).rejects.toMatchObject({ code: "23000" });
    await expect(db.query("delete from rate_cards")).rejects.toMatchObject({ code: "23000" });
    await db.close();
  });
});

test("the way of retention and erasure works as the owner, in one transaction", async () => {
  await withEmptyDatabase(async ({ owner }) => {
    const db = await opened({ DATABASE_URL: owner });
    await db.query(insert);
    await db.query(card);
    await db.query(
      "begin; alter table rate_cards disable trigger append_only; delete from rate_cards; alter table rate_cards enable trigger append_only; commit",
    );
    expect((await db.query("select from rate_cards")).rowCount).toBe(0);
    await db.query(card);
    await expect(db.query("delete from rate_cards")).rejects.toMatchObject({ code: "23000" });
    await db.close();
  });
});

test("a superuser is recognised", async () => {
  const db = new Database(server(), { connections: 1 });
  expect(await isSuperuser(db)).toBe(true);
  await db.close();
});

test("a role for migrations without a database of one's own is refused", () => {
  expect(() => readSettings({ LINESHAFT_MIGRATION_URL: "postgres://owner@db/x" })).toThrow(
    /LINESHAFT_MIGRATION_URL belongs to a database of your own/,
  );
});
