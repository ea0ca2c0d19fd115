import { setImmediate as turn } from "node:timers/promises";
import { expect, test } from "vitest";
import { createLogger } from "../telemetry/index.ts";
import { childStopMs, forceMs, settleGraceMs, settleMs, stopMs, Undo } from "./undo.ts";

test("settling, then ending children, then force: together less than what is promised", () => {
  expect(settleGraceMs).toBeLessThan(settleMs);
  expect(settleMs + childStopMs).toBeLessThan(forceMs);
  expect(forceMs).toBeLessThan(stopMs);
});

test("parts that hang share one time, parts that fail are said, and those below them are undone all the same", async () => {
  const logged: string[] = [];
  const log = createLogger({ level: "warn", destination: { write: (line) => void logged.push(line) } });
  let nowMs = 0;
  const sleeps: { untilMs: number; wake: () => void }[] = [];
  const sleep = (ms: number) =>
    new Promise<void>((resolve) => void sleeps.push({ untilMs: nowMs + ms, wake: resolve }));
  const stack = new AsyncDisposableStack();
  const undone: string[] = [];
  stack.defer(() => void undone.push("children"));
  const undo = new Undo(stack, log, { now: () => nowMs, sleep });
  undo.add("database", () => new Promise(() => {}));
  undo.add("ledger", () => Promise.reject(new Error("no answer")));
  undo.add("calls", () => new Promise(() => {}));
  const stopped = stack.disposeAsync();
  await turn();
  expect(sleeps.at(-1)!.untilMs).toBe(settleMs);
  nowMs = settleMs;
  sleeps.at(-1)!.wake();
  await turn();
  // The last part gets no time of its own.
  expect(sleeps.at(-1)!.untilMs).toBe(settleMs);
  for (const { wake } of sleeps) wake();
  await stopped;
  expect(undone).toEqual(["children"]);
  expect(logged.map((line) => JSON.parse(line).what)).toEqual(["calls", "ledger", "database"]);
});
