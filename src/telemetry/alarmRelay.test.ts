// Alarms between two processes, over a real Postgres.
import { expect, test } from "vitest";
import { Session } from "../store/index.ts";
import { testDatabase } from "../store/testing.ts";
import { relayAlarms } from "./alarmRelay.ts";
import { Alarms } from "./alarms.ts";
import { limits } from "./limits.ts";
import { createLogger } from "./logger.ts";

const timeout = 60_000;
const log = createLogger({ level: "silent" });
const metrics = { alarmRaised() {}, alarmsReadBy() {} };

async function processOn(url: string) {
  const session = await Session.open({ url });
  const clock = { aheadMs: 0 };
  const alarms = new Alarms({ log, metrics, now: () => Date.now() + clock.aheadMs });
  const stop = await relayAlarms({ alarms, session, log });
  const close = async () => {
    stop();
    await session.close();
  };
  return { alarms, clock, close, codes: () => alarms.list().map(({ code }) => code) };
}

test("an alarm stands at every process while one of them says so, and is dismissed at all", async () => {
  await using db = await testDatabase();
  const [a, b] = await Promise.all([processOn(db.url), processOn(db.url)]);
  try {
    const silent = { code: "store_unavailable", message: "It does not answer.", clears: true };
    a.alarms.raise(silent);
    b.alarms.raise(silent);
    await expect.poll(() => [a.alarms.own().length, b.codes()], { timeout }).toEqual([1, ["store_unavailable"]]);
    a.alarms.clear(silent);
    // It stands still with the other process.
    await expect.poll(() => a.codes(), { timeout }).toEqual(["store_unavailable"]);
    b.alarms.clear(silent);
    await expect.poll(() => [a.codes(), b.codes()], { timeout }).toEqual([[], []]);

    a.alarms.raise({ code: "record_refused", message: "A record was refused.", organisation: "org" });
    await expect.poll(() => b.codes(), { timeout }).toEqual(["record_refused"]);
    expect(b.alarms.list("another")).toEqual([]);
    expect(b.alarms.dismiss(b.alarms.list()[0]!.id, "org")).toBeDefined();
    await expect.poll(() => a.codes(), { timeout }).toEqual([]);
  } finally {
    await Promise.all([a.close(), b.close()]);
  }
});

test("a process that comes later is told what stands, and conditions of one that has ended go", async () => {
  await using db = await testDatabase();
  const a = await processOn(db.url);
  a.alarms.raise({ code: "storage_full", message: "It is full.", clears: true });
  a.alarms.raise({ code: "record_refused", message: "A record was refused." });
  const b = await processOn(db.url);
  try {
    await expect.poll(() => b.codes().toSorted(), { timeout }).toEqual(["record_refused", "storage_full"]);
    await a.close();
    b.clock.aheadMs = limits.alarmBelievedMs;
    expect(b.codes()).toEqual(["record_refused"]);
  } finally {
    await b.close();
  }
});
