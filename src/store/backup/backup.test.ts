// A database into a file and out of it again: every row, sequence, key and trigger, by roles without special rights.
import { execFileSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Readable } from "node:stream";
import { buffer } from "node:stream/consumers";
import pg from "pg";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { Database } from "../database.ts";
import { migrate, readMigrations } from "../migrate.ts";
import { asOwner, emptyDatabase, tamper, testDatabase } from "../testing.ts";
import { readContainer, writeContainer } from "./container.ts";
import { Snapshot } from "./dump.ts";
import { assertEmptyDatabase, loadBackup } from "./load.ts";
import { entriesOf, readBackup, type Label } from "./manifest.ts";
import { packTar } from "./tar.ts";

const label: Label = { lineshaft: "0.1.0", created_at: "2026-11-27T12:00:00.000Z" };

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "lineshaft-backup-"));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const newFile = () => join(folder, `${randomBytes(6).toString("hex")}.backup`);

async function backup(db: Pick<Database, "url">, during: () => Promise<void> = async () => {}): Promise<string> {
  const file = newFile();
  await using snapshot = await Snapshot.open(db.url);
  await during();
  const facts = () => ({
    migrations: snapshot.migrations,
    sequences: snapshot.sequences,
    tables: snapshot.read,
    left_out: snapshot.foreign,
  });
  await writeContainer(file, entriesOf(label, snapshot.streams(), facts), { timeS: 1_700_000_000 });
  return file;
}

async function restore(
  file: string,
  url: string,
  finish: (client: pg.Client) => Promise<void> = async () => {},
): Promise<void> {
  const manifest = await readBackup(file, {});
  await loadBackup({ url, manifest, finish, parts: (onPart) => readBackup(file, { onPart }) });
}

/** Every row of every table as text, in one order. */
async function contentOf(url: string): Promise<Record<string, string[]>> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    const { rows } = await client.query<{ name: string }>(
      "select relname::text as name from pg_class where relnamespace = 'public'::regnamespace and relkind = 'r' order by 1",
    );
    const content: Record<string, string[]> = {};
    for (const { name } of rows)
      content[name] = (await client.query<{ row: string }>(`select t::text as row from ${name} t order by 1`)).rows.map(
        ({ row }) => row,
      );
    return content;
  } finally {
    await client.end();
  }
}

/**
 * Rows that are awkward: all kinds of text, a row larger than a part, bytes, numbers, arrays, nulls, a journal that corrects a later one.
 */
async function fill(db: Database): Promise<void> {
  await tamper(
    db,
    `insert into organisations (id, name, currency) values ('org_1', E'tab\\tnew\\nline \\\\ back \\\\. dot é 😀 \\x01', 'USD');
     insert into projects (id, organisation, name) values ('prj_1', 'org_1', '');
     insert into keys (id, organisation, project, name, role, secret_hmac) values ('key_1', 'org_1', 'prj_1', '\\N', 'owner', '\\x00ff0a0d');
     insert into journals (id, organisation, kind, corrects) values ('b', 'org_1', 'correction', 'a');
     insert into journals (id, organisation, kind) values ('a', 'org_1', 'settlement');
     insert into blobs (project, ref, body) select 'prj_1', 'sha256:' || i, repeat(md5(i::text) || E'\\n', 10) from generate_series(1, 20000) i;
     insert into blobs (project, ref, body) values ('prj_1', 'sha256:large', repeat('no newline in here ', 600000));
     insert into blobs (project, ref, body) values ('prj_1', 'sha256:lines', repeat(E'\\n', 3000000));
     insert into budgets (id, organisation, scope_kind, scope_id, currency, limit_nano, period, period_start)
       values ('bud_1', 'org_1', 'project', 'prj_1', 'USD', 9223372036854775807, 'total', '-infinity')`,
  );
}

