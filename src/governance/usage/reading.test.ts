import { expect, test } from "vitest";
import type { LimitTable } from "./definitions.ts";
import { Reading } from "./reading.ts";

/** A table whose readings are listed, and fail while it is away. */
function readingOf() {
  const table = { read: [] as number[], all: 0, isAway: false };
  const told: number[] = [];
  const fails = async () => {
    if (table.isAway) throw new Error("away");
  };
  const reading = new Reading(
    {
      read: async (number: number) => {
        await fails();
        table.read.push(number);
      },
      readAll: async () => {
        await fails();
        table.all++;
        return [9];
      },
    } as LimitTable,
    (number) => void told.push(number),
  );
  return { table, told, reading };
}

test("a limit that was heard of has been read when `heard` resolves, also after a tick with nothing to read", async () => {
  const { table, told, reading } = readingOf();
  await reading.read();
  await reading.heard(1);
  expect(told).toEqual([1]);
  void reading.read();
  await Promise.all([reading.heard(2), reading.heard(3)]);
  expect(told).toEqual([1, 2, 3]);
  expect(table).toMatchObject({ read: [1, 2, 3], all: 0 });
});

test("what could not be read is read at the next tick, and all of it where changes were missed", async () => {
  const { table, told, reading } = readingOf();
  table.isAway = true;
  await reading.heard(1);
  reading.missed();
  await reading.read();
  expect(told).toEqual([]);
  table.isAway = false;
  await reading.read();
  expect(told).toEqual([9, 1]);
});
