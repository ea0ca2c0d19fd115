import { afterEach, beforeEach, expect, test, vi } from "vitest";
import type { Database } from "../../store/index.ts";
import { KeyWatch } from "./keyWatch.ts";

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

/** A database in which these keys are revoked; it counts what it is asked. */
function database(revoked: Set<string>) {
  const asked: string[][] = [];
  const query = (_sql: string, [keys]: [string[]]) => {
    asked.push(keys);
    if (revoked.has("away")) return Promise.reject(new Error("away"));
    return Promise.resolve({ rows: keys.filter((key) => revoked.has(key)).map((key) => ({ key })), rowCount: 0 });
  };
  return { asked, db: { query } as unknown as Database };
}

test("five thousand watched keys are one question each half second; with none there is no question", async () => {
  const revoked = new Set<string>();
  const { asked, db } = database(revoked);
  const watch = new KeyWatch(db);
  await vi.advanceTimersByTimeAsync(5_000);
  expect(asked).toHaveLength(0);
  const ended: number[] = [];
  const stops = Array.from({ length: 5_000 }, (_, key) => watch.watch(`key_${key}`, () => void ended.push(key)));
  const again = watch.watch("key_7", () => void ended.push(-7));
  await vi.advanceTimersByTimeAsync(1_000);
  expect(asked.map((keys) => keys.length)).toEqual([5_000, 5_000]);
  revoked.add("key_7").add("key_4000");
  await vi.advanceTimersByTimeAsync(500);
  expect(ended).toEqual([7, -7, 4_000]);
  for (const stop of [...stops, again]) stop();
  asked.length = 0;
  await vi.advanceTimersByTimeAsync(5_000);
  expect(asked.length).toBeLessThanOrEqual(1);
});

test("a key that is revoked here is told at once; a database that is away is asked again", async () => {
  const revoked = new Set(["away"]);
  const { asked, db } = database(revoked);
  const watch = new KeyWatch(db);
  const ended: string[] = [];
  watch.watch("key_a", () => void ended.push("a"));
  watch.watch("key_b", () => void ended.push("b"));
  watch.revoked("key_a");
  expect(ended).toEqual(["a"]);
  await vi.advanceTimersByTimeAsync(500);
  expect(ended).toEqual(["a"]);
  revoked.delete("away");
  revoked.add("key_b");
  await vi.advanceTimersByTimeAsync(500);
  expect(ended).toEqual(["a", "b"]);
  expect(asked).toEqual([["key_b"], ["key_b"]]);
});
