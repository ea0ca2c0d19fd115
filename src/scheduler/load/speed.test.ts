import { describe, expect, it } from "vitest";
import { seededRng } from "../rng.ts";
import type { EndpointSpeed } from "../types.ts";
import { EqualSpeeds, SpeedMeter } from "./speed.ts";

const given: EndpointSpeed = {
  prefillTokensPerSecond: 1000,
  decodeTokensPerSecond: 50,
  reloadMsPerToken: {},
  overheadMs: 3,
};

function meters(count: number): SpeedMeter[] {
  const equals = new EqualSpeeds(given);
  return Array.from({ length: count }, () => new SpeedMeter(equals, given.reloadMsPerToken));
}

/** A prompt of `tokens` that is computed alone, from `now` on, in `ms`. */
function prefill(meter: SpeedMeter, tokens: number, ms: number, now = 0): void {
  const share = meter.busy.placed(true, now);
  meter.busy.prefilled(share, now + ms);
  meter.busy.ended(share, { tokens, attentionMs: 0, prefillMs: ms, readBack: false }, now + ms);
}

describe("speed meter", () => {
  it("keeps what was given until something was measured", () => {
    const { prefillTokensPerSecond, decodeTokensPerSecond, overheadMs, reloadMsPerToken } = meters(1)[0]!.speed;
    expect(reloadMsPerToken).toEqual({});
    expect(prefillTokensPerSecond).toBeCloseTo(1000, 6);
    expect(decodeTokensPerSecond).toBeCloseTo(50, 6);
    expect(overheadMs).toBeCloseTo(3, 6);
  });

  it("comes to what calls really show, and follows when it changes", () => {
    const [meter] = meters(1);
    const call = (perSecond: number) => {
      prefill(meter!, 4000, 4_000_000 / perSecond);
      meter!.observe({ promptTokens: 5000, cachedTokens: 1000, outputTokens: 101 }, { decodeMs: 2500 });
    };
    for (let i = 0; i < 60; i++) call(400);
    expect(meter!.speed.prefillTokensPerSecond).toBeCloseTo(400, -1);
    expect(Math.abs(meter!.speed.decodeTokensPerSecond - 40)).toBeLessThan(1);
    for (let i = 0; i < 300; i++) call(2000);
    expect(meter!.speed.prefillTokensPerSecond).toBeCloseTo(2000, -2);
  });

  it("tells what every call costs from what its tokens cost", () => {
    const [meter] = meters(1);
    // 340 ms beside the tokens, 140 tokens a second.
    for (let i = 0; i < 40; i++)
      for (const tokens of [36, 80, 700]) prefill(meter!, tokens, 340 + (tokens * 1000) / 140);
    const { prefillTokensPerSecond, overheadMs } = meter!.speed;
    expect(prefillTokensPerSecond).toBeGreaterThan(130);
    expect(prefillTokensPerSecond).toBeLessThan(170);
    expect(overheadMs).toBeGreaterThan(200);
    expect(overheadMs).toBeLessThan(550);
  });

  it("does not go astray on noise", () => {
    const [meter] = meters(1);
    const random = [0.3, 2.5, 0.9, 1.7, 0.2, 3.1, 1.1, 0.6];
    for (let i = 0; i < 400; i++) {
      const tokens = 20 + ((i * 37) % 50);
      prefill(meter!, tokens, (100 + tokens) * random[i % 8]!);
      const { prefillTokensPerSecond, overheadMs } = meter!.speed;
      expect(prefillTokensPerSecond).toBeGreaterThan(0);
      expect(prefillTokensPerSecond).toBeLessThan(1e6);
      expect(overheadMs).toBeGreaterThanOrEqual(0);
    }
  });

  it("learns a tier that it did not know, and nothing from crumbs", () => {
    const [meter] = meters(1);
    meter!.observe(
      { promptTokens: 2000, cachedTokens: 1990, outputTokens: 1 },
      { restoreMs: 12, restoredFrom: "disk" },
    );
    meter!.observe({ promptTokens: 100, cachedTokens: 20, outputTokens: 1 }, { restoreMs: 500, restoredFrom: "disk" });
    meter!.observe({ promptTokens: 100, cachedTokens: 20, outputTokens: 4 }, { decodeMs: 9000 });
    expect(meter!.speed.reloadMsPerToken.disk).toBeCloseTo(12 / 1990, 6);
    expect(meter!.speed.decodeTokensPerSecond).toBeCloseTo(50, 6);
  });
});

describe("endpoints that should be equally fast", () => {
  /** Prompts of 500 to 8,500 tokens at 10,000 a second, each 0.7 to 1.3 times as long by chance. */
  function served(meter: SpeedMeter, calls: number, slowness: number, seed: number): void {
    const random = seededRng(seed);
    for (let i = 0; i < calls; i++) {
      const tokens = 500 + Math.floor(random() * 8000);
      prefill(meter, tokens, slowness * (0.7 + 0.6 * random()) * (20 + tokens / 10));
    }
  }

  it("learn from each other, and are taken to be equal as far as chance explains their calls", () => {
    for (const count of [4, 32]) {
      const all = meters(count);
      all.forEach((meter, i) => served(meter, 20, 1, i));
      const rates = all.map((meter) => meter.speed.prefillTokensPerSecond);
      expect(Math.min(...rates)).toBeGreaterThan(8500);
      expect(Math.max(...rates)).toBeLessThan(11_500);
      expect(Math.max(...rates) / Math.min(...rates)).toBeLessThan(1.1);
    }
  });

  it("are found slow within 16 calls of their own, without making the others seem slow", () => {
    const all = meters(32);
    all.forEach((meter, i) => served(meter, i === 0 ? 16 : 20, i === 0 ? 2 : 1, i));
    const [slow, ...others] = all.map((meter) => meter.speed.prefillTokensPerSecond);
    expect(slow).toBeLessThan(6500);
    expect(Math.min(...others)).toBeGreaterThan(8500);
  });

  it("come back to the others when they are no slower any more", () => {
    const all = meters(8);
    all.forEach((meter, i) => served(meter, 20, i === 0 ? 2 : 1, i));
    all.forEach((meter, i) => served(meter, 200, 1, i + 50));
    const [was, ...others] = all.map((meter) => meter.speed.prefillTokensPerSecond);
    expect(was! / others[0]!).toBeGreaterThan(0.9);
  });
});
