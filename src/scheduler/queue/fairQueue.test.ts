import fc from "fast-check";
import { describe, expect, it, vi } from "vitest";
import type { Call } from "../types.ts";
import { FairQueue } from "./fairQueue.ts";
import { runs } from "../../../test/setup/runs.ts";

let ids = 0;
function call(tenant: string, tokens: number, more: Partial<Call> = {}): Call {
  return { id: `c${ids++}`, tenant, deployment: "d", promptTokens: tokens - 1, outputTokens: 1, prompt: [], ...more };
}
const nothing = (): number => 0;
const cost = (call: Call): number => call.promptTokens + call.outputTokens;

describe("fair queue", () => {
  const sizes = fc.array(fc.tuple(fc.integer({ min: 1, max: 900 }), fc.nat(3)), { minLength: 20, maxLength: 80 });
  const floods = fc.array(fc.record({ tokens: fc.integer({ min: 1, max: 900 }), burst: fc.nat(20) }), {
    maxLength: 60,
  });
  const hits = fc.array(fc.nat(900), { minLength: 1, maxLength: 50 });
  const quanta = fc.integer({ min: 1, max: 1000 });

  /** Serves a and b, both backlogged, `b` from `joins` served calls on, while c floods. Answers b's lead over a after each call. */
  function gapOf(
    a: [number, number][],
    b: [number, number][],
    flood: { tokens: number; burst: number }[],
    locality: number[],
    quantum: number,
    joins: number,
  ) {
    const queue = new FairQueue({ quantumTokens: quantum, maxCalls: 500, maxCallsPerTenant: 200 });
    const lead = { a: 0, b: 0, c: 0 };
    const leads = [0];
    let largest = 0;
    const enter = (tenant: string, list: [number, number][]): void => {
      for (const [tokens, program] of list) queue.push(call(tenant, tokens, { program: `p${program}` }), 0);
    };
    enter("a", a);
    for (let turn = 0; ; turn++) {
      if (turn === joins) enter("b", b);
      const both = turn >= joins;
      if (queue.waitingOf("a").calls === 0 || (both && queue.waitingOf("b").calls === 0)) return { leads, largest };
      const burst = flood[turn % Math.max(1, flood.length)];
      for (let i = 0; i < (burst?.burst ?? 0); i++) queue.push(call("c", burst!.tokens), turn);
      const taken = queue.take(() => locality[turn % locality.length]!, cost)!;
      largest = Math.max(largest, cost(taken.call));
      if (!both) continue;
      lead[taken.call.tenant as "a"] += cost(taken.call);
      leads.push(lead.b - lead.a);
    }
  }

  it("keeps two that are backlogged from one moment on within the quantum plus the largest call, whatever a third floods", () => {
    fc.assert(
      fc.property(sizes, sizes, floods, hits, quanta, (a, b, flood, locality, quantum) => {
        const { leads, largest } = gapOf(a, b, flood, locality, quantum, 0);
        for (const lead of leads) expect(Math.abs(lead)).toBeLessThanOrEqual(quantum + largest);
      }),
      { numRuns: runs(100) },
    );
  });

  it("keeps any two that are backlogged within twice the quantum plus the largest call, over any stretch of time", () => {
    fc.assert(
      fc.property(sizes, sizes, floods, hits, quanta, fc.nat(30), (a, b, flood, locality, quantum, joins) => {
        const { leads, largest } = gapOf(a, b, flood, locality, quantum, joins);
        expect(Math.max(...leads) - Math.min(...leads)).toBeLessThanOrEqual(2 * (quantum + largest));
      }),
      { numRuns: runs(100) },
    );
  });

  it("gives weighted tenants service in proportion", () => {
    const queue = new FairQueue({ quantumTokens: 100, weightOf: (tenant) => (tenant === "big" ? 3 : 1) });
    for (let i = 0; i < 400; i++) for (const tenant of ["big", "small"]) queue.push(call(tenant, 50), 0);
    const served = { big: 0, small: 0 };
    for (let i = 0; i < 200; i++) served[queue.take(nothing, cost)!.call.tenant as "big"] += 50;
    expect(served.big / served.small).toBeCloseTo(3, 0);
  });

  it("prefers what is cached, but only among those in credit", () => {
    const queue = new FairQueue({ quantumTokens: 100 });
    for (let i = 0; i < 20; i++) {
      queue.push(call("warm", 100), 0);
      queue.push(call("cold", 100), 0);
    }
    const order = Array.from(
      { length: 20 },
      () => queue.take((call) => (call.tenant === "warm" ? 90 : 0), cost)!.call.tenant,
    );
    expect(order.slice(0, 4)).toEqual(["warm", "cold", "warm", "cold"]);
    expect(order.filter((tenant) => tenant === "warm")).toHaveLength(10);
  });

  it("lets one program not starve its siblings", () => {
    const queue = new FairQueue({ quantumTokens: 100 });
    for (let i = 0; i < 50; i++) queue.push(call("t", 100, { program: "greedy" }), 0);
    queue.push(call("t", 100, { program: "small" }), 1);
    const programs = Array.from({ length: 4 }, () => queue.take(nothing, cost)!.call.program);
    expect(programs).toContain("small");
  });

  it("puts a tenant's higher priorities first, and leaves other tenants alone", () => {
    const queue = new FairQueue({ quantumTokens: 10 });
    queue.push(call("t", 10, { priority: 0, id: "later" }), 0);
    queue.push(call("t", 10, { priority: 5, id: "sooner" }), 0);
    queue.push(call("u", 10, { priority: -3, id: "other" }), 0);
    const order = [0, 1, 2].map(() => queue.take(nothing, cost)!.call.id);
    expect(order.indexOf("sooner")).toBeLessThan(order.indexOf("later"));
    expect(order.indexOf("other")).toBeLessThan(2);
  });

  it("orders one program's calls by deadline, then arrival", () => {
    const queue = new FairQueue();
    for (const [id, deadlineMs] of [
      ["x", undefined],
      ["y", 900],
      ["z", 500],
      ["w", undefined],
    ] as const) {
      queue.push(call("t", 10, { program: "p", id, deadlineMs }), 0);
    }
    expect([0, 1, 2, 3].map(() => queue.take(nothing, cost)!.call.id)).toEqual(["z", "y", "x", "w"]);
  });

  it("is bounded, and a full queue costs the one who fills it", () => {
    const queue = new FairQueue({ maxCalls: 10, maxCallsPerTenant: 10 });
    for (let i = 0; i < 10; i++) expect(queue.push(call("flood", 10), i).queued).toBe(true);
    expect(queue.push(call("flood", 10), 10).queued).toBe(false);
    const pushed = queue.push(call("guest", 10, { id: "guest" }), 11);
    expect(pushed).toMatchObject({ queued: true, dropped: { call: { tenant: "flood" }, sinceMs: 9 } });
    expect(queue.size).toBe(10);
    expect(queue.waitingOf("guest").calls).toBe(1);
  });

  it("takes out what cannot make its deadline any more", () => {
    const queue = new FairQueue();
    queue.push(call("t", 10, { id: "late", deadlineMs: 100 }), 0);
    queue.push(call("t", 10, { id: "fine", deadlineMs: 1000 }), 0);
    queue.push(call("t", 10, { id: "patient" }), 0);
    expect(queue.expire(500).map((late) => late.call.id)).toEqual(["late"]);
    queue.push(call("t", 10, { id: "slow", deadlineMs: 1000 }), 0, 450);
    expect(queue.expire(540)).toEqual([]);
    expect(queue.expire(560).map((late) => late.call.id)).toEqual(["slow"]);
    expect(queue.size).toBe(2);
  });

  it("finds a program that is paused by its name, of every priority, and looks at no other", () => {
    const queue = new FairQueue();
    for (let at = 0; at < 100; at++) queue.push(call("t", 10, { program: `p${at}` }), 0);
    queue.push(call("t", 10, { program: "p7", priority: 1 }), 0);
    // Programs are enumerated by the values of maps alone.
    const enumerated = vi.spyOn(Map.prototype, "values");
    queue.pause("t", "p7");
    queue.resume("t", "p7");
    queue.pause("t", "p7");
    const enumerations = enumerated.mock.calls.length;
    enumerated.mockRestore();
    expect(enumerations).toBe(0);
    const taken = Array.from({ length: 101 }, () => queue.take(nothing, cost)?.call.program);
    expect(new Set(taken)).not.toContain("p7");
    expect(queue.size).toBe(2);
  });

  it("holds back a paused program, also calls that come later, and lets it go on", () => {
    const queue = new FairQueue();
    queue.push(call("t", 10, { program: "p", id: "p1" }), 0);
    queue.pause("t", "p");
    queue.push(call("t", 10, { program: "p", id: "p2" }), 1);
    expect(queue.take(nothing, cost)).toBeUndefined();
    queue.push(call("t", 10, { id: "free" }), 2);
    expect(queue.take(nothing, cost)?.call.id).toBe("free");
    expect(queue.take(nothing, cost)).toBeUndefined();
    queue.resume("t", "p");
    expect([0, 1].map(() => queue.take(nothing, cost)!.call.id)).toEqual(["p1", "p2"]);
    expect(queue.size).toBe(0);
  });

  it("keeps its counts through any order of pushing, taking, withdrawing, pausing", () => {
    const step = fc.record({
      what: fc.constantFrom("push", "push", "take", "withdraw", "pause", "resume", "settle"),
      tenant: fc.constantFrom("a", "b"),
      program: fc.constantFrom("p", "q"),
      tokens: fc.integer({ min: 2, max: 500 }),
      priority: fc.nat(1),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 120 }), (steps) => {
        const queue = new FairQueue({ quantumTokens: 64, maxCalls: 30, maxCallsPerTenant: 20 });
        const inside = new Map<string, Call>();
        const held = new Set<string>();
        for (const { what, tenant, program, tokens, priority } of steps) {
          if (what === "push") {
            const next = call(tenant, tokens, { program, priority });
            const pushed = queue.push(next, 0);
            if (pushed.queued) inside.set(next.id, next);
            if (pushed.queued && pushed.dropped !== undefined) inside.delete(pushed.dropped.call.id);
          } else if (what === "take") {
            const runnable = [...inside.values()].some((call) => !held.has(`${call.tenant}${call.program}`));
            const taken = queue.take(nothing, cost);
            expect(taken !== undefined).toBe(runnable);
            if (taken !== undefined) inside.delete(taken.call.id);
          } else if (what === "withdraw") {
            const first = inside.keys().next().value;
            if (first !== undefined) queue.withdraw(first);
            if (first !== undefined) inside.delete(first);
          } else if (what === "settle") {
            queue.settle(call(tenant, 10, { program, priority }), tokens - 250);
          } else {
            held[what === "pause" ? "add" : "delete"](`${tenant}${program}`);
            queue[what as "pause"](tenant, program);
          }
          expect(queue.size).toBe(inside.size);
          expect(queue.waitingTokens).toBe([...inside.values()].reduce((sum, call) => sum + cost(call), 0));
        }
        for (const tenant of ["a", "b"]) for (const program of ["p", "q"]) queue.resume(tenant, program);
        while (inside.size > 0) inside.delete(queue.take(nothing, cost)!.call.id);
        expect(queue.size).toBe(0);
      }),
      { numRuns: runs(100) },
    );
  });

  it("in order of arrival serves first come, first served, whatever tenants, priorities, deadlines and pauses say", () => {
    const queue = new FairQueue({ order: "arrival", maxCalls: 5, maxCallsPerTenant: 1 });
    const calls = [
      call("a", 100, { program: "p" }),
      call("a", 100, { priority: 5 }),
      call("b", 900, { deadlineMs: 1 }),
      call("a", 100, { program: "p" }),
      call("c", 10),
    ];
    for (const each of calls) expect(queue.push(each, 0).queued).toBe(true);
    expect(queue.push(call("d", 1), 0).queued).toBe(false);
    queue.pause("a", "p");
    // A head that fits nowhere holds up what is behind it.
    expect(queue.take((waiting) => (waiting === calls[0] ? -1 : 0), cost)).toBeUndefined();
    expect(queue.withdraw(calls[3]!.id)?.call).toBe(calls[3]);
    const order = [];
    for (let taken = queue.take(nothing, cost); taken !== undefined; taken = queue.take(nothing, cost)) {
      order.push(taken.call);
      queue.settle(taken.call, -5);
    }
    expect(order).toEqual([calls[0], calls[1], calls[2], calls[4]]);
    expect([queue.size, queue.waitingTokens, queue.competing]).toEqual([0, 0, 0]);
  });
});

