import { describe, expect, it } from "vitest";
import { batchEvery } from "../limits.ts";
import { exampleCall, exampleSpec } from "../placement/conformance.ts";
import { seededRng } from "../rng.ts";
import { Scheduler } from "../scheduler.ts";
import type { SchedulerAction } from "../actions.ts";

const placed = (actions: SchedulerAction[]) =>
  actions.flatMap((action) => (action.type === "place" ? [action.call] : []));

function scheduler(slots: number): Scheduler {
  const made = new Scheduler({ rng: seededRng(1) });
  made.apply({ at: 0, type: "endpoint_joined", spec: exampleSpec("a", { slots, maxInFlight: 2 * slots }) });
  return made;
}

describe("classes of service", () => {
  it("a person's call is placed at once, however much batch work waits", () => {
    const made = scheduler(8);
    for (let i = 0; i < 2_000; i++) made.decide(exampleCall({ id: `b${i}`, batch: true, tenant: "busy" }), i);
    // Seven run; the eighth slot is kept free, and none of them waits inside the engine.
    expect(made.snapshot()).toMatchObject({ placed: 7, queued: 1_993 });
    for (const tenant of ["busy", "other"])
      expect(placed(made.decide(exampleCall({ id: tenant, tenant }), 3_000))).toEqual([tenant]);
  });

  it("what leaves makes room for people first, and for batch work every so often", () => {
    const made = scheduler(1);
    expect(placed(made.decide(exampleCall({ id: "first" }), 0))).toEqual(["first"]);
    made.decide(exampleCall({ id: "second" }), 0);
    for (let i = 0; i < 40; i++) {
      made.decide(exampleCall({ id: `b${i}`, batch: true }), 1);
      made.decide(exampleCall({ id: `i${i}` }), 1);
    }
    const order: string[] = [];
    const under = ["first", "second"];
    for (let at = 2; under.length > 0; at++) {
      const next = placed(made.apply({ at, type: "call_ended", call: under.shift()!, reason: "done" }));
      order.push(...next);
      under.push(...next);
    }
    expect(order).toHaveLength(80);
    // While both wait batch work is not starved, and it is not more than its share.
    const early = order.slice(0, 32).filter((call) => call.startsWith("b")).length;
    expect(early).toBeGreaterThan(0);
    expect(early).toBeLessThanOrEqual(32 / batchEvery);
  });

  it("batch work alone runs at full pace but for the reserve", () => {
    const made = scheduler(4);
    for (let i = 0; i < 10; i++) made.decide(exampleCall({ id: `b${i}`, batch: true }), i);
    expect(made.snapshot()).toMatchObject({ placed: 4, queued: 6 });
  });
});
