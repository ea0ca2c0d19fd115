// Changes of tables between processes, on a real Postgres.
import { expect, test, vi } from "vitest";
import { Changes } from "./changes.ts";
import { Session } from "./session.ts";
import { testDatabase } from "./testing.ts";

const timeout = 60_000;

test("a change of a table is read again; after a lost session so is everything, because changes were missed", async () => {
  await using db = await testDatabase();
  const session = await Session.open({ url: db.url });
  const changes = await Changes.open(session, () => {});
  const reads = { engines: 0, price_policies: 0 };
  changes.on("engines", async () => void reads.engines++);
  changes.on("price_policies", async () => void reads.price_policies++);
  await db.query("delete from engines");
  await expect.poll(() => reads, { timeout }).toEqual({ engines: 1, price_policies: 0 });
  await db.query(
    "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'lineshaft session' and datname = current_database()",
  );
  await expect.poll(() => reads, { timeout }).toEqual({ engines: 2, price_policies: 1 });
  changes.close();
  await session.close();
});

test("readings of one table never overlap, changes during one are read once after it, and a failure ends nothing", async () => {
  await using db = await testDatabase();
  const session = await Session.open({ url: db.url });
  const failures: string[] = [];
  const changes = await Changes.open(session, (table, error) => void failures.push(`${table}: ${error.message}`));
  let running = 0;
  let reads = 0;
  let most = 0;
  const gate = Promise.withResolvers<void>();
  changes.on("engines", async () => {
    most = Math.max(most, ++running);
    reads++;
    if (reads === 1) await gate.promise;
    running--;
    if (reads === 1) throw new Error("away");
  });
  await db.query("delete from engines");
  await expect.poll(() => reads, { timeout }).toBe(1);
  for (let count = 0; count < 5; count++) await db.query("delete from engines");
  const heard = Promise.withResolvers<void>();
  changes.on("price_policies", async () => heard.resolve());
  await db.query("delete from price_policies");
  await heard.promise;
  gate.resolve();
  await expect.poll(() => [reads, most, failures], { timeout }).toEqual([2, 1, ["engines: away"]]);
  changes.close();
  await session.close();
});

test("a table that this process has changed is read at once, also while an older state of it is being read", async () => {
  const changes = await Changes.open({ listen: () => Promise.resolve(() => {}) }, () => {});
  let stored = "old";
  let known = "";
  const gate = Promise.withResolvers<void>();
  changes.on("model_routes", async () => {
    const found = stored;
    if (found === "old") await gate.promise;
    known = found;
  });
  const older = changes.read("model_routes");
  stored = "new";
  const newer = changes.read("model_routes");
  gate.resolve();
  await newer;
  expect(known).toBe("new");
  await older;
  changes.on("engines", () => Promise.reject(new Error("away")));
  await changes.read("engines");
  changes.close();
});

test("a reading that failed is tried again without another change, with growing pauses, until it succeeds", async () => {
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
  let tell = (_table: string) => {};
  const listen = (_channel: string, heard: (table: string) => void) => {
    tell = heard;
    return Promise.resolve(() => {});
  };
  const failures: string[] = [];
  const changes = await Changes.open({ listen }, (_table, error) => void failures.push(error.message));
  let away = true;
  let reads = 0;
  changes.on("engines", async () => {
    reads++;
    if (away) throw new Error("away");
  });
  try {
    tell("engines");
    await vi.advanceTimersByTimeAsync(0);
    expect(reads).toBe(1);
    await vi.advanceTimersByTimeAsync(500);
    expect(reads).toBe(2);
    await vi.advanceTimersByTimeAsync(60_000);
    expect(reads).toBeGreaterThan(10);
    expect(reads).toBeLessThan(20);
    // A pause that is long keeps no change waiting: it is read at once.
    away = false;
    const before = reads;
    tell("engines");
    await vi.advanceTimersByTimeAsync(0);
    expect(reads).toBe(before + 1);
    await vi.advanceTimersByTimeAsync(60_000);
    expect([reads, failures.length]).toEqual([before + 1, before]);
    // After `close` nothing is read again.
    away = true;
    tell("engines");
    await vi.advanceTimersByTimeAsync(0);
    changes.close();
    await vi.advanceTimersByTimeAsync(60_000);
    expect(reads).toBe(before + 2);
  } finally {
    changes.close();
    vi.useRealTimers();
  }
});
