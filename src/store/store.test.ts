import { describe, expect, test } from "vitest";
import { canonicalJson, getBlob, putBlob } from "./blobs.ts";
import { leastId, newId } from "./ids.ts";
import { MigrationError, migrate, readMigrations } from "./migrate.ts";
import { asOwner, testDatabase } from "./testing.ts";

describe("migrations", () => {
  test("several processes may bring one database up to date at once", async () => {
    await using test = await testDatabase();
    const db = asOwner(test);
    const clients = await Promise.all([1, 2, 3].map(() => db.pool.connect()));
    const extra = {
      number: readMigrations().length + 1,
      name: "extra",
      sql: "create table extra (id int)",
      checksum: "x",
    };
    const applied = await Promise.all(
      clients.map((client) => migrate(client, { migrations: [...readMigrations(), extra] })),
    );
    expect(applied.flat().map((migration) => migration.name)).toEqual(["extra"]);
    clients.forEach((client) => client.release());
    await db.close();
  });

  test("a migration that was changed after it was applied is refused", async () => {
    await using test = await testDatabase();
    const db = asOwner(test);
    const [first, ...rest] = readMigrations();
    const client = await db.pool.connect();
    const migrations = [{ ...first!, checksum: "other" }, ...rest];
    await expect(migrate(client, { migrations })).rejects.toThrow(MigrationError);
    client.release();
    await db.close();
  });

  test("a database of a newer Lineshaft is refused", async () => {
    await using test = await testDatabase();
    const db = asOwner(test);
    const client = await db.pool.connect();
    await expect(migrate(client, { migrations: readMigrations().slice(0, 1) })).rejects.toThrow(/newer Lineshaft/);
    client.release();
    await db.close();
  });
});

describe("blobs", () => {
  test("equal values have one reference, whatever the order of their keys", async () => {
    await using db = await testDatabase();
    const first = await putBlob(db, "prj_a", { b: 1, a: [{ y: 1, x: 2 }] });
    const second = await putBlob(db, "prj_a", { a: [{ x: 2, y: 1 }], b: 1 });
    expect(second).toBe(first);
    expect(await getBlob(db, "prj_a", first)).toEqual({ a: [{ x: 2, y: 1 }], b: 1 });
  });

  test("a project cannot read another's payload", async () => {
    await using db = await testDatabase();
    const ref = await putBlob(db, "prj_a", "secret");
    await expect(getBlob(db, "prj_b", ref)).rejects.toThrow(/not in the store/);
  });

  test("canonical JSON keeps arrays in order and drops undefined", () => {
    expect(canonicalJson({ z: [3, 1], a: undefined, m: null })).toBe('{"m":null,"z":[3,1]}');
  });
});

test("ids sort by time and carry their kind", () => {
  expect(newId("call", 1_000) < newId("call", 2_000)).toBe(true);
  expect(newId("run")).toMatch(/^run_[0-9a-z]{20}$/);
  expect(new Set(Array.from({ length: 2_000 }, () => newId("run", 1_000))).size).toBe(2_000);
  const least = leastId("call", 2_000);
  expect(least.length).toBe(newId("call").length);
  expect(newId("call", 1_999) < least && least <= newId("call", 2_000)).toBe(true);
});

test("64-bit integers arrive as bigint", async () => {
  await using db = await testDatabase();
  const { rows } = await db.query<{ big: bigint; list: bigint[] }>(
    "select 9007199254740993::bigint as big, array[1,2]::bigint[] as list",
  );
  expect(rows[0]).toEqual({ big: 9007199254740993n, list: [1n, 2n] });
});

test("a transaction that throws leaves nothing behind", async () => {
  await using db = await testDatabase();
  const attempt = db.transaction(async (client) => {
    await putBlob(client, "prj_a", 1);
    throw new Error("no");
  });
  await expect(attempt).rejects.toThrow("no");
  expect((await db.query("select 1 from blobs")).rowCount).toBe(0);
});
