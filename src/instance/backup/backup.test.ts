// A home with its spools and a database of the operator's own, saved and restored in this process.
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import pg from "pg";
import { afterAll, beforeAll, expect, test } from "vitest";
import { Home } from "../../fleet/index.ts";
import { asOwner, emptyDatabase, testDatabase } from "../../store/testing.ts";
import { newSpoolId, readFolder, SpoolReader, SpoolWriter, spoolFolders } from "../../store/index.ts";
import { makeBackup } from "./backup.ts";
import { homeStreams } from "./files.ts";
import { readMark, writeMark } from "./mark.ts";
import { restoreBackup } from "./restore.ts";

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "lineshaft-home-backup-"));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

let homes = 0;
const newHome = () => new Home(join(folder, `home${homes++}`));
const signal = new AbortController().signal;

/** A home with secrets, credentials, two spools, and things that a backup leaves out. */
function usedHome(): Home {
  const home = newHome();
  home.prepare();
  home.secrets();
  home.writeCredentials({ address: "http://localhost:4070", key: "lsk_owner" });
  for (const [name, bytes] of [
    ["spools/aa/one.spool", Buffer.from("one")],
    ["spools/bb/two.spool", Buffer.alloc(9_000_000, "two")],
    ["spools/bb/lock", Buffer.from("lock")],
    ["models/m.gguf", Buffer.from("weights")],
  ] as const) {
    mkdirSync(join(home.path, name, ".."), { recursive: true });
    writeFileSync(home.file(name), bytes);
  }
  return home;
}

async function saved(home: Home, url: string): Promise<string> {
  const file = join(folder, `${homes++}.backup`);
  await makeBackup({ home, env: { DATABASE_URL: url }, file, passphrase: undefined, version: "0.1.0", signal });
  return file;
}

const restored = (home: Home, url: string, file: string, replay = false) =>
  restoreBackup({ home, env: { DATABASE_URL: url }, file, passphrase: undefined, resume: false, replay, signal });

test("secrets, credentials and spools come back; spools are put aside, or where they are replayed", async () => {
  await using db = await testDatabase();
  await using owner = asOwner(db);
  const original = usedHome();
  const before = Date.now();
  const file = await saved(original, owner.url);
  const { startedAt } = JSON.parse(readFileSync(original.file("spools/backup.json"), "utf8")) as { startedAt: string };
  expect(new Date(startedAt).getTime()).toBeGreaterThanOrEqual(before);
  for (const [replay, root] of [
    [false, "spools.restored"],
    [true, "spools"],
  ] as const) {
    await using plain = await emptyDatabase();
    const home = newHome();
    expect(await restored(home, plain.url, file, replay)).toMatchObject({ spools: 2, discrepancies: 0, pausedRuns: 0 });
    const { keyHmac, secretsKey, postgresPassword } = home.secrets();
    expect({ keyHmac, secretsKey }).toEqual({
      keyHmac: original.secrets().keyHmac,
      secretsKey: original.secrets().secretsKey,
    });
    expect(postgresPassword).not.toBe(original.secrets().postgresPassword);
    expect(home.credentials()).toEqual(original.credentials());
    expect(readFileSync(home.file(root, "aa/one.spool"), "utf8")).toBe("one");
    expect(readFileSync(home.file(root, "bb/two.spool")).equals(Buffer.alloc(9_000_000, "two"))).toBe(true);
    expect(existsSync(home.file(root, "bb/lock"))).toBe(false);
    expect(existsSync(home.file(root, "aa/replay"))).toBe(replay);
    expect(readMark(home)).toBeUndefined();
    expect(readdirSync(home.path)).not.toContain("m.gguf");
  }
});

test("a home that holds anything is refused, and so is one whose database does; nothing of them changes", async () => {
  await using db = await testDatabase();
  await using owner = asOwner(db);
  const original = usedHome();
  const file = await saved(original, owner.url);
  await using plain = await emptyDatabase();
  const secrets = readFileSync(original.file("secrets.json"), "utf8");
  await expect(restored(original, plain.url, file)).rejects.toMatchObject({ code: "restore_refused" });
  expect(readFileSync(original.file("secrets.json"), "utf8")).toBe(secrets);
  const home = newHome();
  await expect(restored(home, owner.url, file)).rejects.toMatchObject({ code: "restore_refused" });
  expect(readMark(home)).toBeUndefined();
  expect(existsSync(home.file("secrets.json"))).toBe(false);
  // Downloaded models may lie there.
  mkdirSync(home.modelsFolder, { recursive: true });
  writeFileSync(join(home.modelsFolder, "m.gguf"), "weights");
  await restored(home, plain.url, file);
  expect(readFileSync(join(home.modelsFolder, "m.gguf"), "utf8")).toBe("weights");
});

test("a restore that was killed is taken back by the next, or ended where its commit took place", async () => {
  await using db = await testDatabase();
  await using owner = asOwner(db);
  const file = await saved(usedHome(), owner.url);
  await using plain = await emptyDatabase();
  const home = newHome();
  home.prepare();
  writeMark(home, { file });
  writeFileSync(home.file("secrets.json"), "half");
  await restored(home, plain.url, file);
  // Killed between the commit and its end: the database has what the mark says.
  await using same = await emptyDatabase();
  const other = newHome();
  const whole = await restored(other, same.url, file);
  const connection = new pg.Client({ connectionString: same.url });
  await connection.connect();
  const { rows } = await connection.query<{ incarnation: string }>("select incarnation from instance_incarnation");
  await connection.end();
  const done = { incarnation: rows[0]!.incarnation, pausedRuns: 3, spools: 2, lostLeases: 1 };
  writeMark(other, { file, done });
  expect(await restored(other, same.url, file)).toMatchObject({ pausedRuns: 3, spools: 2, manifest: whole.manifest });
  expect(readMark(other)).toBeUndefined();
  // Another incarnation is another database.
  writeMark(other, { file, done: { ...done, incarnation: "7" } });
  await expect(restored(other, same.url, file)).rejects.toMatchObject({ code: "restore_refused" });
});

test("a spool that is written while it is copied is whole in the copy", async () => {
  const home = newHome();
  home.prepare();
  home.secrets();
  const writer = SpoolWriter.open({ root: home.file("spools"), id: newSpoolId(), epoch: "1", onFailure: () => {} });
  const append = (records: number) => {
    for (let number = 0; number < records; number++) writer.append([Buffer.alloc(3_000, "record")]);
  };
  append(60);
  for await (const { name, bytes } of homeStreams(home)) {
    if (!name.startsWith("spools/")) continue;
    const pieces: Uint8Array[] = [];
    for await (const piece of bytes) {
      pieces.push(piece);
      append(40);
    }
    const copy = join(folder, `copy${homes++}`);
    mkdirSync(copy);
    writeFileSync(join(copy, name.split("/").at(-1)!), Buffer.concat(pieces));
    const { files } = await readFolder(copy);
    await using reader = await SpoolReader.open(files[0]!.path);
    let records = 0;
    for (let read = await reader.read(); read.length > 0; read = await reader.read()) records += read.length;
    expect(await reader.ending()).toBe("whole");
    expect(records).toBeGreaterThanOrEqual(60);
  }
  writer.close();
  expect(spoolFolders(home.file("spools"))).toHaveLength(1);
});
