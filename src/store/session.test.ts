// The session of a process on a real Postgres: what it holds and hears survives a terminated backend, a restarted server and a frozen
// one, and its users are told what they lost.
import { expect, test } from "vitest";
import type { Database } from "./database.ts";
import { newProcessId, processGone, processNamespace } from "./process.ts";
import { Session, type LockKey } from "./session.ts";
import { ownPostgres, testDatabase } from "./testing.ts";

/** Far above what each takes on an idle machine. */
const timeout = 60_000;
const key: LockKey = [1, 2];

/** What a watcher was told, in order. */
function record() {
  const told: string[] = [];
  return {
    told,
    watcher: {
      lost: (reason: string) => void told.push(reason),
      back: () => void told.push("back"),
    },
  };
}

async function heldBy(db: Database, [namespace, id]: LockKey): Promise<number[]> {
  const { rows } = await db.query<{ pid: number }>(
    `select pid from pg_locks where locktype = 'advisory' and classid = $1 and objid = $2 and granted
       and database = (select oid from pg_database where datname = current_database())`,
    [namespace, id],
  );
  return rows.map(({ pid }) => pid);
}

async function terminate(db: Database, pids: number[]): Promise<void> {
  await db.query("select pg_terminate_backend(pid) from unnest($1::int[]) pid", [pids]);
}

test("the lock of a process says that it lives, and is free as soon as its session has ended", async () => {
  await using db = await testDatabase();
  const session = await Session.open({ url: db.url });
  const gone = async () => {
    const { rows } = await db.query<{ gone: boolean }>(`select ${processGone("$1")} as gone`, [session.processId]);
    return rows[0]!.gone;
  };
  expect(await gone()).toBe(false);
  await session.close();
  await expect.poll(gone, { timeout }).toBe(true);
});

test("two processes on one database have two identities", () => {
  const ids = Array.from({ length: 100 }, () => newProcessId());
  expect(new Set(ids).size).toBe(100);
  for (const id of ids) expect(id).toBeGreaterThan(0);
});

test("a lock belongs to one session; released, another takes it", async () => {
  await using db = await testDatabase();
  const [a, b] = await Promise.all([Session.open({ url: db.url }), Session.open({ url: db.url })]);
  const release = await a.hold(key);
  await expect(b.hold(key)).rejects.toMatchObject({ code: "lock_taken" });
  await release();
  await b.hold(key);
  expect(await heldBy(db, key)).toHaveLength(1);
  await Promise.all([a.close(), b.close()]);
});

test("when its backend is terminated it takes its locks again, listens again and says so", async () => {
  await using db = await testDatabase();
  const [own, lock, channel] = [record(), record(), record()];
  const session = await Session.open({ url: db.url, watcher: own.watcher });
  const heard: string[] = [];
  await session.hold(key, lock.watcher);
  await session.listen("news", (payload) => void heard.push(payload), channel.watcher);
  const before = await heldBy(db, key);
  await terminate(db, before);
  await expect.poll(() => [...own.told, ...lock.told, ...channel.told].length, { timeout }).toBe(6);
  for (const { told } of [own, lock, channel]) expect(told).toEqual(["disconnected", "back"]);
  const after = await heldBy(db, key);
  expect(after).toHaveLength(1);
  expect(after).not.toEqual(before);
  expect(await heldBy(db, [processNamespace, session.processId])).toEqual(after);
  await db.query("select pg_notify('news', 'after')");
  await expect.poll(() => heard, { timeout }).toEqual(["after"]);
  await session.close();
});

test("a lock that another process took meanwhile is reported, and taken again when it is free", async () => {
  await using db = await testDatabase();
  const { told, watcher } = record();
  const session = await Session.open({ url: db.url });
  await session.hold(key, watcher);
  // The other waits for the lock inside the server, so it gets it before this session is back.
  const thief = await db.pool.connect();
  const taken = thief.query("select pg_advisory_lock($1, $2)", [...key]);
  const waits = async () =>
    (await db.query("select from pg_locks where locktype = 'advisory' and not granted")).rowCount ?? 0;
  await expect.poll(waits, { timeout }).toBeGreaterThan(0);
  await terminate(db, await heldBy(db, key));
  await taken;
  await expect.poll(() => told, { timeout }).toEqual(["disconnected", "taken"]);
  await thief.query("select pg_advisory_unlock($1, $2)", [...key]);
  thief.release();
  await expect.poll(() => told, { timeout }).toEqual(["disconnected", "taken", "back"]);
  expect(await heldBy(db, key)).toHaveLength(1);
  await session.close();
});

