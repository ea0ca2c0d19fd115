import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { exampleCall, exampleSpec } from "../placement/conformance.ts";
import { seededRng } from "../rng.ts";
import { Scheduler } from "../scheduler.ts";
import { LoadView } from "./loadView.ts";
import { MemoryCarrier } from "./testing.ts";

const zero = { prefillTokens: 0, kvTokens: 0, inFlight: 0, prefilling: 0 };

describe("load handles", () => {
  it("count while they are open and leave nothing, however they are closed", () => {
    const view = new LoadView("a");
    const kept = view.open("e", 0, 100, 500, 0);
    {
      using scoped = view.open("e", 0, 40, 60, 0);
      expect(scoped.isOpen).toBe(true);
      expect(view.of("e", 0)).toMatchObject({ prefillTokens: 140, kvTokens: 560, inFlight: 2, prefilling: 2 });
    }
    kept.prefilled(1);
    kept.prefilled(2);
    expect(view.of("e", 0)).toMatchObject({ prefillTokens: 0, kvTokens: 500, inFlight: 1, prefilling: 0 });
    kept.close();
    kept.close();
    kept.prefillsHere(900, 4);
    expect(view.of("e", 0)).toMatchObject(zero);
  });

  it("are closed on a throw", () => {
    const view = new LoadView("a");
    expect(() => {
      using _handle = view.open("e", 0, 1, 1, 0);
      throw new Error("engine gone");
    }).toThrow();
    expect(view.of("e", 0)).toMatchObject(zero);
  });

  it("are closed by the janitor when they were not touched, by the time that is passed in", () => {
    const view = new LoadView("a");
    view.open("e", 0, 10, 10, 0);
    const busy = view.open("e", 0, 20, 20, 0);
    busy.prefilled(900);
    expect(view.janitor(1000, 500)).toBe(1);
    expect(view.of("e", 0)).toMatchObject({ inFlight: 1, kvTokens: 20 });
  });
});

describe("peers", () => {
  it("agree on the sum after every message has arrived, in whatever order each one works", () => {
    const step = fc.record({
      who: fc.nat(2),
      endpoint: fc.constantFrom("e", "f"),
      tokens: fc.integer({ min: 1, max: 99 }),
      close: fc.boolean(),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 80 }), (steps) => {
        const views = ["a", "b", "c"].map((name) => new LoadView(name));
        const open: ReturnType<LoadView["open"]>[][] = [[], [], []];
        steps.forEach(({ who, endpoint, tokens, close }, now) => {
          if (close) open[who]!.pop()?.close();
          else open[who]!.push(views[who]!.open(endpoint, 0, tokens, tokens * 2, now));
          const message = views[who]!.message(now);
          if (message !== undefined) for (const view of views) view.receive(message, now);
        });
        for (const endpoint of ["e", "f"]) {
          const sum = open.flat().filter((handle) => handle.endpoint === endpoint).length;
          for (const view of views) expect(view.of(endpoint, 0).inFlight).toBe(sum);
        }
        open.flat().forEach((handle) => handle.close());
        views.forEach((view) => {
          const message = view.message(99);
          if (message !== undefined) for (const other of views) other.receive(message, 99);
        });
        for (const view of views) expect([view.of("e", 0), view.of("f", 0)]).toMatchObject([zero, zero]);
      }),
    );
  });

  it("heal after a lost message: deltas wait for the next total", () => {
    const [a, b] = [new LoadView("a"), new LoadView("b")];
    b.receive(a.message(0, true)!, 0);
    const lost = a.open("e", 0, 0, 100, 1);
    a.message(1);
    lost.close();
    a.open("e", 0, 0, 30, 2);
    b.receive(a.message(2)!, 2);
    // Without the opening, the closing would leave -70.
    expect(b.of("e", 0).kvTokens).toBe(0);
    for (let now = 3; now < 30; now++) b.receive(a.message(now, true)!, now);
    expect(b.of("e", 0)).toMatchObject({ inFlight: 1, kvTokens: 30 });
  });

  it("keep their load on an endpoint that leaves and comes back", () => {
    const [a, b] = [new LoadView("a"), new LoadView("b")];
    const handle = a.open("e", 0, 0, 100, 0);
    b.receive(a.message(0)!, 0);
    b.leave("e", 0);
    expect(b.of("e", 0).kvTokens).toBe(100);
    handle.close();
    b.receive(a.message(1)!, 1);
    expect(b.of("e", 0)).toMatchObject(zero);
    b.leave("e", 0);
    b.forgetPeer("a");
    expect(b.of("e", 0)).toMatchObject(zero);
  });

  it("are forgotten with their load when they fall silent, restart, or leave", () => {
    const [a, b] = [new LoadView("a"), new LoadView("b")];
    a.open("e", 0, 0, 100, 0);
    b.receive(a.message(0)!, 0);
    expect(b.of("e", 0).kvTokens).toBe(100);
    const restarted = new LoadView("a");
    restarted.open("e", 0, 0, 7, 1);
    b.receive(restarted.message(1)!, 1);
    expect(b.of("e", 0).kvTokens).toBe(7);
    b.janitor(60_000);
    expect(b.of("e", 0)).toMatchObject(zero);
    expect(b.peerCount).toBe(0);
  });
});

