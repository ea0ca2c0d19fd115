// The whole state machine under anything that may happen, from seeds: endpoints come, go and restart, calls are placed,
// split, ended, withdrawn and lost, programs run tools and end, peers talk. Whatever the order, the promises hold.
import { describe, expect, it } from "vitest";
import { LoadView } from "./load/loadView.ts";
import { exampleCall, exampleSpec } from "./placement/conformance.ts";
import { policyNames } from "./placement/registry.ts";
import { HashChain } from "./prefix/chain.ts";
import { tokenSpace } from "./prefix/hash.ts";
import { below, seededRng } from "./rng.ts";
import { Scheduler } from "./scheduler.ts";
import type { SchedulerAction } from "./actions.ts";
import type { PdEvent, SchedulerEvent } from "./events.ts";
import type { Role } from "./types.ts";

const space = tokenSpace("m", 16);
const roles: Role[] = ["both", "both", "prefill", "decode"];

class Life {
  readonly rng: () => number;
  readonly scheduler: Scheduler;
  readonly peer = new LoadView("peer");
  readonly state = new Map<string, "waiting" | "placed" | "over">();
  now = 0;
  private calls = 0;
  private readonly prompts = Array.from({ length: 6 }, (_, at) =>
    new HashChain(space, "t").update(Uint32Array.from({ length: 6000 }, (_, token) => at * 7919 + token)),
  );

  constructor(seed: number, policy: string) {
    this.rng = seededRng(seed);
    this.scheduler = new Scheduler({ rng: seededRng(seed + 1), policy, shareLoad: true, queue: { maxCalls: 30 } });
    for (let i = 0; i < 3; i++) this.join(i);
  }

  step(): void {
    this.now += below(400, this.rng);
    const pick = below(20, this.rng);
    if (pick < 7) this.call();
    else if (pick < 11) this.end();
    else if (pick < 13) this.hear(this.scheduler.tick(this.now));
    else if (pick === 13) this.join(below(5, this.rng));
    else if (pick === 14 && this.rng() < 0.3) this.tell({ type: "endpoint_left", endpoint: `e${below(5, this.rng)}` });
    else if (pick === 15)
      this.tell({
        type: "endpoint_health",
        endpoint: `e${below(5, this.rng)}`,
        health: this.rng() < 0.7 ? "ready" : "draining",
      });
    else if (pick === 16) this.outcome();
    else if (pick < 18) this.split();
    else if (pick === 18) this.fact();
    else this.gossip();
  }

  private outcome(): void {
    const outcomes = ["alive", "served", "connect", "timeout", "failure", "garbage", "refused"] as const;
    const [call] = [...this.state].find(([, state]) => state === "placed") ?? [];
    if (call === undefined) return;
    const outcome = outcomes[below(outcomes.length, this.rng)]!;
    this.tell({ type: "endpoint_outcome", endpoint: `e${below(5, this.rng)}`, call, outcome });
  }

  /** Ends everything; nothing may be left. */
  close(): void {
    for (const id of this.state.keys()) this.tell({ type: "call_ended", call: id, reason: "cancelled" });
    // By then the peer has been silent for long enough to be forgotten.
    this.hear(this.scheduler.tick(this.now + 20_000));
  }

  private join(i: number): void {
    const spec = exampleSpec(`e${i}`, {
      role: roles[i % roles.length]!,
      maxInFlight: 3,
      epoch: String(this.now),
      topology: { superNode: `s${i % 2}` },
    });
    this.tell({ type: "endpoint_joined", spec });
  }

  private call(): void {
    const id = `c${this.calls++}`;
    const deadlineMs = this.rng() < 0.2 ? this.now + below(3000, this.rng) : undefined;
    const program = this.rng() < 0.6 ? `p${below(5, this.rng)}` : undefined;
    const promptTokens = 100 + below(5900, this.rng);
    const prompt = { ...this.prompts[below(6, this.rng)]!, blocks: Math.floor(promptTokens / 16) };
    this.state.set(id, "waiting");
    const call = exampleCall({
      id,
      tenant: `t${below(3, this.rng)}`,
      program,
      deadlineMs,
      promptTokens,
      prompt: [prompt],
      priority: below(2, this.rng),
    });
    const actions = this.scheduler.decide(call, this.now);
    this.hear(actions);
    // Every call is answered at once, by exactly one of the three.
    const answers = actions.filter(
      (action) => "call" in action && action.call === id && ["place", "queued", "refuse"].includes(action.type),
    );
    expect(answers).toHaveLength(1);
  }

