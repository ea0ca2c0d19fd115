import { describe, expect, it } from "vitest";
import { exampleCall, exampleSpec } from "./placement/conformance.ts";
import { HashChain } from "./prefix/chain.ts";
import { tokenSpace } from "./prefix/hash.ts";
import { seededRng } from "./rng.ts";
import { Scheduler, type SchedulerOptions } from "./scheduler.ts";
import type { SchedulerAction } from "./actions.ts";
import type { CallTimings, PdEvent } from "./events.ts";
import type { EndpointSpec, PromptBlocks } from "./types.ts";

const space = tokenSpace("m", 16);

function scheduler(endpoints: EndpointSpec[], options: Partial<SchedulerOptions> = {}): Scheduler {
  const made = new Scheduler({ rng: seededRng(1), ...options });
  for (const spec of endpoints) made.apply({ at: 0, type: "endpoint_joined", spec });
  return made;
}

function promptOf(seed: number, tokens: number): PromptBlocks {
  return new HashChain(space, "t").update(Uint32Array.from({ length: tokens }, (_, at) => seed * 31 + at));
}

function placedAt(actions: SchedulerAction[]): string | undefined {
  const place = actions.find((action) => action.type === "place");
  return place?.decision.chosen.endpoint;
}

describe("scheduler", () => {
  it("sends a turn where the last one went, before any event has confirmed it", () => {
    const made = scheduler(["a", "b", "c", "d"].map((id) => exampleSpec(id)));
    const first = placedAt(made.decide(exampleCall({ id: "1", prompt: [promptOf(1, 1000)] }), 0));
    made.apply({ at: 100, type: "call_ended", call: "1", reason: "done" });
    const second = made.decide(exampleCall({ id: "2", prompt: [promptOf(1, 1400)], promptTokens: 1400 }), 200);
    expect(placedAt(second)).toBe(first);
    expect(second[0]).toMatchObject({
      decision: { chosen: { matchedTokens: 992, expectedTokens: 992, uncachedTokens: 408 } },
    });
  });

  it("queues when every endpoint is full, and places when one is free again", () => {
    const made = scheduler([exampleSpec("a", { maxInFlight: 1 })]);
    expect(placedAt(made.decide(exampleCall({ id: "1" }), 0))).toBe("a");
    expect(made.decide(exampleCall({ id: "2" }), 10)).toMatchObject([{ type: "queued", call: "2", position: 1 }]);
    const actions = made.apply({ at: 50, type: "call_ended", call: "1", reason: "done" });
    expect(actions).toMatchObject([{ type: "place", call: "2", decision: { queuedMs: 40 } }]);
  });

  it("leaves no load behind, however calls end", () => {
    const made = scheduler([exampleSpec("a"), exampleSpec("b")]);
    for (let i = 0; i < 20; i++) made.decide(exampleCall({ id: `c${i}` }), i);
    for (let i = 0; i < 20; i++) {
      if (i % 3 === 0) made.apply({ at: 30, type: "call_prefilled", call: `c${i}` });
      made.apply({ at: 32, type: "call_ended", call: `c${i}`, reason: i % 2 === 0 ? "done" : "failed" });
      made.apply({ at: 33, type: "call_ended", call: `c${i}`, reason: "done" });
    }
    for (const { load } of made.snapshot().endpoints) {
      expect({ ...load }).toMatchObject({ prefillTokens: 0, kvTokens: 0, inFlight: 0, prefilling: 0 });
    }
    expect(made.snapshot()).toMatchObject({ placed: 0, openHandles: 0, queued: 0 });
  });

  it("closes by the janitor what was never ended", () => {
    const made = scheduler([exampleSpec("a")]);
    made.decide(exampleCall({ id: "lost" }), 0);
    made.tick(60_000);
    expect(made.snapshot()).toMatchObject({ placed: 1, openHandles: 1 });
    made.tick(31 * 60_000);
    expect(made.snapshot()).toMatchObject({ placed: 0, openHandles: 0 });
  });

  it("refuses honestly: no endpoint, too long, too late", () => {
    const made = scheduler([exampleSpec("a", { maxInFlight: 1 })]);
    const refused = (actions: SchedulerAction[]) => actions.filter((action) => action.type === "refuse");
    expect(refused(made.decide(exampleCall({ deployment: "none" }), 0))).toMatchObject([{ code: "no_endpoint" }]);
    expect(refused(made.decide(exampleCall({ promptTokens: 200_000 }), 0))).toMatchObject([{ code: "too_long" }]);
    // 1,000 tokens at 10,000/s take 101 ms.
    expect(refused(made.decide(exampleCall({ deadlineMs: 80 }), 0))).toMatchObject([
      { code: "deadline", retryAfterMs: 21 },
    ]);
    expect(placedAt(made.decide(exampleCall({ id: "now", deadlineMs: 120 }), 0))).toBe("a");
    made.decide(exampleCall({ id: "waits" }), 0);
    const late = refused(made.decide(exampleCall({ id: "behind", deadlineMs: 120 }), 0));
    expect(late).toMatchObject([{ code: "deadline" }]);
  });

  it("refuses a waiting call at the moment when its deadline cannot be met any more", () => {
    const made = scheduler([exampleSpec("a", { maxInFlight: 1 })]);
    made.decide(exampleCall({ id: "1" }), 0);
    expect(made.decide(exampleCall({ id: "2", deadlineMs: 1000 }), 0)).toMatchObject([{ type: "queued" }]);
    expect(made.tick(500)).toEqual([]);
    expect(made.tick(950)).toMatchObject([{ type: "refuse", call: "2", code: "deadline" }]);
  });

  it("moves calls on when their endpoint leaves or is told to drain", () => {
    const made = scheduler([exampleSpec("a"), exampleSpec("b")]);
    made.apply({ at: 0, type: "endpoint_health", endpoint: "a", health: "draining" });
    for (let i = 0; i < 5; i++) expect(placedAt(made.decide(exampleCall({ id: `c${i}` }), i))).toBe("b");
    made.apply({ at: 9, type: "endpoint_left", endpoint: "b" });
    expect(made.snapshot()).toMatchObject({ placed: 0, openHandles: 0 });
    expect(made.decide(exampleCall({ id: "x" }), 10)).toMatchObject([{ type: "refuse", code: "no_endpoint" }]);
  });

  it("knows a call once: asking twice is an error, ending one that waits takes it out of the queue", () => {
    const made = scheduler([exampleSpec("a", { maxInFlight: 1 })]);
    made.decide(exampleCall({ id: "1" }), 0);
    made.decide(exampleCall({ id: "2" }), 0);
    for (const id of ["1", "2"]) expect(() => made.decide(exampleCall({ id }), 1)).toThrow(RangeError);
    made.apply({ at: 2, type: "call_ended", call: "2", reason: "cancelled" });
    expect(made.snapshot()).toMatchObject({ queued: 0, placed: 1 });
  });

  it("learns what its endpoints can do, and goes where it is sooner", () => {
    const spec = exampleSpec("a");
    const made = scheduler([spec, exampleSpec("b")]);
    const taken = { a: 0, b: 0 };
    for (let i = 0; i < 200; i++) {
      const endpoint = placedAt(made.decide(exampleCall({ id: `c${i}` }), i))! as "a" | "b";
      if (i >= 100) taken[endpoint]++;
      const timings = { prefillMs: endpoint === "a" ? 1000 : 100, decodeMs: 1000 };
      made.apply({
        at: i,
        type: "call_ended",
        call: `c${i}`,
        reason: "done",
        usage: { promptTokens: 1000, cachedTokens: 0, outputTokens: 50 },
        timings,
      });
    }
    expect(taken.b).toBeGreaterThan(95);
    expect(made.endpoints.get("b")!.spec.speed.prefillTokensPerSecond).toBeCloseTo(10_000, -3);
    expect(spec.speed.prefillTokensPerSecond).toBe(10_000);
  });

  it("waits long for a first token until a prefill was measured: an output does not show how fast prompts are computed", () => {
    const made = scheduler([exampleSpec("a")]);
    const mostMs = (id: string, at: number): number => {
      const [action] = made.decide(exampleCall({ id }), at);
      return action?.type === "place" ? action.decision.firstTokenMostMs : 0;
    };
    const end = (id: string, at: number, timings: CallTimings) =>
      made.apply({
        at,
        type: "call_ended",
        call: id,
        reason: "done",
        usage: { promptTokens: 1000, cachedTokens: 0, outputTokens: 50 },
        timings,
      });
    const unmeasured = mostMs("1", 0);
    end("1", 2000, { decodeMs: 1000 });
    expect(mostMs("2", 3000)).toBe(unmeasured);
    end("2", 5000, { prefillMs: 100, decodeMs: 1000 });
    expect(mostMs("3", 6000)).toBeLessThan(unmeasured / 4);
  });

  it("learns nothing from the idle time after a call whose end was never reported", () => {
    const made = scheduler([exampleSpec("a")]);
    const serve = (id: string, at: number) => {
      made.decide(exampleCall({ id }), at);
      made.apply({ at: at + 101, type: "call_prefilled", call: id });
      const usage = { promptTokens: 1000, cachedTokens: 0, outputTokens: 5 };
      made.apply({ at: at + 200, type: "call_ended", call: id, reason: "done", usage, timings: { prefillMs: 101 } });
    };
    made.decide(exampleCall({ id: "lost" }), 0);
    made.tick(3_600_000);
    for (let i = 0; i < 60; i++) serve(`c${i}`, 3_700_000 + i * 60_000);
    expect(made.endpoints.get("a")!.spec.speed.prefillTokensPerSecond).toBeCloseTo(10_000, -3);
  });

  it("is deterministic: one seed, one list of actions", () => {
    const run = (): SchedulerAction[] => {
      const made = scheduler(["a", "b", "c"].map((id) => exampleSpec(id, { maxInFlight: 3 })));
      const rng = seededRng(3);
      const actions: SchedulerAction[] = [];
      for (let i = 0; i < 300; i++) {
        const tenant = `t${Math.floor(rng() * 3)}`;
        actions.push(
          ...made.decide(exampleCall({ id: `c${i}`, tenant, prompt: [promptOf(Math.floor(rng() * 5), 320)] }), i * 10),
        );
        if (i % 2 === 0)
          actions.push(
            ...made.apply({ at: i * 10, type: "call_ended", call: `c${Math.floor(i * rng())}`, reason: "done" }),
          );
        actions.push(...made.tick(i * 10 + 5));
      }
      return actions;
    };
    expect(JSON.stringify(run())).toBe(JSON.stringify(run()));
  });

  it("counts how far predicted and reported cached tokens are apart", () => {
    const made = scheduler([exampleSpec("a")]);
    made.decide(exampleCall({ id: "1", prompt: [promptOf(1, 1000)] }), 0);
    made.apply({
      at: 1,
      type: "call_ended",
      call: "1",
      reason: "done",
      usage: { promptTokens: 1000, cachedTokens: 0, outputTokens: 5 },
    });
    made.decide(exampleCall({ id: "2", prompt: [promptOf(1, 1000)] }), 2);
    made.apply({
      at: 3,
      type: "call_ended",
      call: "2",
      reason: "done",
      usage: { promptTokens: 1000, cachedTokens: 900, outputTokens: 5 },
    });
    expect(made.snapshot().truth).toEqual({ calls: 2, predictedTokens: 992, reportedTokens: 900, gapTokens: 92 });
  });

  it("splits a long cold prompt from its decode, inside the super-node, and bills neither leg's load twice", () => {
    const made = scheduler([
      exampleSpec("p1", { role: "prefill", topology: { superNode: "far" } }),
      exampleSpec("p2", { role: "prefill", topology: { superNode: "near" } }),
      exampleSpec("d1", { role: "decode", topology: { superNode: "near" } }),
    ]);
    const actions = made.decide(exampleCall({ id: "1", promptTokens: 10_000, prompt: [promptOf(1, 10_000)] }), 0);
    expect(actions[0]).toMatchObject({ decision: { chosen: { endpoint: "d1" }, prefill: { endpoint: "p2" } } });
    const load = (id: string) => made.endpoints.get(id)!.load;
    expect([load("p2").prefillTokens, load("d1").prefillTokens]).toEqual([10_000, 0]);
    const types = (actions: SchedulerAction[]) => actions.map((action) => action.type);
    expect(types(actions)).toEqual(["place", "pd_prefill"]);
    const tell = (event: PdEvent) => types(made.apply({ at: 5, type: "pd", call: "1", event }));
    expect(tell({ type: "prefill_done", cachedTokens: 64, computedTokens: 9936 })).toEqual(["pd_decode"]);
    // Computed: it keeps no other prompt waiting, but its KV stays until it has been pulled.
    expect(load("p2")).toMatchObject({ prefillTokens: 0, prefilling: 0, inFlight: 1, kvTokens: 10_000 });
    expect(tell({ type: "decode_accepted" })).toEqual([]);
    expect(tell({ type: "pulled", tokens: 9984 })).toEqual(["pd_release"]);
    expect([load("p2").inFlight, load("d1").inFlight]).toEqual([0, 1]);
    const usage = { promptTokens: 10_000, cachedTokens: 9984, outputTokens: 9 };
    made.apply({ at: 9, type: "call_ended", call: "1", reason: "done", usage });
    expect(made.billed("1", usage).cachedTokens).toBe(64);
    expect(made.snapshot()).toMatchObject({ openHandles: 0, splits: 0 });
  });

  it("computes a short rest where it decodes, when it is allowed to", () => {
    const turn = (decodeLocalTokens: number) => {
      const endpoints = [exampleSpec("p", { role: "prefill" }), exampleSpec("d", { role: "decode" })];
      const made = scheduler(endpoints, { pd: { decodeLocalTokens } });
      made.decide(exampleCall({ id: "1", promptTokens: 1000, prompt: [promptOf(1, 1000)] }), 0);
      made.apply({ at: 1, type: "call_ended", call: "1", reason: "done" });
      // 992 of 1,064 tokens are cached at the decoder: 72 are left.
      return made.decide(exampleCall({ id: "2", promptTokens: 1064, prompt: [promptOf(1, 1064)] }), 2);
    };
    const types = (actions: SchedulerAction[]) => actions.map((action) => action.type);
    expect(types(turn(71))).toEqual(["place", "pd_prefill"]);
    expect(types(turn(72))).toEqual(["place"]);
  });

  it("computes at the decode endpoint when the prefill side is lost, and counts it there", () => {
    const made = scheduler([exampleSpec("p", { role: "prefill" }), exampleSpec("d", { role: "decode" })]);
    made.decide(exampleCall({ id: "1", promptTokens: 10_000 }), 0);
    const actions = made.apply({ at: 5, type: "endpoint_left", endpoint: "p" });
    expect(actions).toMatchObject([{ type: "pd_recompute", endpoint: "d", reason: "prefill_failed" }]);
    expect(made.endpoints.get("d")!.load).toMatchObject({ prefillTokens: 10_000, inFlight: 1, prefilling: 1 });
    made.apply({ at: 9, type: "call_ended", call: "1", reason: "done" });
    expect(made.snapshot()).toMatchObject({ openHandles: 0, splits: 0 });
  });

  it("tells both legs when the client has gone", () => {
    const made = scheduler([exampleSpec("p", { role: "prefill" }), exampleSpec("d", { role: "decode" })]);
    made.decide(exampleCall({ id: "1", promptTokens: 10_000 }), 0);
    made.apply({
      at: 1,
      type: "pd",
      call: "1",
      event: { type: "prefill_done", cachedTokens: 0, computedTokens: 10_000 },
    });
    const actions = made.apply({ at: 2, type: "call_ended", call: "1", reason: "cancelled" });
    expect(actions).toMatchObject([
      { type: "pd_abort", leg: "prefill" },
      { type: "pd_abort", leg: "decode" },
    ]);
    expect(made.snapshot()).toMatchObject({ openHandles: 0, splits: 0 });
  });
});
