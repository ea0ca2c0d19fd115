// Programs of several gateways before one endpoint: together they need no more KV than there is, whichever gateways their calls come to.
import { describe, expect, it } from "vitest";
import { programLiveMs, programNewsEveryMs, programPauseMs, toldProgramsMax } from "../limits.ts";
import { MemoryCarrier } from "../load/testing.ts";
import { exampleCall, exampleSpec } from "../placement/conformance.ts";
import { seededRng } from "../rng.ts";
import { Scheduler } from "../scheduler.ts";
import type { SchedulerAction } from "../actions.ts";
import type { Call } from "../types.ts";
import { wordKeyOf } from "./program.ts";

let ids = 0;

/** Gateways before one endpoint of 100,000 tokens, whose messages are `ageMs` old when they are heard. */
class Gateways {
  now = 0;
  readonly schedulers: Scheduler[];
  readonly #carrier: MemoryCarrier;
  readonly #actions: { gateway: number; action: SchedulerAction }[] = [];
  /** Messages by their size in programs. */
  readonly told: number[] = [];

  constructor(count: number, ageMs = 50) {
    this.#carrier = new MemoryCarrier(ageMs);
    this.schedulers = Array.from({ length: count }, (_, at) => {
      const made = new Scheduler({ rng: seededRng(at), gateway: `g${at}`, policy: "least-load", shareLoad: true });
      made.apply({ at: 0, type: "endpoint_joined", spec: exampleSpec("e") });
      return made;
    });
    this.#carrier.subscribe((message) => {
      this.told.push(message.programs?.reduce((sum, { programs }) => sum + programs.length, 0) ?? 0);
      this.schedulers.forEach((scheduler, at) =>
        this.#did(at, scheduler.apply({ at: this.now, type: "peer_load", message })),
      );
    });
  }

  /** What has happened since the last question: pauses, ends of pauses, placements and refusals. */
  seen(): string[] {
    return this.#actions.splice(0).map(({ gateway, action }) => {
      if (action.type === "pause_program") return `g${gateway} pauses ${action.program}`;
      if (action.type === "resume_program") return `g${gateway} resumes ${action.program}`;
      return action.type === "place" || action.type === "refuse" ? `g${gateway} ${action.type}s ${action.call}` : "";
    });
  }

  ask(gateway: number, call: Partial<Call>): void {
    this.#did(gateway, this.schedulers[gateway]!.decide(exampleCall(call), this.now));
  }

  end(gateway: number, call: string, promptTokens: number): void {
    const usage = { promptTokens, cachedTokens: 0, outputTokens: 0 };
    const scheduler = this.schedulers[gateway]!;
    this.#did(gateway, scheduler.apply({ at: this.now, type: "call_ended", call, reason: "done", usage }));
  }

  /** A call of the program from start to end. */
  turn(gateway: number, program: string, tokens: number, more: Partial<Call> = {}): void {
    const id = `c${ids++}`;
    this.ask(gateway, { id, program, promptTokens: tokens, outputTokens: 0, ...more });
    this.end(gateway, id, tokens);
  }

  tell(gateway: number, program: string): void {
    this.#did(
      gateway,
      this.schedulers[gateway]!.apply({ at: this.now, type: "fact", fact: { type: "run_ended", program } }),
    );
  }

  after(ms: number): void {
    for (const until = this.now + ms; this.now < until;) {
      this.now += 100;
      this.#carrier.deliver(this.now);
      this.schedulers.forEach((scheduler, at) => this.#did(at, scheduler.tick(this.now)));
    }
  }

  loads(): (number | undefined)[] {
    return this.schedulers.map((scheduler) => scheduler.snapshot().workingSets[0]?.load);
  }

  #did(gateway: number, actions: readonly SchedulerAction[]): void {
    for (const action of actions) {
      if (action.type === "share_load") this.#carrier.publish(action.message);
      else if (action.type !== "kv" && action.type !== "queued") this.#actions.push({ gateway, action });
    }
  }
}

const quiet = (gateways: Gateways): string[] => gateways.seen().filter((what) => !what.includes("places"));

