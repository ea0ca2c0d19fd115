import { expect, test } from "vitest";
import type { Database } from "../../store/index.ts";
import { testDatabase } from "../../store/testing.ts";
import { createLogger } from "../../telemetry/index.ts";
import type { EndedCall } from "./record.ts";
import { Recorder } from "./recorder.ts";

const ended = (id: string, more: Partial<EndedCall["call"]> = {}): EndedCall => ({
  attempts: [],
  call: {
    id,
    organisation: "org",
    project: "prj",
    endpoint: "chat",
    model: "m",
    stream: false,
    status: "completed",
    errorCode: undefined,
    finishReason: "stop",
    key: undefined,
    agent: undefined,
    run: undefined,
    program: undefined,
    promptTokens: 1,
    cachedTokens: 0,
    outputTokens: 1,
    priceNano: 0n,
    currency: "USD",
    startedAt: new Date(0),
    firstTokenMs: undefined,
    durationMs: 1,
    ...more,
  },
});

function recorder(db: Pick<Database, "query">) {
  const alarms: { code: string; subject?: string | undefined }[] = [];
  const logged: string[] = [];
  const log = createLogger({ level: "trace", destination: { write: (line) => void logged.push(line) } });
  return { records: new Recorder(db as Database, log, { raise: (alarm) => void alarms.push(alarm) }), alarms, logged };
}

test("a record that the database refuses is put aside alone, with an alarm that names the reason", async () => {
  await using db = await testDatabase();
  let statements = 0;
  const counted = {
    query: ((sql: string, values?: unknown[]) => {
      statements++;
      return db.query(sql, values);
    }) as Database["query"],
  };
  const { records, alarms, logged } = recorder(counted);
  const bad = new Map([
    ["call_100", { model: "nul\u0000" }],
    ["call_333", { promptTokens: 1e300 }],
  ]);
  await Promise.all(
    Array.from({ length: 500 }, (_, place) => {
      const id = `call_${String(place).padStart(3, "0")}`;
      return records.add(ended(id, bad.get(id)));
    }),
  );
  const { rows } = await db.query<{ id: string }>("select id from calls");
  expect(rows).toHaveLength(498);
  expect(rows.map(({ id }) => id)).not.toContain("call_100");
  expect(alarms.map(({ code, subject }) => [code, subject])).toEqual([
    ["record_refused", "22P05"],
    ["record_refused", "22P02"],
  ]);
  expect(logged.some((line) => line.includes("call_100") && !line.includes("nul"))).toBe(true);
  // Halving: about two statements for each halving of 500, for each bad record.
  expect(statements).toBeLessThanOrEqual(1 + 2 * 2 * Math.ceil(Math.log2(500)));
  await records.flushed();
});

test("records wait while the database is away; readers are told at once instead of waiting with them", async () => {
  await using db = await testDatabase();
  let away = true;
  const { records } = recorder({
    query: ((sql: string, values?: unknown[]) =>
      away
        ? Promise.reject(Object.assign(new Error("refused"), { code: "ECONNREFUSED" }))
        : db.query(sql, values)) as Database["query"],
  });
  const written = records.add(ended("call_a"));
  await expect(records.flushed()).rejects.toMatchObject({ code: "ECONNREFUSED" });
  away = false;
  await written;
  await records.flushed();
  expect((await db.query("select id from calls")).rows).toEqual([{ id: "call_a" }]);
});
