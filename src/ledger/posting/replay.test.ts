// What dead processes left in their spools is finished: once, by one process, only when death is proven, and with every sum equal.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { cpSync, existsSync, readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { expect, onTestFinished, test } from "vitest";
import { spoolFolders, type Database } from "../../store/index.ts";
import { temporaryFolder } from "../../store/spool/testing.ts";
import { tamper, testDatabase } from "../../store/testing.ts";
import { fenceEpoch } from "../leases/leases.ts";
import { proveLedger } from "../proof/proof.ts";
import type { PostingAlarm } from "./failures.ts";
import { spoolKeeping } from "./keep.ts";
import { Poster } from "./poster.ts";
import { Replay } from "./replay.ts";
import { rows, TestProcess } from "./testing.ts";

async function setting() {
  const db = await testDatabase();
  const root = temporaryFolder();
  const alarms: PostingAlarm[] = [];
  onTestFinished(async () => {
    root[Symbol.dispose]();
    await db[Symbol.asyncDispose]();
  });
  const replay = (options: { db?: Database; root?: string; process?: number } = {}) =>
    new Replay({ db, process: 1, root: root.path, rows, onAlarm: (alarm) => alarms.push(alarm), ...options });
  const begin = (options?: { fileBytes?: number }) => TestProcess.begin(db, root.path, options);
  return { db, root: root.path, alarms, replay, begin };
}

/** The process ends: the kernel frees its lock. */
function die(process: TestProcess): void {
  process.writer.close();
  process.leases.stop();
}

const settled = async (db: Database) => {
  const { rows: all } = await db.query<{ attempt: string; amount_nano: bigint; usage_source: string }>(
    "select attempt, amount_nano, usage_source from settlements",
  );
  return Object.fromEntries(all.map(({ attempt, amount_nano: amount, usage_source: by }) => [attempt, [amount, by]]));
};

const figures = async (db: Database, budget: string) =>
  (
    await db.query<{ spent: bigint; leased: bigint; lost: bigint }>(
      "select spent_nano as spent, leased_nano as leased, lost_nano as lost from budgets where id = $1",
      [budget],
    )
  ).rows[0]!;

const idsOf = async (db: Database, table: "attempts" | "calls") =>
  (await db.query<{ id: string }>(`select id from ${table} order by id`)).rows.map(({ id }) => id);

const epochState = async (db: Database, epoch: number) =>
  (await db.query<{ state: string }>("select state from epochs where id = $1", [epoch])).rows[0]!.state;

const isProven = async (db: Database) => expect((await proveLedger(db, "whole", undefined)).discrepancies).toEqual([]);

test("what a dead process held is voided or estimated, with rows of attempts and calls, and its lease goes back", async () => {
  const { db, root, replay, begin, alarms } = await setting();
  const process = await begin();
  const budget = await process.lease(100_000n, 50_000n);
  const whole = process.call({ attempt: "att_whole", call: "call_whole" });
  process.hold({ attempt: "att_unsent", call: "call_unsent" });
  process.sent(process.hold({ attempt: "att_sent", call: "call_sent" }));
  const progress = process.hold({ attempt: "att_progress", call: "call_progress" });
  process.sent(progress);
  process.extend(progress, 100, 70);
  const ended = process.hold({ attempt: "att_ended", call: "call_ended" });
  process.sent(ended);
  process.settle(ended, 3);
  die(process);
  const round = await replay().round();
  expect(alarms).toEqual([]);
  expect(round).toBe(1);
  expect(await settled(db)).toEqual({
    att_whole: [whole, "engine"],
    att_sent: [30n, "estimated"],
    att_progress: [80n, "estimated"],
    att_ended: [13n, "engine"],
  });
  expect(await idsOf(db, "attempts")).toEqual(["att_ended", "att_progress", "att_sent", "att_whole"]);
  expect(await idsOf(db, "calls")).toEqual(["call_ended", "call_progress", "call_sent", "call_unsent", "call_whole"]);
  expect(await figures(db, budget)).toEqual({ spent: whole + 123n, leased: 0n, lost: 0n });
  expect(await epochState(db, process.leases.epoch.id)).toBe("closed");
  expect(spoolFolders(root)).toEqual([]);
  await isProven(db);
  expect(await replay().round()).toBe(0);
});