test("every row comes back, into a database whose role has no special rights", async () => {
  await using db = await testDatabase();
  await fill(db);
  const before = await contentOf(db.url);
  const file = await backup(db, async () => {
    // After the snapshot: not in the backup.
    await db.query("insert into blobs (project, ref, body) values ('prj_1', 'sha256:late', '')");
  });
  await using plain = await emptyDatabase();
  await restore(file, plain.url);
  expect(await contentOf(plain.url)).toEqual(before);
  expect(before["blobs"]).toHaveLength(20_002);
  // What protects the rows is there again.
  const client = new pg.Client({ connectionString: plain.url });
  await client.connect();
  await expect(client.query("update blobs set body = ''")).rejects.toThrow(/append-only/);
  await expect(
    client.query("insert into projects (id, organisation, name) values ('p', 'nowhere', '')"),
  ).rejects.toThrow(/foreign key/);
  const shape =
    "select conrelid::regclass::text || conname || pg_get_constraintdef(oid) as it from pg_constraint order by 1";
  const { rows: restored } = await client.query(shape);
  await client.end();
  await using owner = asOwner(db);
  expect(restored).toEqual((await owner.query(shape)).rows);
});

/** What a restore is refused with: the code and the reason. */
async function refused(work: Promise<unknown>): Promise<string> {
  return work.then(
    () => "was restored",
    ({ code, why }: { code: string; why: string }) => `${code}: ${why}`,
  );
}

test("a database that holds anything is refused and stays as it is", async () => {
  await using db = await testDatabase();
  const file = await backup(db);
  await using plain = await emptyDatabase();
  const client = new pg.Client({ connectionString: plain.url });
  await client.connect();
  await client.query("create function mine() returns int language sql as 'select 1'");
  expect(await refused(assertEmptyDatabase(plain.url))).toMatch(/^restore_refused: .*mine\(\)/);
  expect(await refused(restore(file, plain.url))).toMatch(/^restore_refused: .*mine\(\)/);
  await client.query("drop function mine; create extension if not exists plpgsql");
  await client.end();
  expect(await refused(assertEmptyDatabase(plain.url))).toBe("was restored");
  await restore(file, plain.url);
  expect(await refused(restore(file, plain.url))).toMatch(/^restore_refused/);
});

test("an error at the very end, or a connection that is lost, leaves the database empty", async () => {
  await using db = await testDatabase();
  await fill(db);
  const file = await backup(db);
  await using plain = await emptyDatabase();
  await expect(restore(file, plain.url, () => Promise.reject(new Error("not now")))).rejects.toThrow("not now");
  await assertEmptyDatabase(plain.url);
  const manifest = await readBackup(file, {});
  let parts = 0;
  const cut = loadBackup({
    url: plain.url,
    manifest,
    finish: async () => {},
    parts: (onPart) =>
      readBackup(file, {
        onPart: async (part) => {
          await onPart(part);
          if (++parts < 5) return;
          const client = new pg.Client({ connectionString: plain.url });
          await client.connect();
          await client.query(
            "select pg_terminate_backend(pid) from pg_stat_activity where pid <> pg_backend_pid() and usename = current_user",
          );
          await client.end();
        },
      }),
  });
  await expect(cut).rejects.toThrow();
  await assertEmptyDatabase(plain.url);
  await restore(file, plain.url);
});

test("rows that are not as many as the backup says are refused", async () => {
  await using db = await testDatabase();
  await fill(db);
  const file = await backup(db);
  await using plain = await emptyDatabase();
  const manifest = await readBackup(file, {});
  manifest.tables.find(({ name }) => name === "projects")!.rows++;
  const parts = (onPart: Parameters<Parameters<typeof loadBackup>[0]["parts"]>[0]) => readBackup(file, { onPart });
  expect(await refused(loadBackup({ url: plain.url, manifest, parts, finish: async () => {} }))).toBe(
    "backup_damaged: The table projects got 1 rows, and the backup says 2.",
  );
  await assertEmptyDatabase(plain.url);
});