test("a server that is killed and started again finds the session's locks and channels as they were", async () => {
  await using server = await ownPostgres();
  await using db = server.open();
  const { told, watcher } = record();
  const session = await Session.open({ url: server.url });
  const heard: string[] = [];
  await session.hold(key, watcher);
  await session.listen("news", (payload) => void heard.push(payload));
  await server.kill();
  await expect.poll(() => told, { timeout }).toEqual(["disconnected"]);
  await expect(session.notify("news", "lost")).rejects.toMatchObject({ code: "store_unavailable" });
  await expect(session.hold([1, 3])).rejects.toMatchObject({ code: "store_unavailable" });
  // A channel that is asked for while the session is away is listened to when it is back.
  const late = session.listen("late", (payload) => void heard.push(payload));
  await server.start();
  await expect.poll(() => told, { timeout }).toEqual(["disconnected", "back"]);
  await late;
  await session.notify("news", "one");
  await session.notify("late", "two");
  await expect.poll(() => heard, { timeout }).toEqual(["one", "two"]);
  expect(await heldBy(db, key)).toHaveLength(1);
  await session.close();
});

test("a frozen server holds up neither the close nor the process, and a session comes back when it goes on", async () => {
  await using server = await ownPostgres();
  await using db = server.open();
  const { told, watcher } = record();
  const [staying, leaving] = await Promise.all([Session.open({ url: server.url }), Session.open({ url: server.url })]);
  await staying.hold(key, watcher);
  server.freeze();
  // More than may wait: the rest is refused at once.
  const sent = Array.from({ length: 300 }, () => staying.notify("news", "x").catch((error: unknown) => error));
  expect(await sent.at(-1)).toMatchObject({ code: "store_unavailable" });
  await leaving.close();
  // No statement is answered within its bound, so the lock counts as lost.
  await expect.poll(() => told, { timeout }).toEqual(["disconnected"]);
  await Promise.all(sent);
  server.thaw();
  await expect.poll(() => told, { timeout }).toEqual(["disconnected", "back"]);
  await expect.poll(() => heldBy(db, key), { timeout }).toHaveLength(1);
  await expect.poll(() => heldBy(db, [processNamespace, leaving.processId]), { timeout }).toEqual([]);
  await staying.close();
});

test("notifications arrive in the order in which they were given, and no more after the listener has stopped", async () => {
  await using db = await testDatabase();
  const [a, b] = await Promise.all([Session.open({ url: db.url }), Session.open({ url: db.url })]);
  const heard: string[] = [];
  const stop = await b.listen("Some Channel", (payload) => void heard.push(payload));
  const numbers = Array.from({ length: 100 }, (_, number) => String(number));
  await Promise.all(numbers.map((number) => a.notify("Some Channel", number)));
  await expect.poll(() => heard, { timeout }).toEqual(numbers);
  stop();
  const still: string[] = [];
  await b.listen("other", (payload) => void still.push(payload));
  await a.notify("Some Channel", "late");
  await a.notify("other", "end");
  await expect.poll(() => still, { timeout }).toEqual(["end"]);
  expect(heard).toHaveLength(100);
  await Promise.all([a.close(), b.close()]);
});

test("a session that is closed while it connects again leaves no backend and tells nothing", async () => {
  await using db = await testDatabase();
  const { told, watcher } = record();
  const session = await Session.open({ url: db.url, watcher });
  const own: LockKey = [processNamespace, session.processId];
  await terminate(db, await heldBy(db, own));
  await session.close();
  await expect.poll(() => heldBy(db, own), { timeout }).toEqual([]);
  const backends = async () => {
    const { rows } = await db.query<{ count: bigint }>(
      "select count(*) as count from pg_stat_activity where application_name = 'lineshaft session' and datname = current_database()",
    );
    return rows[0]!.count;
  };
  await expect.poll(backends, { timeout }).toBe(0n);
  expect(told).not.toContain("back");
});
