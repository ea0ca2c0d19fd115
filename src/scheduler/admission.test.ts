// Fit: an endpoint whose KV cannot hold a prompt is passed over wherever endpoints are looked at, and a call is refused as too long only
// where no endpoint of its deployment could hold it. And deadlines: a call that has one waits where it can still be refused in time.
import { describe, expect, it } from "vitest";
import { exampleCall, exampleSpec } from "./placement/conformance.ts";
import { seededRng } from "./rng.ts";
import { Scheduler } from "./scheduler.ts";
import type { SchedulerAction } from "./actions.ts";
import type { EndpointSpec } from "./types.ts";

const small = (id: string, more: Partial<EndpointSpec> = {}) => exampleSpec(id, { kvCapacityTokens: 2_000, ...more });
const large = (id: string, more: Partial<EndpointSpec> = {}) => exampleSpec(id, { kvCapacityTokens: 50_000, ...more });

function fleet(specs: EndpointSpec[]): Scheduler {
  const made = new Scheduler({ rng: seededRng(1), policy: "round-robin" });
  for (const spec of specs) made.apply({ at: 0, type: "endpoint_joined", spec });
  return made;
}

const long = (id: string) => exampleCall({ id, promptTokens: 10_000, program: id });
const short = (id: string) => exampleCall({ id, promptTokens: 1_000, program: id });
const types = (actions: SchedulerAction[]) => actions.map((action) => action.type);
const placesOf = (actions: SchedulerAction[]) =>
  actions.flatMap((action) => (action.type === "place" ? [[action.call, action.decision.chosen.endpoint]] : []));

describe("prompts and the endpoints that can hold them", () => {
  it("go to large endpoints alone, however many small ones are idle", () => {
    const made = fleet([small("s1"), small("s2"), large("l")]);
    for (let i = 0; i < 4; i++) expect(placesOf(made.decide(long(`c${i}`), i))).toEqual([[`c${i}`, "l"]]);
  });

  it("are refused as too long where none could hold them, with the largest size that one could", () => {
    const made = fleet([small("s"), large("l")]);
    const [refusal] = made.decide(exampleCall({ promptTokens: 50_000 }), 0);
    expect(refusal).toMatchObject({ type: "refuse", code: "too_long", retryAfterMs: 0 });
    expect(refusal).toMatchObject({ message: "The prompt has 50000 tokens; 50000 fit." });
  });

  it("wait for a large endpoint that starts, though small ones are ready", () => {
    const made = fleet([small("s"), large("l")]);
    made.apply({ at: 1, type: "endpoint_health", endpoint: "l", health: "starting" });
    expect(types(made.decide(long("1"), 2))).toEqual(["queued"]);
    const actions = made.apply({ at: 3, type: "endpoint_health", endpoint: "l", health: "ready" });
    expect(placesOf(actions)).toEqual([["1", "l"]]);
  });

  it("are refused for want of an endpoint, to be sent again, while the large one is down", () => {
    const made = fleet([small("s"), large("l")]);
    made.apply({ at: 1, type: "endpoint_health", endpoint: "l", health: "down" });
    expect(made.decide(long("1"), 2)).toMatchObject([{ type: "refuse", code: "no_endpoint", retryAfterMs: 30_000 }]);
  });

  it("go to an ejected large endpoint, since a small one that serves is no choice for them", () => {
    const made = fleet([small("s"), large("l")]);
    for (let i = 0; i < 16; i++) {
      made.decide(long(`f${i}`), i);
      made.apply({ at: i, type: "endpoint_outcome", endpoint: "l", call: `f${i}`, outcome: "failure" });
      made.apply({ at: i, type: "call_ended", call: `f${i}`, reason: "failed" });
    }
    expect(made.endpoints.get("l")?.ejected).toBe(true);
    expect(placesOf(made.decide(long("1"), 20))).toEqual([["1", "l"]]);
    expect(placesOf(made.decide(short("2"), 21))).toEqual([["2", "s"]]);
  });

  it("are prefilled by endpoints that can hold them, or where they decode", () => {
    const decode = large("d", { role: "decode" });
    const prefillsAt = (specs: EndpointSpec[]) => {
      const [place] = fleet(specs).decide(long("1"), 0);
      return place?.type === "place" ? place.decision.prefill?.endpoint : undefined;
    };
    expect(prefillsAt([small("ps", { role: "prefill" }), large("pl", { role: "prefill" }), decode])).toBe("pl");
    expect(prefillsAt([small("ps", { role: "prefill" }), decode])).toBeUndefined();
  });
});

