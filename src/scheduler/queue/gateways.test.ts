// Fairness over the queues of several gateways: tenants that wait at different gateways are served alike, although each gateway's queue knows
// only its own calls and hears late of the others.
import { describe, expect, it } from "vitest";
import { batchEvery, peerSilentMs, toldTenantsMax, yieldSlackMs } from "../limits.ts";
import { MemoryCarrier } from "../load/testing.ts";
import { exampleCall, exampleSpec } from "../placement/conformance.ts";
import { seededRng } from "../rng.ts";
import { Scheduler } from "../scheduler.ts";
import type { SchedulerAction } from "../actions.ts";
import type { LoadMessage, TenantNews } from "../news.ts";
import { Elsewhere } from "./elsewhere.ts";
import "../../../test/setup/costly.ts";

interface Client {
  tenant: string;
  /** Gateways that its calls come to, in turns. */
  gateways: number[];
  promptTokens: number;
  fromMs?: number;
  /** Calls that it keeps waiting or running. */
  alive?: number;
  batch?: boolean;
  /** Latest useful time of a first token after a call was sent, ms. */
  deadlineMs?: number;
}

const slots = 4;
const msPerToken = 0.05;
const stepMs = 5;

/** Engines that run `slots` calls at once, in order of arrival. Answers tokens given by tenant until each 100 ms, and the engines' busy share. */
function serve(options: { gateways: number; endpoints: number; ageMs: number; untilMs: number; clients: Client[] }) {
  const carrier = new MemoryCarrier(options.ageMs);
  const schedulers = Array.from({ length: options.gateways }, (_, at) => {
    const made = new Scheduler({ rng: seededRng(at + 1), gateway: `g${at}`, policy: "least-delay", shareLoad: true });
    for (let e = 0; e < options.endpoints; e++) {
      const spec = exampleSpec(`e${e}`, {
        kvCapacityTokens: 1e6,
        totalKvCapacityTokens: 1e6,
        slots,
        maxInFlight: 2 * slots,
      });
      made.apply({ at: 0, type: "endpoint_joined", spec });
    }
    return made;
  });
  interface Running {
    id: string;
    client: number;
    gateway: number;
    promptTokens: number;
    endMs: number;
  }
  const engines = Array.from({ length: options.endpoints }, (): Running[] => []);
  const calls = new Map<string, { client: number; gateway: number; promptTokens: number }>();
  const alive = options.clients.map(() => 0);
  /** Tokens of the calls that were placed. */
  const given = new Map(options.clients.map(({ tenant }) => [tenant, 0]));
  const history: Record<string, number>[] = [];
  let made = 0;
  let busy = 0;
  let now = 0;
  const carryOut = (actions: readonly SchedulerAction[]): void => {
    for (const action of actions) {
      if (action.type === "share_load") carrier.publish(action.message);
      if (action.type === "refuse") alive[calls.get(action.call)!.client]!--;
      if (action.type !== "place") continue;
      const { client, gateway, promptTokens } = calls.get(action.call)!;
      const { tenant } = options.clients[client]!;
      given.set(tenant, given.get(tenant)! + promptTokens);
      engines[Number(action.decision.chosen.endpoint.slice(1))]!.push({
        id: action.call,
        client,
        gateway,
        promptTokens,
        endMs: Infinity,
      });
    }
  };
  const hear = (message: Parameters<MemoryCarrier["publish"]>[0]): void =>
    schedulers.forEach((scheduler, at) => {
      if (message.gateway !== `g${at}`) carryOut(scheduler.apply({ at: now, type: "peer_load", message }));
    });
  carrier.subscribe(hear);
  for (; now < options.untilMs; now += stepMs) {
    carrier.deliver(now);
    options.clients.forEach((each, client) => {
      const { tenant, gateways, promptTokens, fromMs = 0, alive: most = 60, batch } = each;
      const deadlineMs = each.deadlineMs === undefined ? undefined : now + each.deadlineMs;
      const due = now >= fromMs ? most - alive[client]! : 0;
      alive[client]! += due;
      for (let i = 0; i < due; i++) {
        const id = `c${made++}`;
        const gateway = gateways[made % gateways.length]!;
        calls.set(id, { client, gateway, promptTokens });
        const call = exampleCall({
          id,
          tenant,
          promptTokens,
          outputTokens: 1,
          batch,
          ...(deadlineMs && { deadlineMs }),
        });
        carryOut(schedulers[gateway]!.decide(call, now));
      }
    });
    for (const engine of engines) {
      for (const ended of engine.slice(0, slots).filter(({ endMs }) => endMs <= now)) {
        engine.splice(engine.indexOf(ended), 1);
        alive[ended.client]!--;
        const usage = { promptTokens: ended.promptTokens, cachedTokens: 0, outputTokens: 1 };
        carryOut(
          schedulers[ended.gateway]!.apply({ at: now, type: "call_ended", call: ended.id, reason: "done", usage }),
        );
      }
      for (const running of engine.slice(0, slots)) {
        busy++;
        if (running.endMs === Infinity) running.endMs = now + running.promptTokens * msPerToken * slots;
      }
    }
    schedulers.forEach((scheduler, at) => {
      if (now % 100 === (at * 25) % 100) carryOut(scheduler.tick(now));
    });
    if (now % 100 === 0) history.push(Object.fromEntries(given));
  }
  return { history, busy: (busy * stepMs) / (now * slots * options.endpoints) };
}

