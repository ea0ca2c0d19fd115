// Records reach Postgres in order and exactly once, whatever fails on the way, and what Postgres refuses is put aside alone.
import { existsSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { StoreUnavailableError, type Database } from "../../store/index.ts";
import { failingDisk, temporaryFolder } from "../../store/spool/testing.ts";
import { tamper, testDatabase } from "../../store/testing.ts";
import { proveLedger } from "../proof/proof.ts";
import type { PostingAlarm } from "./failures.ts";
import { Poster } from "./poster.ts";
import { rows, TestProcess } from "./testing.ts";

interface Setting {
  db: Database;
  process: TestProcess;
  alarms: PostingAlarm[];
  /** Starts a poster of the process's spool. */
  poster(options?: { db?: Database; openSinceMs?: () => number }): Poster;
}

async function setting(options: Parameters<typeof TestProcess.begin>[2] = {}): Promise<Setting> {
  const db = await testDatabase();
  const root = temporaryFolder();
  const process = await TestProcess.begin(db, root.path, options);
  const alarms: PostingAlarm[] = [];
  onTestFinished(async () => {
    process.writer.close();
    process.leases.stop();
    root[Symbol.dispose]();
    await db[Symbol.asyncDispose]();
  });
  return {
    db,
    process,
    alarms,
    poster(given = {}) {
      const poster = new Poster({ db, spool: process.writer, rows, onAlarm: (alarm) => alarms.push(alarm), ...given });
      onTestFinished(() => poster.close());
      return poster;
    },
  };
}

const settled = async (db: Database): Promise<Map<string, bigint>> => {
  const { rows: all } = await db.query<{ attempt: string; amount_nano: bigint }>(
    "select attempt, amount_nano from settlements",
  );
  return new Map(all.map(({ attempt, amount_nano: amount }) => [attempt, amount]));
};

const count = async (db: Database, table: string) =>
  Number((await db.query<{ n: bigint }>(`select count(*) as n from ${table}`)).rows[0]!.n);

const spoolRow = async (db: Database, spool: string) =>
  (
    await db.query<{ position: bigint; state: string; complete_through: Date | null }>(
      "select position, state, complete_through from spools where id = $1",
      [spool],
    )
  ).rows[0]!;

const figures = async (db: Database, budget: string) =>
  (
    await db.query<{ spent: bigint; leased: bigint; lost: bigint }>(
      "select spent_nano as spent, leased_nano as leased, lost_nano as lost from budgets where id = $1",
      [budget],
    )
  ).rows[0]!;

/** A database whose transactions fail as told: before anything is sent, or after they were carried out. */
function unreliable(db: Database): Database & { fail: "before" | "after" | undefined; tries: number } {
  const proxy = Object.create(db) as Database & { fail: "before" | "after" | undefined; tries: number };
  proxy.fail = undefined;
  proxy.tries = 0;
  const query = db.query.bind(db);
  proxy.query = ((sql: string, values?: unknown[]) => {
    if (proxy.fail === "before") throw new StoreUnavailableError("away", { sent: false });
    return query(sql, values);
  }) as Database["query"];
  proxy.transaction = async (work, bound) => {
    proxy.tries++;
    if (proxy.fail === "before") throw new StoreUnavailableError("away", { sent: false });
    const result = await db.transaction(work, bound);
    if (proxy.fail !== "after") return result;
    proxy.fail = undefined;
    throw new StoreUnavailableError("broken off", { sent: true });
  };
  return proxy;
}

test("settlements, records and money of a spool are posted together, and every sum is equal", async () => {
  const { db, process, poster } = await setting();
  const budget = await process.lease(100_000n, 50_000n);
  let spent = 0n;
  for (let number = 0; number < 300; number++) spent += process.call({ output: number % 20 });
  const posting = poster();
  await posting.drained();
  expect(await count(db, "settlements")).toBe(300);
  expect(await count(db, "attempts")).toBe(300);
  expect(await count(db, "calls")).toBe(300);
  expect(await figures(db, budget)).toEqual({ spent, leased: 50_000n - spent, lost: 0n });
  const { spool, number } = process.writer.position();
  expect(posting.numbers()).toEqual({ [spool]: number });
  expect(await spoolRow(db, spool)).toMatchObject({ position: BigInt(number), state: "open" });
  expect((await proveLedger(db, "whole", undefined)).discrepancies).toEqual([]);
});

test("a poster goes on where another one stopped, and posts nothing twice", async () => {
  const { db, process, poster } = await setting();
  const budget = await process.lease(100_000n, 50_000n);
  let spent = process.call() + process.call();
  const first = poster();
  await first.drained();
  await first.close();
  spent += process.call();
  await poster().drained();
  expect((await settled(db)).size).toBe(3);
  expect(await figures(db, budget)).toMatchObject({ spent });
});

test("readers wait for a place, of this process and of another; a place that does not come is refused", async () => {
  const { process, poster } = await setting();
  await process.lease(100_000n, 50_000n);
  process.call();
  const place = process.writer.position();
  const posting = poster();
  await posting.posted(place);
  // Another process's poster knows nothing of this spool but what Postgres says.
  const other = await setting();
  const elsewhere = other.poster({ db: (await setting()).db });
  await expect(elsewhere.posted(place)).rejects.toBeInstanceOf(StoreUnavailableError);
});

test("a place of another process is waited for", async () => {
  const { db, process, poster } = await setting();
  await process.lease(100_000n, 50_000n);
  using root = temporaryFolder();
  const other = await TestProcess.begin(db, root.path);
  const waiting = poster().posted({ spool: other.writer.position().spool, number: 3 });
  other.hold();
  other.hold();
  other.hold();
  const posting = new Poster({ db, spool: other.writer, rows });
  await posting.drained();
  await waiting;
  await posting.close();
  other.writer.close();
});

test("a place beyond the newest record is refused by name, and nothing waits for it", async () => {
  const { process, poster } = await setting();
  await process.lease(100_000n, 50_000n);
  const posting = poster();
  process.call();
  const { spool, number } = process.writer.position();
  const beyond = { spool, number: 999_999_999_999 };
  await expect(posting.posted(beyond)).rejects.toMatchObject({ status: 400, code: "invalid_value", param: "after" });
  expect(posting.readers).toBe(0);
  await posting.posted({ spool, number });
});

test("a reader that has gone is not waited for", async () => {
  const { db, process, poster } = await setting();
  await process.lease(100_000n, 50_000n);
  const stuck = unreliable(db);
  const going = Promise.withResolvers<void>();
  stuck.transaction = async (work, bound) => (await going.promise, db.transaction(work, bound));
  const posting = poster({ db: stuck });
  process.call();
  const place = process.writer.position();
  const gone = new AbortController();
  const waiting = posting.posted(place, gone.signal);
  const elsewhere = posting.posted({ spool: "spl_of_another", number: 1 }, gone.signal);
  await expect.poll(() => posting.readers).toBe(2);
  gone.abort(new Error("gone"));
  await expect(waiting).rejects.toThrow("gone");
  await expect(elsewhere).rejects.toThrow();
  await expect.poll(() => posting.readers).toBe(0);
  going.resolve();
  await posting.drained();
});

test("with the database away it waits, readers are told, and everything is posted once it is back", async () => {
  const { db, process, poster } = await setting();
  const budget = await process.lease(100_000n, 50_000n);
  const away = unreliable(db);
  away.fail = "before";
  const posting = poster({ db: away });
  let spent = 0n;
  for (let number = 0; number < 50; number++) spent += process.call();
  const drained = posting.drained();
  await expect(posting.posted(process.writer.position())).rejects.toBeInstanceOf(StoreUnavailableError);
  away.fail = undefined;
  await drained;
  expect(await figures(db, budget)).toMatchObject({ spent });
});

test("a commit that was carried out but not answered is not repeated", async () => {
  const { db, process, poster, alarms } = await setting();
  const budget = await process.lease(100_000n, 50_000n);
  const broken = unreliable(db);
  broken.fail = "after";
  let spent = process.call();
  const posting = poster({ db: broken });
  await expect.poll(() => broken.tries).toBeGreaterThan(0);
  spent += process.call();
  await posting.drained();
  expect(await figures(db, budget)).toMatchObject({ spent });
  expect((await settled(db)).size).toBe(2);
  expect(alarms).toEqual([]);
});

test("a database that lost its last commits is given them again", async () => {
  const { db, process, poster } = await setting();
  await process.lease(100_000n, 50_000n);
  process.call();
  const posting = poster();
  await posting.drained();
  const { spool } = process.writer.position();
  const { rows: before } = await db.query<{ position: bigint; chain: bigint }>(
    "select position, chain from spools where id = $1",
    [spool],
  );
  const lost = process.call({ attempt: "att_lost", call: "call_lost" });
  await posting.drained();
  await tamper(db, "delete from settlements where attempt = 'att_lost'");
  await tamper(db, "update spools set position = $2, chain = $3 where id = $1", [
    spool,
    before[0]!.position,
    before[0]!.chain,
  ]);
  process.call();
  await posting.drained();
  expect((await settled(db)).get("att_lost")).toBe(lost);
  expect((await settled(db)).size).toBe(3);
});

test("a record that the database refuses is put aside alone, its amount in suspense, and all others are posted", async () => {
  const { db, process, poster, alarms } = await setting();
  const budget = await process.lease(100_000n, 50_000n);
  let spent = 0n;
  for (let number = 0; number < 40; number++) spent += process.call();
  const work = process.hold({ attempt: "att_bad" });
  const refused = process.settle(work, 5, { status: "no such status" });
  process.recordCall(work, refused);
  for (let number = 0; number < 40; number++) spent += process.call();
  const text = process.hold({ attempt: "att_nul" });
  const nul = process.settle(text, 5, { error_code: "a\0b" });
  await poster().drained();
  const all = await settled(db);
  expect(all.size).toBe(80);
  expect(all.has("att_bad")).toBe(false);
  expect(await figures(db, budget)).toEqual({
    spent,
    leased: 50_000n - spent - refused.amountNano - nul.amountNano,
    lost: refused.amountNano + nul.amountNano,
  });
  const { rows: aside } = await db.query<{ sqlstate: string; amount_nano: bigint; record: unknown }>(
    "select sqlstate, amount_nano, record from quarantine order by number",
  );
  expect(aside).toMatchObject([
    { sqlstate: "23514", amount_nano: refused.amountNano, record: { item: { attempt: "att_bad" } } },
    { sqlstate: "22P05", amount_nano: nul.amountNano, record: { item: { attempt: "att_nul" } } },
  ]);
  expect(alarms.map(({ code, subject }) => [code, subject])).toEqual([
    ["record_quarantined", "23514"],
    ["record_quarantined", "22P05"],
  ]);
  expect((await proveLedger(db, "whole", undefined)).discrepancies).toEqual([]);
});

test("bytes that are no record are put aside, and the rest goes on", async () => {
  const { db, process, poster } = await setting();
  await process.lease(100_000n, 50_000n);
  process.call();
  process.writer.append([Buffer.from("no record")]);
  process.call();
  await poster().drained();
  expect((await settled(db)).size).toBe(2);
  const { rows: aside } = await db.query("select number, sqlstate, record from quarantine");
  expect(aside).toEqual([
    { number: 5n, sqlstate: "LS010", record: { bytes: Buffer.from("no record").toString("base64") } },
  ]);
});

test("a record of a later release stops the posting before it, and the file is kept", async () => {
  const { db, process, poster, alarms } = await setting();
  await process.lease(100_000n, 50_000n);
  process.call();
  const before = process.writer.position();
  process.writer.append([Buffer.from('{"v":2,"k":"hold"}')]);
  process.call();
  const posting = poster();
  await expect(posting.drained()).rejects.toMatchObject({ code: "record_version" });
  expect(alarms).toMatchObject([{ code: "spool_version" }]);
  expect(Number((await spoolRow(db, before.spool)).position)).toBeLessThanOrEqual(before.number);
  expect(existsSync(process.writer.trail[0]!.path)).toBe(true);
  await expect(posting.posted(process.writer.position())).rejects.toBeInstanceOf(StoreUnavailableError);
});

test("a spool that has the numbers of another one is found out, and nothing more of it is posted", async () => {
  const { db, process, poster, alarms } = await setting();
  await process.lease(100_000n, 50_000n);
  process.call();
  const posting = poster();
  await posting.drained();
  const { spool } = process.writer.position();
  await tamper(db, "update spools set chain = chain + 1 where id = $1", [spool]);
  process.call();
  await expect(posting.drained()).rejects.toThrow(/forked/);
  expect(alarms).toMatchObject([{ code: "spool_forked", subject: spool }]);
  expect((await settled(db)).size).toBe(1);
  expect(await spoolRow(db, spool)).toMatchObject({ state: "damaged" });
});

test("files follow each other; a posted one is removed unless a call in it has not ended, or no backup has it", async () => {
  const { db, process, poster } = await setting({ fileBytes: 2_000 });
  await process.lease(10_000_000n, 5_000_000n);
  const posting = poster();
  const { trail } = process.writer;
  const open = process.hold();
  const fill = async (files: number) => {
    while (trail.length < files) {
      process.call();
      await posting.drained();
    }
  };
  await fill(4);
  await expect.poll(() => posting.numbers()[trail[2]!.spool]).toBe(trail[2]!.upTo);
  expect(trail.map(({ path }) => existsSync(path))).toEqual([true, true, true, true]);
  const settlement = process.settle(open);
  await fill(5);
  expect(existsSync(trail[0]!.path)).toBe(true);
  process.recordCall(open, settlement);
  await fill(7);
  await expect.poll(() => existsSync(trail[3]!.path)).toBe(false);
  expect(existsSync(trail[0]!.path)).toBe(false);
  const { rows: states } = await db.query("select state from spools where id = $1", [trail[0]!.spool]);
  expect(states).toEqual([{ state: "ended" }]);
  // From the first backup on, files stay until one began after them.
  const backup = join(process.writer.folder, "..", "backup.json");
  writeFileSync(backup, JSON.stringify({ startedAt: "2020-01-01T00:00:00Z" }));
  const kept = trail.length - 1;
  await fill(kept + 3);
  await posting.drained();
  expect(existsSync(trail[kept]!.path)).toBe(true);
  writeFileSync(backup, JSON.stringify({ startedAt: new Date(Date.now() + 60_000).toISOString() }));
  utimesSync(trail[kept]!.path, 1, 1);
  await fill(kept + 5);
  await expect.poll(() => existsSync(trail[kept]!.path)).toBe(false);
  expect((await proveLedger(db, "whole", undefined)).discrepancies).toEqual([]);
});

test("a spool is complete through the start of its oldest open attempt, and idle through the present", async () => {
  const { db, process, poster } = await setting();
  await process.lease(100_000n, 50_000n);
  let since = Date.parse("2026-01-01T10:00:00Z");
  const posting = poster({ openSinceMs: () => since });
  const { spool } = process.writer.position();
  const through = async () => (await spoolRow(db, spool)).complete_through?.toISOString();
  await expect.poll(through).toBe("2026-01-01T10:00:00.000Z");
  since += 3_600_000;
  process.call();
  await posting.drained();
  process.call();
  await posting.drained();
  expect(await through()).toBe("2026-01-01T11:00:00.000Z");
});

test("a spool whose sync failed is complete again in its next file", async () => {
  const disk = failingDisk();
  const { db, process, poster } = await setting({ disk });
  await process.lease(100_000n, 50_000n);
  let since = Date.parse("2026-01-01T10:00:00Z");
  let samples = 0;
  const posting = poster({ openSinceMs: () => (samples++, since) });
  const through = async (spool: string) => (await spoolRow(db, spool)).complete_through?.toISOString();
  const first = process.writer.position().spool;
  await expect.poll(() => through(first)).toBe("2026-01-01T10:00:00.000Z");
  since += 3_600_000;
  process.call();
  // The poster looks at the file before the failure, and notes through which moment the unsynced records are complete.
  const reading = posting.posted(process.writer.position());
  const before = samples;
  await expect.poll(() => [samples, disk.syncs]).toEqual([before + 1, 1]);
  disk.failSyncs = new Error("EIO");
  disk.finishSyncs();
  disk.failSyncs = undefined;
  await expect.poll(() => disk.syncs).toBe(2);
  disk.finishSyncs();
  await reading;
  const { spool } = process.writer.position();
  expect(spool).not.toBe(first);
  await expect.poll(() => through(spool)).toBe("2026-01-01T11:00:00.000Z");
});

test("a new file is complete through what the one before it was: no bill opens again", async () => {
  const { db, process, poster } = await setting({ fileBytes: 2_000 });
  await process.lease(1_000_000n, 500_000n);
  const posting = poster();
  const { trail } = process.writer;
  await tamper(db, "update spools set complete_through = '2026-01-01T10:00:00Z' where id = $1", [trail[0]!.spool]);
  while (trail.length < 3) {
    process.call();
    await posting.drained();
  }
  await expect
    .poll(() => spoolRow(db, trail[2]!.spool))
    .toMatchObject({ complete_through: new Date("2026-01-01T10:00:00Z") });
});

test("work that must not meet a batch runs between two", async () => {
  const { process, poster } = await setting();
  await process.lease(1_000_000n, 500_000n);
  const posting = poster();
  for (let number = 0; number < 20; number++) process.call();
  const order: string[] = [];
  const exclusive = posting.exclusively(async () => {
    order.push("begin");
    const before = posting.numbers();
    await new Promise((resolve) => setTimeout(resolve, 30));
    expect(posting.numbers()).toEqual(before);
    order.push("end");
  });
  await Promise.all([exclusive, posting.exclusively(async () => void order.push("next")), posting.drained()]);
  expect(order).toEqual(["begin", "end", "next"]);
  await expect(posting.exclusively(() => Promise.reject(new Error("its own")))).rejects.toThrow("its own");
  process.call();
  await posting.drained();
});