describe("what peers place", () => {
  it("is counted with its prefill, also when it has ended before word of it came", () => {
    const [a, b] = [new LoadView("a"), new LoadView("b")];
    a.receive(b.message(0, true)!, 0);
    b.open("e", 0, 700, 900, 10).close();
    const call = b.open("e", 0, 300, 400, 20);
    a.receive(b.message(100)!, 150);
    expect(a.of("e", 0)).toMatchObject({ peersPlaced: 2, peersPlacedTokens: 1000, inFlight: 1, prefillTokens: 300 });
    call.close();
    a.receive(b.message(200)!, 250);
    expect(a.of("e", 0)).toMatchObject({ peersPlaced: 2, peersPlacedTokens: 1000, ...zero });
  });

  it("is known to the age of their latest message, and no older than a tick and its way", () => {
    const [a, b, c] = [new LoadView("a"), new LoadView("b"), new LoadView("c")];
    expect(a.peersAgeMs(0)).toBe(0);
    a.receive(b.message(100, true)!, 150);
    expect([150, 180, 1000].map((now) => a.peersAgeMs(now))).toEqual([50, 80, 150]);
    a.receive(c.message(1000, true)!, 1010);
    expect(a.peersAgeMs(1010)).toBe((150 + 10) / 2);
  });

  it("counts beside own calls as theirs", () => {
    const [a, b] = [new LoadView("a"), new LoadView("b")];
    a.open("e", 0, 1, 1, 0);
    const call = b.open("e", 0, 1, 1, 0);
    b.open("f", 0, 1, 1, 0);
    a.receive(b.message(0)!, 0);
    expect(a.of("e", 0)).toMatchObject({ inFlight: 2, peersInFlight: 1, peersPrefill: 1 });
    // An endpoint that is asked for after word of it has come.
    expect(a.of("f", 0)).toMatchObject({ inFlight: 1, peersInFlight: 1 });
    call.close();
    a.receive(b.message(100)!, 100);
    expect(a.of("e", 0)).toMatchObject({ inFlight: 1, peersInFlight: 0, peersPrefill: 0 });
    a.janitor(60_000);
    expect(a.of("f", 0)).toMatchObject({ inFlight: 0, peersInFlight: 0 });
  });

  it("knows own placements that peers have not heard of, for as long as their word takes", () => {
    const [a, b] = [new LoadView("a"), new LoadView("b")];
    a.open("e", 0, 9, 9, 90);
    a.receive(b.message(100, true)!, 150);
    // Before a peer was known nothing is new to anyone.
    expect(a.of("e", 0)).toMatchObject({ newCalls: 0 });
    a.open("e", 0, 300, 400, 160).close();
    a.receive(b.message(200, true)!, 250);
    expect([a.peersAgeMs(250), a.of("e", 0)]).toMatchObject([50, { newCalls: 0 }]);
    a.open("e", 0, 300, 400, 260);
    expect(a.peersAgeMs(270)).toBe(70);
    expect(a.of("e", 0)).toMatchObject({ newCalls: 1, newPrefill: 300, newKv: 400 });
    b.message(1000);
    a.janitor(60_000);
    expect([a.peersAgeMs(60_000), a.of("e", 0)]).toMatchObject([0, { newCalls: 0, newPrefill: 0, newKv: 0 }]);
  });

  it("makes an endpoint a shared one for some minutes", () => {
    const [a, b] = [new LoadView("a"), new LoadView("b")];
    b.open("e", 0, 10, 10, 0).close();
    const call = b.open("e", 0, 10, 10, 0);
    for (const at of [0, 1]) a.receive(b.message(at, true)!, at);
    call.close();
    expect(a.isShared("e", 0)).toBe(true);
    for (let at = 100; at < 400_000; at += 4_000) a.receive(b.message(at, true)!, at);
    expect(a.isShared("e", 0)).toBe(false);
  });
});