/** Largest difference of what `a` and `b` were given since `fromMs`, when both wait. */
function largestLead(history: readonly Record<string, number>[], fromMs: number): number {
  const from = history[fromMs / 100]!;
  const leads = history.slice(fromMs / 100).map(({ a, b }) => Math.abs(a! - from["a"]! - (b! - from["b"]!)));
  return Math.max(...leads);
}

const bothFromMs = 3000;
const scenes: Record<string, Client[]> = {
  "at one gateway each": [
    { tenant: "a", gateways: [0], promptTokens: 2000 },
    { tenant: "b", gateways: [1], promptTokens: 2000 },
  ],
  "one later than the other, which has filled every place": [
    { tenant: "a", gateways: [0], promptTokens: 2000, fromMs: bothFromMs },
    { tenant: "b", gateways: [1], promptTokens: 2000 },
  ],
  "one at a gateway, the other at three with smaller calls": [
    { tenant: "a", gateways: [0], promptTokens: 2000, fromMs: bothFromMs },
    { tenant: "b", gateways: [1, 2, 3], promptTokens: 500, alive: 200 },
  ],
  "one at a gateway, the other at all": [
    { tenant: "a", gateways: [0], promptTokens: 2000 },
    { tenant: "b", gateways: [0, 1, 2, 3], promptTokens: 2000, alive: 200 },
  ],
};

describe("two tenants that wait", () => {
  const cases = [50, 500].flatMap((ageMs) => Object.keys(scenes).map((name) => [name, ageMs] as const));
  const endpoints = 4;
  const load = { gateways: 4, endpoints, untilMs: 20_000 };

  it.each(cases)(
    "%s, word %i ms old: are given alike within the bound, and engines lose at most 3 %",
    (name, ageMs) => {
      const clients = scenes[name]!;
      const { history, busy } = serve({ ...load, ageMs, clients });
      // A quantum, a call, and what the fleet serves while a lead is not held against a tenant, while word that another waits is on its way,
      // and while word of the places that are left to it is. Messages leave every 100 ms.
      const fleetPerMs = endpoints / msPerToken;
      const bound = 8192 + 2000 + fleetPerMs * (yieldSlackMs + 2 * (ageMs + 100));
      expect(largestLead(history, bothFromMs)).toBeLessThan(bound);
      const alike = serve({ ...load, ageMs, clients: clients.map((client) => ({ ...client, tenant: "b" })) });
      expect(busy).toBeGreaterThan(alike.busy - 0.03);
    },
  );

  it("are given alike by one gateway, as before", () => {
    const clients = scenes["at one gateway each"]!.map((client) => ({ ...client, gateways: [0] }));
    const { history } = serve({ ...load, gateways: 1, ageMs: 0, clients });
    expect(largestLead(history, bothFromMs)).toBeLessThanOrEqual(8192 + 2000);
  });
});