/** A process that has posted the first attempt of `call_two`, and then whole calls until its first file is full and posted. */
async function betweenAttempts({ db, begin }: Awaited<ReturnType<typeof setting>>) {
  const process = await begin({ fileBytes: 3_000 });
  await process.lease(1_000_000n, 500_000n);
  const posting = new Poster({ db, spool: process.writer, rows });
  const first = process.hold({ attempt: "att_first", call: "call_two" });
  process.sent(first);
  process.settle(first, 3);
  while (process.writer.trail.length < 4) {
    process.call();
    await posting.drained();
  }
  expect(await settled(db)).toHaveProperty("att_first", [13n, "engine"]);
  return { process, posting };
}

const calls = async (db: Database, id: string) =>
  (await db.query("select status, price_nano from calls where id = $1", [id])).rows;

/** Attempts whose call has no row. */
const strayAttempts = async (db: Database) =>
  (await db.query("select a.id from attempts a left join calls c on c.id = a.call where c.id is null")).rows;

test("killed between two attempts of a call, the first posted and its file full: the call gets its row, once", async () => {
  const at = await setting();
  const { process, posting } = await betweenAttempts(at);
  await posting.close();
  die(process);
  expect(await at.replay().round()).toBe(1);
  expect(await calls(at.db, "call_two")).toEqual([{ status: "failed", price_nano: 13n }]);
  expect(await strayAttempts(at.db)).toEqual([]);
  expect(at.alarms).toEqual([]);
  expect(spoolFolders(at.root)).toEqual([]);
  await isProven(at.db);
});

test("killed during the second attempt, the first posted and its file full: one row for both", async () => {
  const at = await setting();
  const { process, posting } = await betweenAttempts(at);
  process.sent(process.hold({ attempt: "att_second", call: "call_two" }));
  await posting.drained();
  await posting.close();
  die(process);
  expect(await at.replay().round()).toBe(1);
  expect(await settled(at.db)).toMatchObject({ att_first: [13n, "engine"], att_second: [30n, "estimated"] });
  expect(await calls(at.db, "call_two")).toHaveLength(1);
  expect(await strayAttempts(at.db)).toEqual([]);
  await isProven(at.db);
});

test("a call that ended after its first attempt's file was full keeps its own row", async () => {
  const at = await setting();
  const { process, posting } = await betweenAttempts(at);
  const second = process.hold({ attempt: "att_second", call: "call_two" });
  process.sent(second);
  process.recordCall(second, process.settle(second, 4));
  await posting.drained();
  while (process.writer.trail.length < 6) {
    process.call();
    await posting.drained();
  }
  await expect.poll(() => existsSync(process.writer.trail[0]!.path)).toBe(false);
  await posting.close();
  die(process);
  expect(await at.replay().round()).toBe(1);
  expect(await calls(at.db, "call_two")).toEqual([{ status: "completed", price_nano: 14n }]);
  expect(await strayAttempts(at.db)).toEqual([]);
});

test("before a damage, a call of which an attempt is settled gets its row too", async () => {
  const { db, replay, begin, alarms } = await setting();
  const process = await begin();
  const budget = await process.lease(100_000n, 50_000n);
  const first = process.hold({ attempt: "att_first", call: "call_two" });
  process.sent(first);
  process.settle(first, 3);
  process.sent(process.hold({ attempt: "att_second", call: "call_two" }));
  process.sent(process.hold({ attempt: "att_open", call: "call_open" }));
  process.call({ attempt: "att_bad", call: "call_bad" });
  process.call({ attempt: "att_behind" });
  die(process);
  const bytes = readFileSync(lastFile(process));
  bytes[bytes.indexOf("att_bad")]! ^= 1;
  writeFileSync(lastFile(process), bytes);
  const replaying = replay();
  expect(await replaying.round()).toBe(1);
  expect(await replaying.round()).toBe(0);
  expect(alarms.map(({ code }) => code)).toEqual(["spool_damaged"]);
  // What the second attempt cost is not known, so the call has what is.
  expect(await settled(db)).toEqual({ att_first: [13n, "engine"] });
  expect(await calls(db, "call_two")).toEqual([{ status: "failed", price_nano: 13n }]);
  expect(await calls(db, "call_open")).toEqual([]);
  expect(await figures(db, budget)).toEqual({ spent: 13n, leased: 0n, lost: 50_000n - 13n });
  expect(await strayAttempts(db)).toEqual([]);
  await isProven(db);
});

test("a spool whose process lives is left alone", async () => {
  const { db, root, replay, begin } = await setting();
  const process = await begin();
  await process.lease(100_000n, 50_000n);
  process.call();
  expect(await replay().round()).toBe(0);
  expect(await settled(db)).toEqual({});
  expect(spoolFolders(root)).toHaveLength(1);
  die(process);
});