describe("the head of the prefill line", () => {
  it("is the oldest call that prefills, and has its turn from when the one before it was done", () => {
    const view = new LoadView("a");
    const [first, second, decode] = [
      view.open("e", 0, 800, 900, 10),
      view.open("e", 0, 500, 500, 20),
      view.open("e", 0, 0, 5, 25),
    ];
    expect(view.of("e", 0)).toMatchObject({ headTokens: 800, headSinceMs: 10 });
    first.prefilled(70);
    expect(view.of("e", 0)).toMatchObject({ headTokens: 500, headSinceMs: 70 });
    first.prefillsHere(300, 80);
    second.close();
    expect(view.of("e", 0)).toMatchObject({ headTokens: 300, headSinceMs: 80 });
    for (const handle of [first, decode]) handle.close();
    expect(view.of("e", 0)).toMatchObject(zero);
  });

  it("is the mean of all that wait while a peer's calls prefill there, from when one of any gateway was done", () => {
    const [a, b] = [new LoadView("a"), new LoadView("b")];
    const own = a.open("e", 0, 600, 600, 10);
    const theirs = [b.open("e", 0, 900, 900, 20), b.open("e", 0, 300, 300, 30)];
    a.receive(b.message(100)!, 100);
    expect(a.of("e", 0)).toMatchObject({ headTokens: 600, headSinceMs: 10 });
    theirs[0]!.prefilled(150);
    // One more comes as one is done, so that the sum of calls that prefill stays what it was.
    const later = b.open("e", 0, 300, 300, 160);
    a.receive(b.message(200)!, 210);
    expect(a.of("e", 0)).toMatchObject({ headTokens: 400, headSinceMs: 210 });
    own.prefilled(250);
    expect(a.of("e", 0)).toMatchObject({ headTokens: 300, headSinceMs: 250 });
    for (const handle of [theirs[1]!, later]) handle.prefilled(300);
    for (let at = 300; at < 300 + 25 * 100; at += 100) a.receive(b.message(at, true)!, at);
    expect(a.of("e", 0)).toMatchObject({ headTokens: undefined, headSinceMs: undefined, prefillTokens: 0 });
  });
});