describe("programs of several gateways", () => {
  it("are counted together: a program waits at the door of one gateway while those of another fill the KV", () => {
    const gateways = new Gateways(2);
    gateways.turn(0, "old", 84_000);
    gateways.after(1500);
    expect(gateways.loads()).toEqual([0.84, 0.84]);
    gateways.seen();
    gateways.ask(1, { id: "waits", program: "new", promptTokens: 9000 });
    expect(gateways.seen()).toEqual(["g1 pauses new"]);
    gateways.after(3000);
    expect(gateways.seen()).toEqual([]);
    gateways.tell(0, "old");
    gateways.after(1500);
    expect(gateways.seen()).toEqual(["g1 resumes new", "g1 places waits"]);
  });

  it.each([2, 4])("are paused at the gateway that has the newest, as %i gateways agree", (count) => {
    const gateways = new Gateways(count, 500);
    for (let at = 0; at < count; at++) {
      gateways.turn(at, `p${at}`, 80_000 / count);
      gateways.after(1000);
    }
    expect(quiet(gateways)).toEqual([]);
    for (let at = 0; at < count; at++) gateways.turn(at, `p${at}`, 100_000 / count);
    gateways.after(3000);
    expect(quiet(gateways)).toEqual([`g${count - 1} pauses p${count - 1}`]);
    expect(new Set(gateways.loads()).size).toBe(1);
  });

  it("count once when their calls come to several gateways, and are paused and let go on at all of them", () => {
    const gateways = new Gateways(2);
    gateways.turn(0, "old", 30_000);
    gateways.after(1000);
    gateways.turn(0, "shared", 40_000);
    gateways.after(1000);
    gateways.turn(1, "shared", 41_000);
    gateways.after(1500);
    expect(gateways.loads()).toEqual([0.71, 0.71]);
    gateways.turn(0, "old", 58_000);
    gateways.after(1500);
    expect(quiet(gateways).toSorted()).toEqual(["g0 pauses shared", "g1 pauses shared"]);
    // One of them has a call of it: both let it go on, and no pause follows from what they told before.
    gateways.ask(1, { id: "waits", program: "shared", promptTokens: 20_000 });
    gateways.tell(0, "old");
    gateways.after(1500);
    expect(gateways.seen().toSorted()).toEqual(["g0 resumes shared", "g1 places waits", "g1 resumes shared"]);
    gateways.end(1, "waits", 41_000);
    gateways.after(programLiveMs + 5000);
    expect(gateways.seen()).toEqual([]);
    expect(gateways.loads()).toEqual([undefined, undefined]);
  });

  it("wait at no gateway longer than the bound", () => {
    const gateways = new Gateways(2);
    gateways.turn(0, "old", 84_000);
    gateways.after(1500);
    gateways.ask(1, { id: "waits", program: "new", promptTokens: 9000 });
    for (let ms = 0; ms < programPauseMs - 2000; ms += 1000) {
      gateways.turn(0, "old", 84_000);
      gateways.after(1000);
    }
    expect(gateways.seen()).not.toContain("g1 places waits");
    gateways.after(3000);
    expect(gateways.seen()).toContain("g1 places waits");
  });

  it("are told again, so that a lost message is wrong for no longer than that, in messages of a bounded size", () => {
    const gateways = new Gateways(2);
    for (let at = 0; at < 3 * toldProgramsMax; at++) gateways.turn(0, `p${at}`, 100);
    gateways.after(2000);
    expect(Math.max(...gateways.told)).toBe(toldProgramsMax);
    expect(gateways.loads()[1]).toBeCloseTo(0.096);
    const late = new Scheduler({ rng: seededRng(9), gateway: "late", policy: "least-load", shareLoad: true });
    late.apply({ at: 0, type: "endpoint_joined", spec: exampleSpec("e") });
    gateways.schedulers.push(late);
    gateways.after(programNewsEveryMs + 2000);
    expect(gateways.loads()[2]).toBeCloseTo(0.096);
  });

  it("end where another gateway is told of the end of their run", () => {
    const gateways = new Gateways(2);
    gateways.turn(0, "run", 50_000);
    gateways.after(200);
    gateways.turn(1, "run", 50_000);
    gateways.after(200);
    gateways.tell(1, "run");
    gateways.after(1500);
    expect(gateways.loads()).toEqual([undefined, undefined]);
    expect(gateways.schedulers.map(({ programs }) => programs.size)).toEqual([0, 0]);
  });

  it("have names of one length among gateways", () => {
    expect(wordKeyOf("x".repeat(10_000)).length).toBeLessThan(16);
    expect(wordKeyOf("a")).not.toBe(wordKeyOf("b"));
  });
});