test("two that replay at once: one does it", async () => {
  const { db, replay, begin } = await setting();
  const process = await begin();
  await process.lease(100_000n, 50_000n);
  for (let number = 0; number < 20; number++) process.call();
  die(process);
  const rounds = await Promise.all([replay().round(), replay().round(), replay().round()]);
  expect(rounds.toSorted()).toEqual([0, 0, 1]);
  expect(Object.keys(await settled(db))).toHaveLength(20);
});

test("a replay that dies half way is finished by the next one, each attempt once", async () => {
  const { db, replay, begin } = await setting();
  const process = await begin({ fileBytes: 3_000 });
  const budget = await process.lease(100_000n, 50_000n);
  for (let number = 0; number < 10; number++) {
    process.call();
    await process.writer.synced(process.writer.position());
  }
  process.sent(process.hold({ attempt: "att_sent" }));
  die(process);
  const failing = Object.create(db) as Database;
  failing.transaction = (work, bound) => db.transaction(work, bound);
  failing.query = ((sql: string, values?: unknown[]) => {
    if (sql.includes("close_epoch")) throw new Error("the end of this replay");
    return db.query(sql, values);
  }) as Database["query"];
  expect(await replay({ db: failing }).round()).toBe(0);
  expect(await epochState(db, process.leases.epoch.id)).toBe("live");
  expect(await replay().round()).toBe(1);
  const all = await settled(db);
  expect(Object.keys(all)).toHaveLength(11);
  expect(await figures(db, budget)).toEqual({ spent: 330n, leased: 0n, lost: 0n });
  await isProven(db);
});

test("a fenced epoch's records draw on what was booked to suspense, once, and the rest stays there", async () => {
  const { db, root, replay, begin } = await setting();
  const process = await begin();
  const budget = await process.lease(100_000n, 50_000n);
  const spent = process.call() + process.call();
  process.sent(process.hold({ attempt: "att_open" }));
  await fenceEpoch(db, process.leases.epoch.id);
  expect(await figures(db, budget)).toEqual({ spent: 0n, leased: 0n, lost: 50_000n });
  die(process);
  expect(await replay().round()).toBe(1);
  expect(await replay().round()).toBe(0);
  const all = spent + 30n;
  expect(await figures(db, budget)).toEqual({ spent: all, leased: 0n, lost: 50_000n - all });
  expect(await epochState(db, process.leases.epoch.id)).toBe("fenced");
  const { rows: items } = await db.query("select amount_nano, drawn_nano from suspense");
  expect(items).toEqual([{ amount_nano: 50_000n, drawn_nano: all }]);
  expect(spoolFolders(root)).toEqual([]);
  await isProven(db);
});

const lastFile = (process: TestProcess) => process.writer.trail.at(-1)!.path;

test("a torn tail is cut, and what stood in it counts as not written", async () => {
  const { db, replay, begin, alarms } = await setting();
  const process = await begin();
  await process.lease(100_000n, 50_000n);
  const work = process.hold({ attempt: "att_sent", call: "call_sent" });
  process.sent(work);
  process.settle(work, 5);
  die(process);
  const bytes = readFileSync(lastFile(process));
  truncateSync(lastFile(process), bytes.lastIndexOf('"k":"settle"') + 40);
  expect(await replay().round()).toBe(1);
  expect(await settled(db)).toEqual({ att_sent: [30n, "estimated"] });
  expect(alarms).toEqual([]);
  await isProven(db);
});

test("a damaged file: what stands before is posted, the rest of the lease is in suspense by name, and the file is kept", async () => {
  const { db, root, replay, begin, alarms } = await setting();
  const process = await begin();
  const budget = await process.lease(100_000n, 50_000n);
  const first = process.call({ attempt: "att_first" });
  process.call({ attempt: "att_bad" });
  process.call({ attempt: "att_behind" });
  die(process);
  const bytes = readFileSync(lastFile(process));
  bytes[bytes.indexOf("att_bad")]! ^= 1;
  writeFileSync(lastFile(process), bytes);
  const replaying = replay();
  expect(await replaying.round()).toBe(1);
  expect(await replaying.round()).toBe(0);
  expect(await settled(db)).toEqual({ att_first: [first, "engine"] });
  expect(await figures(db, budget)).toEqual({ spent: first, leased: 0n, lost: 50_000n - first });
  const { rows: items } = await db.query("select kind, budget, amount_nano from suspense");
  expect(items).toEqual([{ kind: "lost_lease", budget, amount_nano: 50_000n - first }]);
  expect(alarms.map(({ code }) => code)).toEqual(["spool_damaged"]);
  expect(spoolFolders(root)).toHaveLength(1);
  expect(existsSync(lastFile(process))).toBe(true);
  await isProven(db);
});