test("a backup of a newer version, or of other migrations, is refused", async () => {
  await using db = await testDatabase();
  const file = await backup(db);
  await using plain = await emptyDatabase();
  const manifest = await readBackup(file, {});
  const load = (migrations: typeof manifest.migrations) =>
    refused(
      loadBackup({
        url: plain.url,
        manifest: { ...manifest, migrations },
        parts: (onPart) => readBackup(file, { onPart }),
        finish: async () => {},
      }),
    );
  const next = { number: manifest.migrations.length + 1, name: "later", checksum: "0".repeat(64) };
  expect(await load([...manifest.migrations, next])).toMatch(/^backup_unknown: It is at migration \d+ \(later\)/);
  expect(await load([{ ...next, number: 1 }, ...manifest.migrations.slice(1)])).toMatch(
    /^backup_unknown: Its migration 1 \(later\) is not the one of this version/,
  );
});

test("a backup of an older version is brought to this one", async () => {
  await using old = await emptyDatabase();
  const client = new pg.Client({ connectionString: old.url });
  await client.connect();
  await migrate(client, { migrations: readMigrations().slice(0, 14) });
  await client.query("insert into organisations (id, name, currency) values ('org_1', 'one', 'USD')");
  await client.end();
  const file = await backup(old);
  await using plain = await emptyDatabase();
  let newest = 0;
  await restore(file, plain.url, async (restored) => {
    const { rows } = await restored.query<{ newest: number }>("select max(number) as newest from migrations");
    newest = rows[0]!.newest;
  });
  expect(newest).toBe(readMigrations().length);
  const content = await contentOf(plain.url);
  expect(content["organisations"]).toHaveLength(1);
  expect(content["migrations"]).toHaveLength(newest);
});

test("columns that count go on behind what they gave, also when their last rows were removed", async () => {
  await using db = await testDatabase();
  await using owner = asOwner(db);
  const { rows: counting } = await owner.query<{ table: string; column: string }>(
    `select c.relname::text as table, a.attname::text as column from pg_attribute a join pg_class c on c.oid = a.attrelid
     where a.attidentity <> '' and c.relnamespace = 'public'::regnamespace`,
  );
  const lastOf = `select format('%I.%I', schemaname, sequencename) as name, last_value from pg_sequences order by 1`;
  for (const { table, column } of counting)
    await owner.query("select setval(pg_get_serial_sequence($1, $2), 41)", [table, column]);
  const file = await backup(owner);
  await using plain = await emptyDatabase();
  await restore(file, plain.url);
  const client = new pg.Client({ connectionString: plain.url });
  await client.connect();
  const { rows } = await client.query(lastOf);
  await client.end();
  expect(rows).toHaveLength(counting.length);
  expect(rows.every(({ last_value }) => last_value === "41")).toBe(true);
});

test("tables that Lineshaft did not make are named and left out; a database without Lineshaft's tables is refused", async () => {
  await using db = await testDatabase();
  await using owner = asOwner(db);
  await owner.query("create table theirs (id int)");
  await owner.query("grant select on theirs to public");
  const manifest = await readBackup(await backup(owner), {});
  expect(manifest.left_out).toEqual(["theirs"]);
  expect(manifest.tables.map(({ name }) => name)).not.toContain("theirs");
  await using plain = await emptyDatabase();
  expect(await refused(Snapshot.open(plain.url))).toBe("backup_failed: The database has no tables of Lineshaft.");
});

test("the database has plain tables only, so that every row is in a backup", async () => {
  await using db = await testDatabase();
  const { rows } = await db.query(
    "select relname from pg_class where relnamespace = 'public'::regnamespace and relkind in ('p', 'm', 'f')",
  );
  expect(rows).toEqual([]);
});

test("tar reads what is inside", async () => {
  await using db = await testDatabase();
  const tar = await buffer(Readable.from(packTar(readContainer(await backup(db), {}), 0)));
  const names = execFileSync("tar", ["tf", "-"], { input: tar, encoding: "utf8" }).trim().split("\n");
  expect(names[0]).toBe("backup.json");
  expect(names).toContain("tables/migrations/000001");
  expect(names.slice(-2)).toEqual(["manifest.json", "manifest.sha256"]);
});
