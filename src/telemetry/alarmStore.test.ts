// Alarms over a restart, and while the database is away.
import { expect, test } from "vitest";
import type { Database } from "../store/index.ts";
import { testDatabase } from "../store/testing.ts";
import { Alarms } from "./alarms.ts";
import { AlarmStore } from "./alarmStore.ts";
import { limits } from "./limits.ts";
import { createLogger } from "./logger.ts";
import { createMetrics } from "./metrics.ts";

/** What one process has of alarms. */
function processOn(db: Database) {
  const log = createLogger({ level: "silent" });
  const alarms = new Alarms({ log, metrics: createMetrics({ process: false }) });
  return { alarms, store: new AlarmStore({ alarms, db, log }) };
}
const refused = { code: "record_refused", message: "A record was refused: see the log.", subject: "calls" };

test("an alarm is there after a restart with its count, and gone after it was dismissed", async () => {
  await using db = await testDatabase();
  const first = processOn(db);
  for (let time = 0; time < 3; time++) first.alarms.raise(refused);
  await first.store.close();

  const second = processOn(db);
  await second.store.restore();
  expect(second.alarms.list()).toMatchObject([{ ...refused, count: 3, organisation: undefined }]);
  second.alarms.raise(refused);
  expect(second.alarms.list()).toMatchObject([{ count: 4 }]);
  second.alarms.dismiss(second.alarms.list()[0]!.id, "org_any");
  await second.store.flushed();

  const third = processOn(db);
  await third.store.restore();
  expect(third.alarms.list()).toEqual([]);
});

test("a condition that its raiser watches is not kept", async () => {
  await using db = await testDatabase();
  const first = processOn(db);
  first.alarms.raise({ code: "storage_full", message: "The disk is full: free some space.", clears: true });
  await first.store.close();
  const second = processOn(db);
  await second.store.restore();
  expect(second.alarms.list()).toEqual([]);
});

test("a database that is away delays the copy; what is unwritten stays bounded", async () => {
  await using db = await testDatabase();
  let away = true;
  const flaky = {
    query: (sql: string, values?: unknown[]) =>
      away ? Promise.reject(new Error("the database is away")) : db.query(sql, values),
  } as unknown as Database;
  const { alarms, store } = processOn(flaky);
  for (let number = 0; number < 5 * limits.alarmsKept; number++) alarms.raise({ ...refused, subject: `${number}` });
  await store.flushed();
  away = false;
  await store.close();
  const { rows } = await db.query<{ rows: bigint }>("select count(*) as rows from alarms");
  expect(rows[0]!.rows).toBe(BigInt(limits.alarmsKept));
});
