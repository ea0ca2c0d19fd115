// Engines that do not report how much of a prompt they found cached (vLLM without --enable-prompt-tokens-details, many providers). What they
// leave out is unknown: it teaches no speed, confirms no prediction, and is no reason to charge a tenant for tokens that were cached.
import { describe, expect, it } from "vitest";
import { exampleCall, exampleSpec } from "./placement/conformance.ts";
import { HashChain } from "./prefix/chain.ts";
import { tokenSpace } from "./prefix/hash.ts";
import { seededRng } from "./rng.ts";
import { Scheduler, type SchedulerOptions } from "./scheduler.ts";
import type { CallUsage } from "./events.ts";
import type { Call, EndpointSpec } from "./types.ts";

const space = tokenSpace("m", 16);
const truePerSecond = 20_000;
const overheadMs = 5;

function fleet(more: Partial<EndpointSpec> = {}, options: Partial<SchedulerOptions> = {}): Scheduler {
  const made = new Scheduler({ rng: seededRng(1), ...options });
  const speed = { prefillTokensPerSecond: 8_000, decodeTokensPerSecond: 50, reloadMsPerToken: {}, overheadMs: 20 };
  const spec = exampleSpec("e", {
    kvCapacityTokens: 2_000_000,
    totalKvCapacityTokens: 2_000_000,
    knowledge: "usage",
    speed,
    ...more,
  });
  made.apply({ at: 0, type: "endpoint_joined", spec });
  return made;
}

/** A turn of a conversation: its first `tokens` tokens. */
function turn(id: string, conversation: number, tokens: number, more: Partial<Call> = {}): Call {
  const ids = Uint32Array.from({ length: tokens }, (_, at) => conversation * 100_003 + at);
  const prompt = [new HashChain(space, "t").update(ids)];
  return exampleCall({ id, prompt, promptTokens: tokens, outputTokens: 50, ...more });
}

/** Serves a call alone at the true speed. `told`: what the engine reports as cached. Returns when it ended. */
function serve(made: Scheduler, call: Call, at: number, cached: number, told: number | undefined): number {
  made.decide(call, at);
  const prefillMs = overheadMs + ((call.promptTokens - cached) * 1000) / truePerSecond;
  made.apply({ at: at + prefillMs, type: "call_prefilled", call: call.id });
  const usage: CallUsage = { promptTokens: call.promptTokens, outputTokens: 50 };
  if (told !== undefined) usage.cachedTokens = told;
  const ended = at + prefillMs + 1_000;
  made.apply({ at: ended, type: "call_ended", call: call.id, reason: "done", usage, timings: { prefillMs } });
  return ended;
}

/** Conversations whose later turns are nine parts in ten cached. */
function converse(made: Scheduler, reports: boolean, gapMs = 0, program?: (conversation: number) => string): void {
  let now = 0;
  for (let i = 0; i < 25; i++) {
    const named = program === undefined ? {} : { program: program(i) };
    now = serve(made, turn(`${i}a`, i, 16_000, named), now, 0, reports ? 0 : undefined) + gapMs;
    for (const next of ["b", "c", "d"]) {
      now = serve(made, turn(`${i}${next}`, i, 17_776, named), now, 16_000, reports ? 16_000 : undefined) + gapMs;
    }
  }
}

const learned = (made: Scheduler) => made.endpoints.get("e")!.spec.speed.prefillTokensPerSecond;

describe("an engine that does not report cached tokens", () => {
  it("is learned to be as fast as it is, from prompts of which nothing was expected to be cached", () => {
    const made = fleet();
    converse(made, false);
    expect(learned(made) / truePerSecond).toBeGreaterThan(0.9);
    expect(learned(made) / truePerSecond).toBeLessThan(1.1);
    expect(made.endpoints.get("e")!.measured).toBe(true);
  });

  it("is learned as well as one that does", () => {
    const [silent, open] = [fleet(), fleet()];
    converse(silent, false);
    converse(open, true);
    expect(learned(silent) / learned(open)).toBeCloseTo(1, 1);
  });

  it("teaches nothing by a conversation that comes back after its prediction has been forgotten", () => {
    const made = fleet();
    converse(made, false, 300_000, (conversation) => `client/${conversation}`);
    expect(learned(made) / truePerSecond).toBeLessThan(1.1);
  });

  it("teaches nothing where the prompt's blocks are unknown, or another gateway places calls there too", () => {
    const unhashed = fleet();
    for (let i = 0; i < 20; i++)
      serve(unhashed, { ...turn(`${i}`, i, 16_000), prompt: [] }, i * 10_000, 14_000, undefined);
    const shared = fleet({}, { gateway: "here" });
    const peer = fleet({}, { gateway: "there", shareLoad: true });
    for (let i = 0; i < 20; i++) {
      peer.decide(turn(`p${i}`, i, 14_000), i * 10_000);
      peer.apply({ at: i * 10_000 + 1, type: "call_prefilled", call: `p${i}` });
      for (const action of peer.tick(i * 10_000 + 100))
        if (action.type === "share_load")
          shared.apply({ at: i * 10_000 + 100, type: "peer_load", message: action.message });
      serve(shared, turn(`${i}`, i, 16_000), i * 10_000 + 1_000, 14_000, undefined);
      peer.apply({ at: i * 10_000 + 5_000, type: "call_ended", call: `p${i}`, reason: "done" });
    }
    for (const made of [unhashed, shared]) {
      expect(learned(made)).toBeCloseTo(8_000, 3);
      expect(made.endpoints.get("e")!.measured).toBeUndefined();
    }
  });

  it("does not shorten deadlines: a prompt is promised no earlier than the engine can compute it", () => {
    const made = fleet();
    converse(made, false);
    const at = 10_000_000;
    const [refused] = made.decide(turn("late", 1_000, 40_000, { deadlineMs: at + 1_500 }), at);
    expect(refused).toMatchObject({ type: "refuse", code: "deadline" });
    const [placed] = made.decide(turn("in time", 1_000, 40_000, { deadlineMs: at + 3_000 }), at);
    expect(placed).toMatchObject({ type: "place" });
    if (placed?.type !== "place") return;
    expect(placed.decision.chosen.expectedTtftMs).toBeGreaterThan(0.9 * 2_000);
    expect(placed.decision.firstTokenMostMs).toBeGreaterThan(15_000 + 8 * 0.9 * 2_000);
  });

  it("says nothing of how right predictions are", () => {
    const made = fleet();
    converse(made, false);
    expect(made.snapshot().truth).toEqual({ calls: 0, predictedTokens: 0, reportedTokens: 0, gapTokens: 0 });
  });

  it("costs its tenant the part of a prompt that was expected to be computed", () => {
    const charged = (told: number | undefined): number => {
      const made = fleet();
      const queue = made.queueOf("d");
      let sum = 0;
      const { settle } = queue;
      queue.settle = (call, tokens) => {
        sum += tokens;
        settle.call(queue, call, tokens);
      };
      serve(made, turn("1", 1, 16_000), 0, 0, 0);
      sum = 0;
      serve(made, turn("2", 1, 17_776), 5_000, 16_000, told);
      return sum;
    };
    expect(charged(undefined)).toBe(charged(16_000));
  });
});