test("a file that is missing between two others, and one that lacks what was posted of it, count as damaged", async () => {
  const { db, replay, begin, alarms } = await setting();
  const process = await begin({ fileBytes: 1_000 });
  await process.lease(100_000n, 50_000n);
  for (let number = 0; number < 6; number++) {
    process.call({ attempt: `att_${number}` });
    await process.writer.synced(process.writer.position());
  }
  const { trail } = process.writer;
  expect(trail.length).toBeGreaterThan(3);
  die(process);
  rmSync(trail[2]!.path);
  const short = await begin();
  await short.lease(100_000n, 10n);
  short.call({ attempt: "att_posted" });
  const posting = new Poster({ db, spool: short.writer, rows });
  await posting.drained();
  await posting.close();
  die(short);
  truncateSync(lastFile(short), readFileSync(lastFile(short)).indexOf('"k":"sent"'));
  expect(await replay().round()).toBe(2);
  expect(alarms.map(({ code }) => code).filter((code) => code === "spool_damaged")).toHaveLength(3);
  expect(Object.keys(await settled(db))).not.toContain("att_5");
  expect(Object.keys(await settled(db))).toContain("att_0");
  await isProven(db);
});

test("a copy is unknown, and is replayed only on a person's word", async () => {
  const { db, root, replay, begin, alarms } = await setting();
  const process = await begin();
  await process.lease(100_000n, 50_000n);
  process.call({ attempt: "att_1" });
  using copy = temporaryFolder();
  cpSync(root, copy.path, { recursive: true });
  const copied = replay({ root: copy.path });
  expect(await copied.round()).toBe(0);
  expect(await copied.round()).toBe(0);
  expect(alarms.map(({ code }) => code)).toEqual(["spool_unknown"]);
  expect(await settled(db)).toEqual({});
  die(process);
  rmSync(process.writer.folder, { recursive: true });
  writeFileSync(join(spoolFolders(copy.path)[0]!, "replay"), "");
  expect(await copied.round()).toBe(1);
  expect(Object.keys(await settled(db))).toEqual(["att_1"]);
  expect(spoolFolders(copy.path)).toEqual([]);
});

test("a spool that the database does not know, and one of a later release, are left as they are, with an alarm each", async () => {
  const { root, replay, begin, alarms } = await setting();
  const other = await setting();
  const foreign = await TestProcess.begin(other.db, root);
  foreign.call();
  foreign.call();
  die(foreign);
  const later = await begin();
  later.call();
  die(later);
  const bytes = readFileSync(lastFile(later));
  bytes.writeUInt32LE(9, 8);
  writeFileSync(lastFile(later), bytes);
  await begin().then(die);
  const known = await begin();
  die(known);
  expect(spoolFolders(root)).toHaveLength(4);
  await replay().round();
  expect(alarms.map(({ code }) => code)).toContain("spool_version");
  expect(existsSync(lastFile(later))).toBe(true);
  expect(readdirSync(root).length).toBeGreaterThanOrEqual(1);
});

test.each([1, 2, 3, 4])(
  "kill -9 at a random moment: everything is settled once, and every sum is equal (seed %i)",
  async (seed) => {
    const { db, root, replay } = await setting();
    const script = fileURLToPath(new URL("testing/worker.ts", import.meta.url));
    const printed = new Map<string, bigint>();
    const children = [0, 1].map((number) =>
      spawn(
        globalThis.process.execPath,
        ["--disable-warning=ExperimentalWarning", script, db.url, root, `${seed * 10 + number}`],
        {
          stdio: ["ignore", "pipe", "inherit"],
        },
      ),
    );
    await Promise.all(
      children.map(async (child, number) => {
        let left = 50 + ((seed * 7919 + number * 104_729) % 400);
        const lines = createInterface({ input: child.stdout });
        lines.on("line", (line) => {
          const [attempt, amount] = line.split(" ");
          printed.set(attempt!, BigInt(amount!));
          if (--left === 0) child.kill("SIGKILL");
        });
        await once(child, "close");
      }),
    );
    expect(await replay().round()).toBe(2);
    const all = await settled(db);
    for (const [attempt, amount] of printed) expect(all[attempt]).toEqual([amount, "engine"]);
    const { rows: budgets } = await db.query<{ spent: bigint; leased: bigint; lost: bigint }>(
      "select spent_nano as spent, leased_nano as leased, lost_nano as lost from budgets",
    );
    const spent = Object.values(all).reduce((sum, [amount]) => sum + (amount as bigint), 0n);
    expect(budgets).toEqual([{ spent, leased: 0n, lost: 0n }]);
    const { rows: missing } = await db.query(
      "select s.attempt from settlements s left join calls c on c.id = s.call where c.id is null",
    );
    expect(missing).toEqual([]);
    expect(spoolFolders(root)).toEqual([]);
    await isProven(db);
  },
);