describe("batch work that waits at other gateways than people", () => {
  const people = { tenant: "a", gateways: [0], promptTokens: 2000 };
  const work = { tenant: "b", promptTokens: 2000, batch: true };
  const load = { endpoints: 2, untilMs: 30_000 };
  /** Batch work's share of the calls that were placed after the first seconds. */
  const shareOf = (history: readonly Record<string, number>[]): number => {
    const [from, to] = [history[bothFromMs / 100]!, history.at(-1)!];
    const [a, b] = [to["a"]! - from["a"]!, to["b"]! - from["b"]!];
    return b / (a + b);
  };

  it("gets one place in eight at one gateway", () => {
    const { history } = serve({ ...load, gateways: 1, ageMs: 0, clients: [people, { ...work, gateways: [0] }] });
    expect(shareOf(history)).toBeCloseTo(1 / batchEvery, 2);
  });

  it.each([
    [[1], 50],
    [[1], 500],
    [[1, 2], 100],
    [[0, 1], 100],
  ])("at %o, word %i ms old: gets one place in eight, as at one gateway", (gateways, ageMs) => {
    const several = serve({ ...load, gateways: 3, ageMs, clients: [people, { ...work, gateways }] });
    expect(shareOf(several.history)).toBeGreaterThan(0.75 / batchEvery);
    expect(shareOf(several.history)).toBeLessThan(1.25 / batchEvery);
    // Engines lose no more than to old words among calls of one class.
    const alike = { ...work, gateways, tenant: "a", batch: false };
    expect(several.busy).toBeGreaterThan(serve({ ...load, gateways: 3, ageMs, clients: [people, alike] }).busy - 0.02);
  });

  it("is owed nothing for people's calls while it did not wait", () => {
    const queue = new Scheduler({ rng: seededRng(1), gateway: "a", shareLoad: true }).queueOf("d");
    const took = { batch: false, calls: 100, tenants: [] };
    queue.hear("g1", [took], 0);
    queue.push(exampleCall({ batch: true }), 1);
    expect(queue.batchIsDue).toBe(false);
    queue.hear("g1", [took], 2);
    expect(queue.batchIsDue).toBe(true);
  });
});

describe("calls with a deadline that wait at another gateway than calls without one", () => {
  const timed = { tenant: "a", gateways: [0], promptTokens: 2000, alive: 20, deadlineMs: 3000 };
  const others = { tenant: "b", gateways: [1], promptTokens: 2000 };

  // A place that is left to the others is empty until they know of it: calls take 400 ms here, so that old word costs much.
  it.each([
    [50, 0.9],
    [500, 0.8],
  ])("word %i ms old: get their share, since neither fills the engines' lines", (ageMs, busyLeast) => {
    const { history, busy } = serve({ gateways: 2, endpoints: 2, ageMs, untilMs: 20_000, clients: [timed, others] });
    const [from, to] = [history[bothFromMs / 100]!, history.at(-1)!];
    const [a, b] = [to["a"]! - from["a"]!, to["b"]! - from["b"]!];
    expect(a / (a + b)).toBeGreaterThan(0.4);
    expect(busy).toBeGreaterThan(busyLeast);
  });
});

