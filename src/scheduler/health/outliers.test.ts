import { describe, expect, it } from "vitest";
import { ejectedMostMs, stalledMostMs, stallsEveryMs } from "../limits.ts";
import { exampleCall, exampleSpec } from "../placement/conformance.ts";
import { seededRng } from "../rng.ts";
import { Scheduler } from "../scheduler.ts";
import type { SchedulerAction } from "../actions.ts";
import type { EndpointFault, EndpointOutcome } from "../types.ts";

/** A scheduler whose calls are told how they went, on a clock of its own. */
class Stage {
  readonly scheduler = new Scheduler({ rng: seededRng(1), policy: "round-robin" });
  now = 0;
  #calls = 0;

  constructor(...endpoints: string[]) {
    for (const id of endpoints) this.scheduler.apply({ at: 0, type: "endpoint_joined", spec: exampleSpec(id) });
  }

  /** Each call has a sender of its own, unless one is named. */
  place(
    avoid: string[] = [],
    sender = `key_${this.#calls}`,
  ): { call: string; at: string | undefined; actions: SchedulerAction[] } {
    const call = `c${this.#calls++}`;
    const actions = this.scheduler.decide(exampleCall({ id: call, avoid, sender }), this.now);
    const place = actions.find((action) => action.type === "place");
    return { call, at: place?.decision.chosen.endpoint, actions };
  }

  end(call: string, endpoint: string, outcome: EndpointOutcome): SchedulerAction[] {
    const told = this.scheduler.apply({ at: this.now, type: "endpoint_outcome", endpoint, call, outcome });
    const reason = outcome === "served" ? "done" : "failed";
    return [...told, ...this.scheduler.apply({ at: this.now, type: "call_ended", call, reason })];
  }

  /** Calls one after the other; those at `bad` fail. Answers how many went there. */
  run(calls: number, bad: string, fault: EndpointFault): number {
    let there = 0;
    for (let i = 0; i < calls; i++) {
      const { call, at } = this.place();
      if (at === bad) there++;
      this.end(call, at!, at === bad ? fault : "served");
    }
    return there;
  }

  standing(endpoint: string): string {
    return this.scheduler.endpoints.get(endpoint)!.standing ?? "serving";
  }

  tick(ms: number): SchedulerAction[] {
    this.now += ms;
    return this.scheduler.tick(this.now);
  }
}

const standings = (actions: SchedulerAction[]) =>
  actions.flatMap((action) => (action.type === "endpoint_standing" ? [action] : []));