it("whatever happens, has deadlines while a call with one waits that may run, and a paused program's is none", () => {
  const does = fc.constantFrom("push", "push", "push timed", "pause", "resume", "withdraw", "take", "expire");
  const steps = fc.array(fc.tuple(does, fc.nat(1), fc.nat(2)), { maxLength: 60 });
  fc.assert(
    fc.property(steps, (each) => {
      const queue = new FairQueue();
      const paused = new Set<string>();
      let now = 0;
      for (const [what, t, p] of each) {
        const [tenant, program] = [`t${t}`, `p${p}`];
        const deadlineMs = what === "push timed" ? { deadlineMs: now + 5 } : {};
        if (what.startsWith("push")) queue.push(call(tenant, 10, { program, ...deadlineMs }), now);
        else if (what === "take") queue.take(nothing, cost);
        else if (what === "expire") queue.expire((now += 2));
        else if (what === "withdraw") queue.withdraw([...queue.all()][p]?.call.id ?? "none");
        else queue[what as "pause" | "resume"](tenant, program);
        if (what === "pause") paused.add(tenant + program);
        if (what === "resume") paused.delete(tenant + program);
        const may = [...queue.all()].some(
          ({ call }) => call.deadlineMs !== undefined && !paused.has(call.tenant + call.program),
        );
        expect(queue.hasDeadlines).toBe(may);
      }
    }),
    { numRuns: runs(300) },
  );
});