  private end(): void {
    const open = [...this.state].filter(([, state]) => state !== "over");
    if (open.length === 0) return;
    const [id] = open[below(open.length, this.rng)]!;
    if (this.rng() < 0.5) this.tell({ type: "call_prefilled", call: id, cachedTokens: below(100, this.rng) });
    if (this.rng() < 0.1) return;
    this.state.set(id, "over");
    const reason = (["done", "cancelled", "failed"] as const)[below(3, this.rng)]!;
    const usage = { promptTokens: 1000, cachedTokens: below(1000, this.rng), outputTokens: below(500, this.rng) };
    this.tell({
      type: "call_ended",
      call: id,
      reason,
      usage,
      timings: { prefillMs: 1 + below(500, this.rng), decodeMs: 100 },
    });
  }

  private split(): void {
    const events: PdEvent[] = [
      { type: "prefill_done", cachedTokens: 0, computedTokens: 6000, leaseUntilMs: this.now + below(2000, this.rng) },
      { type: "decode_accepted" },
      { type: "pulled", tokens: this.rng() < 0.8 ? 6000 : 5 },
      { type: "prefill_failed", retryable: true },
    ];
    const placed = [...this.state].filter(([, state]) => state === "placed");
    if (placed.length > 0)
      this.tell({ type: "pd", call: placed[below(placed.length, this.rng)]![0], event: events[below(4, this.rng)]! });
  }

  private fact(): void {
    const program = `p${below(5, this.rng)}`;
    const kind = (["quick", "slow", "approval"] as const)[below(3, this.rng)]!;
    const pick = below(3, this.rng);
    if (pick === 0) this.tell({ type: "fact", fact: { type: "tool_started", program, tool: "t", kind } });
    else if (pick === 1) this.tell({ type: "fact", fact: { type: "tool_ended", program, tool: "t" } });
    else this.tell({ type: "fact", fact: { type: "run_ended", program } });
  }

  private gossip(): void {
    const handle = this.peer.open(`e${below(5, this.rng)}`, 0, 100, 1000, this.now);
    if (this.rng() < 0.7) handle.close();
    const message = this.peer.message(this.now);
    if (message !== undefined && this.rng() < 0.8) this.tell({ type: "peer_load", message });
  }

  private tell(
    event: SchedulerEvent extends infer E ? (E extends { at: number } ? Omit<E, "at"> : never) : never,
  ): void {
    this.hear(this.scheduler.apply({ at: this.now, ...event } as SchedulerEvent));
  }

  private hear(actions: SchedulerAction[]): void {
    for (const action of actions) {
      if (action.type === "place") {
        expect(this.state.get(action.call)).toBe("waiting");
        this.state.set(action.call, "placed");
        const { chosen, prefill, runnerUp } = action.decision;
        const endpoint = this.scheduler.endpoints.get(chosen.endpoint)!;
        expect([endpoint.health, endpoint.spec.role]).not.toContain(
          endpoint.spec.role === "prefill" ? "prefill" : "down",
        );
        expect(endpoint.health).toBe("ready");
        expect(chosen.inFlight).toBeLessThan(endpoint.spec.maxInFlight);
        expect(chosen.matchedTokens + chosen.uncachedTokens).toBeGreaterThanOrEqual(1);
        expect(runnerUp?.endpoint).not.toBe(chosen.endpoint);
        if (prefill !== undefined) expect(this.scheduler.endpoints.get(prefill.endpoint)!.spec.role).toBe("prefill");
      }
      if (action.type === "refuse") {
        expect(this.state.get(action.call)).toBe("waiting");
        this.state.set(action.call, "over");
        expect(action.retryAfterMs).toBeGreaterThanOrEqual(0);
      }
    }
    for (const { load } of this.scheduler.endpoints.all()) {
      const least = Math.min(load.prefillTokens, load.kvTokens, load.inFlight, load.prefilling);
      if (least < -1e-6) expect(load).toBe("never below nothing");
    }
  }
}

describe.each(policyNames)("under %s", (policy) => {
  it.each([1, 2])("seed %i: answers every call once, counts nothing twice, and leaves nothing behind", (seed) => {
    const life = new Life(seed, policy);
    for (let step = 0; step < 400; step++) life.step();
    life.close();
    expect(life.scheduler.snapshot()).toMatchObject({ queued: 0, placed: 0, openHandles: 0, splits: 0 });
    for (const { load } of life.scheduler.endpoints.all()) {
      for (const value of Object.values(load)) expect(value ?? 0).toBeCloseTo(0, 6);
    }
  });
});
