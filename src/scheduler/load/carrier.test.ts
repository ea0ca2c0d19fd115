// The carrier inside one process passes the suite of carriers, at once and late.
import { describe, expect, it } from "vitest";
import { carrierRequirements, MemoryCarrier, type CarrierScene } from "./testing.ts";

/** Three gateways over one carrier, on a clock that only moves while messages are waited for. */
function sceneOf(delayMs: number): CarrierScene {
  const carrier = new MemoryCarrier(delayMs);
  let nowMs = 0;
  return {
    gateways: ["a", "b", "c"].map((name) => ({ name, carrier })),
    endpoint: "e",
    now: () => nowMs,
    settle: (holds) => {
      for (let steps = 0; steps < 10 && !holds(); steps++) carrier.deliver((nowMs += 100));
      return Promise.resolve(holds());
    },
    close: () => Promise.resolve(),
  };
}

describe.each([0, 250])("a carrier in memory, %i ms late", (delayMs) => {
  it.each(carrierRequirements)("$name", async ({ check }) => {
    expect(await check(sceneOf(delayMs))).toBeUndefined();
  });
});