test("damage in the head of the newest file, behind files that were posted: the epoch is fenced, and it is said once", async () => {
  const { db, root, replay, begin, alarms } = await setting();
  // Posted files stay for a backup.
  writeFileSync(join(root, spoolKeeping.backup), JSON.stringify({ startedAt: new Date(0).toISOString() }));
  const process = await begin({ fileBytes: 1_000 });
  const budget = await process.lease(100_000n, 50_000n);
  for (let number = 0; number < 4; number++) {
    process.call({ attempt: `att_${number}` });
    await process.writer.synced(process.writer.position());
  }
  const posting = new Poster({ db, spool: process.writer, rows });
  await posting.drained();
  await posting.close();
  die(process);
  const bytes = readFileSync(lastFile(process));
  bytes[bytes.indexOf('"epoch"')]! ^= 1;
  writeFileSync(lastFile(process), bytes);
  const replaying = replay();
  await replaying.round();
  await replaying.round();
  expect(await epochState(db, process.leases.epoch.id)).toBe("fenced");
  expect((await figures(db, budget)).leased).toBe(0n);
  expect(alarms.map(({ code }) => code)).toEqual(["spool_damaged"]);
  await isProven(db);
});

test("an epoch belongs to the process that replays it, so that no other takes it for dead meanwhile", async () => {
  const { db, replay, begin } = await setting();
  const process = await begin();
  await process.lease(100_000n, 50_000n);
  process.call({ attempt: "att_1" });
  die(process);
  expect(await replay({ process: 77 }).round()).toBe(1);
  const { rows: epochs } = await db.query("select process, state from epochs where id = $1", [process.leases.epoch.id]);
  expect(epochs).toEqual([{ process: 77n, state: "closed" }]);
});

test("a replay that is ended before it posts posts nothing, and ends while the database refuses", async () => {
  const { db, replay, begin } = await setting();
  const process = await begin();
  process.call({ attempt: "att_1" });
  die(process);
  const refusing = Object.assign(Object.create(db) as Database, {
    transaction: () => Promise.reject(new Error("cannot be posted")),
    query: async (sql: string, values?: unknown[]) => {
      if (sql.startsWith("update epochs")) closing ??= replaying.close();
      return db.query(sql, values);
    },
  });
  let closing: Promise<void> | undefined;
  const replaying = replay({ db: refusing, process: 77 });
  await expect(replaying.round()).rejects.toThrow("ended");
  await closing;
  expect(await epochState(db, process.leases.epoch.id)).toBe("live");
});

test("an epoch that cannot be replayed is taken for dead: it does not look alive through the replay", async () => {
  const { db, replay, begin } = await setting();
  const process = await begin();
  const budget = await process.lease(100_000n, 50_000n);
  process.call({ attempt: "att_1" });
  die(process);
  const failing = Object.assign(Object.create(db) as Database, {
    transaction: () => Promise.reject(new Error("cannot be posted")),
    query: (sql: string, values?: unknown[]) =>
      sql.includes("close_epoch") ? Promise.reject(new Error("cannot be closed")) : db.query(sql, values),
  });
  const replaying = replay({ db: failing, process: 77 });
  const round = replaying.round().catch(() => {});
  const epochs = async () =>
    (await db.query("select process from epochs where id = $1", [process.leases.epoch.id])).rows;
  await expect.poll(epochs).toEqual([{ process: 77n }]);
  await replaying.close();
  await round;
  await tamper(db, `update spools set state = 'damaged' where epoch = ${process.leases.epoch.id}`);
  expect(await replay().round()).toBe(0);
  expect(await epochState(db, process.leases.epoch.id)).toBe("fenced");
  expect((await figures(db, budget)).leased).toBe(0n);
});
