import { expect, test } from "vitest";
import { Batcher } from "./batcher.ts";

test("one bad item fails alone, found by halving", async () => {
  let commits = 0;
  const batcher = new Batcher<number, number>(async (items) => {
    commits++;
    if (items.includes(77)) throw Object.assign(new Error("out of range"), { code: "22003" });
    return items;
  }, 256);
  const settled = await Promise.allSettled(Array.from({ length: 256 }, (_, item) => batcher.add(item)));
  expect(settled.filter(({ status }) => status === "rejected")).toHaveLength(1);
  expect(settled[77]).toMatchObject({ status: "rejected", reason: { code: "22003" } });
  expect(commits).toBe(1 + 2 * Math.log2(256));
});

test("a database that is away is asked once for the whole batch", async () => {
  let commits = 0;
  const batcher = new Batcher<number, number>(() => {
    commits++;
    return Promise.reject(Object.assign(new Error("gone"), { code: "ECONNREFUSED" }));
  }, 256);
  const settled = await Promise.allSettled(Array.from({ length: 256 }, (_, item) => batcher.add(item)));
  expect(settled.every(({ status }) => status === "rejected")).toBe(true);
  expect(commits).toBe(1);
});