describe("herding", () => {
  /** Bursts at several gateways that hear of each other late; answers the largest endpoint's share times the endpoints. */
  function worstShare(options: {
    /** Calls that every endpoint but the first has from before; all gateways know of them. */
    before?: number;
    untilMs?: number;
    gateways: number;
    endpoints: number;
    burst: number;
    delayMs: number;
    policy: string;
  }): number {
    const carrier = new MemoryCarrier(options.delayMs);
    const gateways = Array.from({ length: options.gateways }, (_, at) => {
      const made = new Scheduler({
        rng: seededRng(100 + at),
        gateway: `g${at}`,
        policy: options.policy,
        shareLoad: true,
      });
      for (let e = 0; e < options.endpoints; e++)
        made.apply({
          at: 0,
          type: "endpoint_joined",
          spec: exampleSpec(`e${e}`, { kvCapacityTokens: 1e6, maxInFlight: 1000 }),
        });
      carrier.subscribe((message) => made.apply({ at: message.atMs, type: "peer_load", message }));
      return made;
    });
    const taken = new Map<string, number>();
    let calls = 0;
    for (let e = 1; e < options.endpoints; e++) {
      for (let i = 0; i < (options.before ?? 0); i++) gateways[0]!.load.open(`e${e}`, 0, 1000, 1000, 0);
      taken.set(`e${e}`, options.before ?? 0);
      calls += options.before ?? 0;
    }
    const known = gateways[0]!.load.message(0, true)!;
    // They came long ago, so that they say nothing of the rate at which calls come now.
    for (const delta of known.deltas) delta.placed = delta.placedTokens = 0;
    for (const gateway of gateways) gateway.apply({ at: 0, type: "peer_load", message: known });
    for (const gateway of gateways) {
      const hello = gateway.load.message(0, true)!;
      for (const other of gateways) other.apply({ at: 0, type: "peer_load", message: hello });
    }
    for (let now = 0; now < (options.untilMs ?? 1000); now += 10) {
      carrier.deliver(now);
      for (const gateway of gateways) {
        // Bursts of a planner that starts its sub-agents at once, everywhere in the same moment.
        const burst = now % 200 === 0 ? options.burst : 0;
        for (let i = 0; i < burst; i++) {
          for (const action of gateway.decide(exampleCall({ id: `${gateway.load.gateway}-${calls++}` }), now)) {
            if (action.type !== "place") continue;
            const { endpoint } = action.decision.chosen;
            taken.set(endpoint, (taken.get(endpoint) ?? 0) + 1);
          }
        }
        for (const action of gateway.tick(now)) if (action.type === "share_load") carrier.publish(action.message);
      }
    }
    return (Math.max(...taken.values()) * options.endpoints) / calls;
  }

  it.each([
    [2, 8, 16, 50, 1.3],
    [8, 8, 16, 50, 1.3],
    [8, 16, 40, 500, 1.3],
    // So few calls (100) that chance alone gives one endpoint up to twice its share.
    [4, 16, 5, 100, 2],
  ])(
    "%i gateways, %i endpoints, bursts of %i, %i ms late: none takes over %f times its share",
    (gateways, endpoints, burst, delayMs, bound) => {
      for (const policy of ["least-delay", "two-tier"])
        expect(worstShare({ gateways, endpoints, burst, delayMs, policy })).toBeLessThan(bound);
    },
  );

  it("gateways that all see one empty endpoint do not all fill it", () => {
    const scene = { gateways: 8, endpoints: 8, burst: 16, delayMs: 50, before: 30, untilMs: 200 };
    for (const policy of ["least-delay", "two-tier"]) expect(worstShare({ ...scene, policy })).toBeLessThan(1.5);
  });

  it("a guess about peers is gone when their news has had time to come", () => {
    const [a, b] = [new LoadView("a", 100), new LoadView("b", 100)];
    a.receive(b.message(0, true)!, 0);
    const handle = a.open("e", 0, 1000, 1000, 0, true);
    // The count of calls is a limit and stays as it is known. What is guessed of it stands apart, for costs.
    expect(a.of("e", 0)).toMatchObject({ prefillTokens: 2000, inFlight: 1, guessedCalls: 1 });
    a.janitor(100);
    a.janitor(200);
    expect(a.of("e", 0)).toMatchObject({ prefillTokens: 1000, kvTokens: 1000, guessedCalls: 0 });
    handle.close();
    expect(a.of("e", 0)).toMatchObject(zero);
  });
});
