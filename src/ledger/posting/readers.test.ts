// Readers that wait for a place to be posted: for how long, how many, and when they leave.
import { expect, test } from "vitest";
import { StoreUnavailableError } from "../../store/index.ts";
import { Readers } from "./readers.ts";

const place = { spool: "spl_1", number: 7 };

test("a reader waits for a bounded time, also where the database never says no", async () => {
  const readers = new Readers({ readMostMs: 20, readersMost: 10 });
  const patient = readers.waitPatiently(place);
  await expect(readers.wait(place, undefined)).rejects.toBeInstanceOf(StoreUnavailableError);
  await expect(readers.waitElsewhere(async () => false, undefined)).rejects.toBeInstanceOf(StoreUnavailableError);
  expect(readers.size).toBe(1);
  readers.answer(() => true);
  await patient;
});

test("so many wait at once, and the next one is refused at once", async () => {
  const readers = new Readers({ readMostMs: 60_000, readersMost: 2 });
  const waiting = [readers.wait(place, undefined), readers.wait(place, undefined)];
  await expect(readers.wait(place, undefined)).rejects.toThrow(/Too many/);
  readers.answer(({ number }) => number <= 7);
  await Promise.all(waiting);
  expect(readers.isEmpty).toBe(true);
});

test("one that has gone leaves at once, with its own reason", async () => {
  const readers = new Readers();
  const gone = new AbortController();
  const waiting = readers.wait(place, gone.signal);
  gone.abort(new Error("gone"));
  await expect(waiting).rejects.toThrow("gone");
  expect(readers.size).toBe(0);
  await expect(readers.wait(place, gone.signal)).rejects.toThrow("gone");
});