describe("outliers", () => {
  it.each([
    ["connect", 1],
    ["timeout", 2],
    ["failure", 3],
    ["garbage", 3],
    ["refused", 3],
  ] as const)("%s: calls are kept away after %i in a row", (fault, most) => {
    const at = new Stage("bad", "good");
    expect(at.run(80, "bad", fault)).toBe(most);
    expect(at.standing("bad")).toBe("ejected");
  });

  it("timeouts of one sender alone keep its own calls away, and for longer each time; others' calls still go there", () => {
    const at = new Stage("bad", "good");
    const there = (sender: string) => {
      const places = [at.place([], sender), at.place([], sender)];
      for (const { call } of places) at.scheduler.apply({ at: at.now, type: "call_ended", call, reason: "cancelled" });
      return places.some((one) => one.at === "bad");
    };
    for (const awayMs of [10_000, 20_000, 40_000, 60_000, 60_000]) {
      // Calls that were under way together are one sign.
      const calls = [at.place([], "slow"), at.place([], "slow"), at.place([], "slow"), at.place([], "slow")];
      at.now += 1;
      for (const { call, at: where } of calls) {
        if (where === "bad") at.end(call, where, "timeout");
        else at.scheduler.apply({ at: at.now, type: "call_ended", call, reason: "cancelled" });
      }
      expect([there("slow"), there("other"), at.standing("bad")]).toEqual([false, true, "serving"]);
      at.tick(awayMs - 1);
      expect(there("slow")).toBe(false);
      at.tick(1);
      expect(there("slow")).toBe(true);
    }
  });

  it("timeouts of two senders with an answer between them eject nothing", () => {
    const at = new Stage("bad", "good");
    for (let round = 0; round < 20; round++) {
      const calls = [at.place([], `key_${round}`), at.place([], `key_${round}`)];
      const call = calls.find((one) => one.at === "bad")!;
      at.end(call.call, "bad", "timeout");
      at.now += 1;
      const well = [at.place([], "other"), at.place([], "other")].find((one) => one.at === "bad")!;
      at.end(well.call, "bad", "served");
      at.now += 1;
    }
    expect(at.standing("bad")).toBe("serving");
  });

  it("one that fails every second call is ejected too, once enough of them were seen", () => {
    const at = new Stage("bad", "good");
    let there = 0;
    for (let i = 0; i < 80; i++) {
      const { call, at: where } = at.place();
      const fails = where === "bad" && there++ % 2 === 0;
      at.end(call, where!, fails ? "failure" : "served");
    }
    expect(there).toBeLessThanOrEqual(9);
  });

  it("after its time one call tries it; an answer brings it back, a fault keeps it away for twice as long, up to a bound", () => {
    const at = new Stage("bad", "good");
    const times: number[] = [];
    at.run(4, "bad", "timeout");
    for (let round = 0; round < 6; round++) {
      const before = at.now;
      while (at.standing("bad") === "ejected") at.tick(100);
      times.push(Math.round((at.now - before) / 1000));
      const calls = [at.place(), at.place(), at.place(), at.place()];
      const trials = calls.filter((one) => one.at === "bad");
      expect(trials).toHaveLength(1);
      for (const { call, at: where } of calls) at.end(call, where!, where === "bad" ? "timeout" : "served");
    }
    expect(times).toEqual([10, 20, 40, 60, 60, 60]);
    expect(60_000).toBe(ejectedMostMs);
    while (at.standing("bad") === "ejected") at.tick(100);
    const trial = [at.place(), at.place()].find((one) => one.at === "bad")!;
    const told = at.scheduler.apply({
      at: at.now,
      type: "endpoint_outcome",
      endpoint: "bad",
      call: trial.call,
      outcome: "alive",
    });
    expect(standings(told)).toMatchObject([{ endpoint: "bad", standing: "serving" }]);
    expect(at.run(10, "bad", "failure")).toBeGreaterThan(1);
  });

  it("calls that were sent before an ejection neither lengthen nor end it", () => {
    const at = new Stage("bad", "good");
    const old = Array.from({ length: 6 }, () => at.place()).filter((one) => one.at === "bad");
    at.now += 10;
    expect(at.end(old[2]!.call, "bad", "timeout")).toEqual([]);
    expect(standings(at.end(old[0]!.call, "bad", "timeout"))).toMatchObject([{ standing: "ejected", forMs: 10_000 }]);
    expect(standings(at.end(old[1]!.call, "bad", "served"))).toEqual([]);
    at.tick(10_000);
    expect(at.standing("bad")).toBe("trial");
  });

  it("a trial that says nothing of the endpoint leaves it to the next call", () => {
    const at = new Stage("bad", "good");
    at.run(2, "bad", "connect");
    at.tick(1_000);
    const first = [at.place(), at.place()].find((one) => one.at === "bad")!;
    expect([at.place(), at.place()].map((one) => one.at)).toEqual(["good", "good"]);
    at.scheduler.apply({ at: at.now, type: "call_ended", call: first.call, reason: "cancelled" });
    expect([at.place(), at.place()].map((one) => one.at)).toContain("bad");
  });

  it("where all are ejected all are tried; the first that answers is the one again", () => {
    const at = new Stage("one", "two");
    for (const { call, at: where } of [at.place(), at.place(), at.place(), at.place()]) at.end(call, where!, "timeout");
    expect([at.standing("one"), at.standing("two")]).toEqual(["ejected", "ejected"]);
    const calls = [at.place(), at.place()];
    expect(calls.map((one) => one.at).toSorted()).toEqual(["one", "two"]);
    at.end(calls.find((one) => one.at === "two")!.call, "two", "served");
    expect([at.place(), at.place()].map((one) => one.at)).toEqual(["two", "two"]);
    // A call that has failed at the only one that serves may try what is ejected.
    expect(at.place(["two"]).at).toBe("one");
  });

  it("an endpoint that is replaced begins anew", () => {
    const at = new Stage("bad", "good");
    at.run(4, "bad", "timeout");
    at.scheduler.apply({ at: at.now, type: "endpoint_joined", spec: exampleSpec("bad") });
    expect(at.standing("bad")).toBe("serving");
  });

  it("calls wait for endpoints that start, and are refused when none has come back in time", () => {
    const at = new Stage("one");
    at.scheduler.apply({ at: 0, type: "endpoint_health", endpoint: "one", health: "starting" });
    expect(at.place().actions).toMatchObject([{ type: "queued" }]);
    at.tick(1_000);
    const back = at.scheduler.apply({ at: at.now, type: "endpoint_health", endpoint: "one", health: "ready" });
    expect(back).toMatchObject([{ type: "place", call: "c0" }]);
    at.scheduler.apply({ at: at.now, type: "endpoint_health", endpoint: "one", health: "starting" });
    at.place();
    at.tick(stallsEveryMs);
    expect(at.tick(stalledMostMs - 1)).toEqual([]);
    // Waiting calls are looked at once a second.
    expect(at.tick(stallsEveryMs)).toMatchObject([{ type: "refuse", call: "c1", code: "no_endpoint" }]);
    expect(at.scheduler.snapshot().queued).toBe(0);
  });

  it("a call that no ready endpoint may answer is refused in time, and frees its program's calls behind it", () => {
    const at = new Stage("failed", "starts");
    at.scheduler.apply({ at: 0, type: "endpoint_health", endpoint: "starts", health: "starting" });
    // It failed at the one that is ready, and waits for the other, which is then removed.
    const retried = exampleCall({ id: "retried", program: "p", avoid: ["failed"] });
    expect(at.scheduler.decide(retried, at.now)).toMatchObject([{ type: "queued" }]);
    at.scheduler.decide(exampleCall({ id: "behind", program: "p" }), at.now);
    at.scheduler.apply({ at: at.now, type: "endpoint_left", endpoint: "starts" });
    at.tick(stallsEveryMs);
    expect(at.tick(stalledMostMs - 1)).toEqual([]);
    expect(at.tick(stallsEveryMs)).toMatchObject([
      { type: "refuse", call: "retried", code: "no_endpoint" },
      { type: "place", call: "behind" },
    ]);
    expect(at.scheduler.snapshot().queued).toBe(0);
  });

  it("a call that is too long for every endpoint that is left is refused in time", () => {
    const at = new Stage("large");
    const small = { ...exampleSpec("small"), kvCapacityTokens: 10 };
    at.scheduler.apply({ at: 0, type: "endpoint_joined", spec: small });
    at.scheduler.apply({ at: 0, type: "endpoint_health", endpoint: "small", health: "starting" });
    at.scheduler.apply({ at: 0, type: "endpoint_health", endpoint: "large", health: "starting" });
    expect(at.place().actions).toMatchObject([{ type: "queued" }]);
    at.scheduler.apply({ at: at.now, type: "endpoint_left", endpoint: "large" });
    at.scheduler.apply({ at: at.now, type: "endpoint_health", endpoint: "small", health: "ready" });
    at.tick(100);
    expect(at.tick(stalledMostMs)).toMatchObject([{ type: "refuse", call: "c0", code: "no_endpoint" }]);
  });
});