describe("a call that waits while the endpoint that could hold it is away", () => {
  it.each([10_000, 10_001])("is judged by the same rule of fit: beside %i tokens of KV", (kvCapacityTokens) => {
    const made = fleet([small("s", { kvCapacityTokens, maxInFlight: 1 }), large("l", { maxInFlight: 1 })]);
    made.decide(short("1"), 0);
    made.decide(short("2"), 0);
    expect(types(made.decide(long("waits"), 0))).toEqual(["queued"]);
    made.apply({ at: 1, type: "endpoint_health", endpoint: "l", health: "down" });
    const actions: SchedulerAction[] = [];
    for (let at = 1_000; at <= 70_000; at += 1_000) actions.push(...made.tick(at));
    // A prompt needs room for one token more, so that it fits beside 10,001.
    const codes = actions.flatMap((action) => (action.type === "refuse" ? [action.code] : []));
    expect(codes).toEqual(kvCapacityTokens > 10_000 ? [] : ["no_endpoint"]);
  });
});

describe("calls that wait for a full large endpoint", () => {
  it("keep no short call of their own tenant from a small endpoint that is free", () => {
    const made = fleet([small("s"), large("l", { maxInFlight: 1 })]);
    made.decide(long("running"), 0);
    for (let i = 0; i < 5; i++) expect(types(made.decide(long(`w${i}`), 1))).toEqual(["queued"]);
    const actions = made.decide(short("short"), 2);
    for (let at = 100; at <= 300; at += 100) actions.push(...made.tick(at));
    expect(placesOf(actions)).toEqual([["short", "s"]]);
  });
});

describe("a call with a deadline", () => {
  const two = { slots: 2, maxInFlight: 4 };
  const timed = (id: string) => exampleCall({ id, deadlineMs: 60_000 });
  const ends = (made: Scheduler, call: string, at: number) =>
    placesOf(made.apply({ at, type: "call_ended", call, reason: "done" }));

  it("waits for a free slot, not in the engine's line; and no other call enters the line while it waits", () => {
    const made = fleet([large("l", two)]);
    for (const id of ["1", "2", "3"]) expect(types(made.decide(short(id), 0))).toEqual(["place"]);
    expect(types(made.decide(timed("timed"), 1))).toEqual(["queued"]);
    expect(types(made.decide(short("4"), 2))).toEqual(["queued"]);
    // Two still run, one of which was in the line.
    expect(ends(made, "1", 3)).toEqual([]);
    // The slot may be either call's, by credit; with both placed the line is open again.
    const next = ends(made, "2", 4);
    expect(next).toHaveLength(next[0]![0] === "timed" ? 2 : 1);
    expect([...next, ...ends(made, "3", 5)].map(([call]) => call).toSorted()).toEqual(["4", "timed"]);
    expect(types(made.decide(short("5"), 6))).toEqual(["place"]);
  });

  it("is refused in time where no slot becomes free, and the line is open again", () => {
    const made = fleet([large("l", two)]);
    for (const id of ["1", "2"]) made.decide(short(id), 0);
    expect(types(made.decide(exampleCall({ id: "timed", deadlineMs: 30_000 }), 1))).toEqual(["queued"]);
    expect(types(made.decide(short("3"), 2))).toEqual(["queued"]);
    expect(made.tick(30_000)).toMatchObject([
      { type: "refuse", call: "timed", code: "deadline" },
      { type: "place", call: "3" },
    ]);
  });
});
