// What is done when Restate's storage is damaged.
import { expect, onTestFinished, test, vi } from "vitest";
import { createLogger } from "../../telemetry/index.ts";
import { limits } from "../limits.ts";
import { RestateError } from "./client.ts";
import { DurableRuns, type DurableOptions } from "./durable.ts";

/** The answer of a Restate whose partitions are ahead of its log. */
const damage = new RestateError(
  'Restate refused POST /query (500): {"message":"Datafusion error: External error: expecting a partition store"}',
  500,
);

function runsOn(replaceStorage?: DurableOptions["replaceStorage"]): DurableRuns {
  const address = { socket: "/nowhere/restate.sock" };
  const options: DurableOptions = { ingress: address, admin: address, embedded: true, identityKeys: [] };
  if (replaceStorage) options.replaceStorage = replaceStorage;
  const parts = { backlog: {}, advance: async () => {}, log: createLogger({ level: "silent" }) };
  const durable = new DurableRuns(options, parts as never);
  onTestFinished(() => durable.stop());
  return durable;
}

test("an embedded Restate that stays damaged gets empty storage, once it had time to start", async () => {
  const replaced = vi.fn(async () => {});
  const durable = runsOn(replaced);
  let nowMs = Date.now();
  const clock = vi.spyOn(Date, "now").mockImplementation(() => nowMs);
  onTestFinished(() => clock.mockRestore());
  expect(await durable.heal(damage)).toBe(true);
  nowMs += limits.restateDamagedMs - 1;
  expect(await durable.heal(damage)).toBe(true);
  expect(replaced).not.toHaveBeenCalled();
  nowMs += 1;
  expect(await durable.heal(damage)).toBe(true);
  expect(replaced).toHaveBeenCalledTimes(1);
  // The time begins anew.
  expect(await durable.heal(damage)).toBe(true);
  expect(replaced).toHaveBeenCalledTimes(1);
});

test("another error, and the storage of a Restate that is the operator's own, are left alone", async () => {
  const replaced = vi.fn(async () => {});
  expect(await runsOn(replaced).heal(new RestateError("Restate refused POST /query (500): busy", 500))).toBe(false);
  expect(await runsOn().heal(damage)).toBe(false);
  expect(replaced).not.toHaveBeenCalled();
});