describe("what is known of other gateways' queues", () => {
  const waits = (tenant: string, served = 0): TenantNews => ({ tenant, served, waits: true });
  const known = (): Elsewhere => new Elsewhere(1000, () => 1);

  it("makes a tenant yield that was served beyond its credit and the slack, and none that was not", () => {
    const elsewhere = known();
    elsewhere.hear("g1", [waits("a")], false, ["b", "c"], 0);
    elsewhere.served("b", 1600);
    expect([elsewhere.yields("b", 500), elsewhere.yields("b", 700), elsewhere.yields("c", 500)]).toEqual([
      true,
      false,
      false,
    ]);
    // Service elsewhere pays it back.
    elsewhere.hear("g1", [waits("a", 1600)], false, ["b", "c"], 100);
    elsewhere.served("c", 1600);
    expect(elsewhere.yields("b", 500)).toBe(false);
  });

  it("is forgotten when nothing waits there any more, or the gateway has fallen silent", () => {
    const elsewhere = known();
    for (const silent of [false, true]) {
      elsewhere.hear("g1", [waits("a")], false, ["b"], 0);
      elsewhere.served("b", 5000);
      expect(elsewhere.yields("b", 0)).toBe(true);
      if (silent) elsewhere.news(["b"], peerSilentMs + 1);
      else elsewhere.hear("g1", [], false, ["b"], 100);
      expect([elsewhere.waits, elsewhere.yields("b", 0)]).toEqual([false, false]);
    }
  });

  it("has calls with a deadline among it while word of them is fresh", () => {
    const elsewhere = known();
    const timed = [true, false, true].map((timed) => {
      elsewhere.hear("g1", [waits("a")], timed, [], 0);
      return elsewhere.timed;
    });
    elsewhere.hear("g2", [waits("b")], false, [], 1);
    const fresh = elsewhere.timed;
    elsewhere.news([], peerSilentMs + 1);
    expect([...timed, fresh, elsewhere.timed]).toEqual([true, false, true, true, false]);
  });

  it("does not hold against a tenant what it was served while no other waited", () => {
    const elsewhere = known();
    elsewhere.hear("g1", [], false, [], 0);
    elsewhere.served("b", 100_000);
    expect(elsewhere.news([], 50)).toEqual([]);
    elsewhere.hear("g1", [waits("a")], false, ["b"], 100);
    expect(elsewhere.yields("b", 0)).toBe(false);
  });

  it("tells tenants that wait and what they and others were served, of many the ones that wait", () => {
    const elsewhere = known();
    elsewhere.hear("g1", [waits("a")], false, [], 0);
    elsewhere.served("b", 30);
    elsewhere.served("c", 20);
    elsewhere.served("c", -5);
    expect(elsewhere.news(["b"], 10)).toEqual([waits("b", 30), { tenant: "c", served: 15, waits: false }]);
    expect(elsewhere.news(["b"], 20)).toEqual([waits("b")]);
    const many = Array.from({ length: 100 }, (_, i) => `t${i}`);
    elsewhere.served("z", 1e6);
    expect(elsewhere.news(many, 30)).toEqual(many.slice(0, toldTenantsMax).map((tenant) => waits(tenant)));
  });

  it("counts for calls of the same class alone, and for endpoints that both have", () => {
    const make = (gateway: string, endpoint: string) => {
      const made = new Scheduler({ rng: seededRng(1), gateway, shareLoad: true });
      const spec = exampleSpec(endpoint, { slots: 1, maxInFlight: 2 });
      made.apply({ at: 0, type: "endpoint_joined", spec });
      return made;
    };
    const b = make("b", "e");
    const waiting = (endpoint: string, batch: boolean): LoadMessage => ({
      gateway: "a",
      sequence: 0,
      kind: "total",
      atMs: 0,
      deltas: [],
      queues: [{ endpoints: [endpoint], batch, calls: 0, tenants: [waits("a")] }],
    });
    const queue = b.queueOf("d").of(exampleCall());
    b.apply({ at: 0, type: "peer_load", message: waiting("another", false) });
    expect(queue.waitsElsewhere).toBe(false);
    b.apply({ at: 0, type: "peer_load", message: waiting("e", true) });
    expect([queue.waitsElsewhere, b.queueOf("d").of(exampleCall({ batch: true })).waitsElsewhere]).toEqual([
      false,
      true,
    ]);
    b.apply({ at: 0, type: "peer_load", message: waiting("e", false) });
    expect(queue.waitsElsewhere).toBe(true);
  });

  it("is told every tick while calls wait, and once when they wait no more", () => {
    const gateway = new Scheduler({ rng: seededRng(1), gateway: "a", shareLoad: true });
    gateway.apply({ at: 0, type: "endpoint_joined", spec: exampleSpec("e", { slots: 1, maxInFlight: 1 }) });
    const told = (at: number) =>
      gateway.tick(at).flatMap((action) => (action.type === "share_load" ? [action.message.queues] : []));
    gateway.decide(exampleCall({ id: "1" }), 0);
    gateway.decide(exampleCall({ id: "2", tenant: "later" }), 0);
    const waiting = [{ endpoints: ["e"], batch: false, calls: 0, tenants: [waits("later")] }];
    expect([told(100), told(200)]).toEqual([[waiting], [waiting]]);
    gateway.apply({ at: 250, type: "call_withdrawn", call: "2" });
    expect([told(300), told(400)]).toEqual([[[]], []]);
  });
});
