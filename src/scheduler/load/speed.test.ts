import { describe, expect, it } from "vitest";
import type { EndpointSpeed } from "../types.ts";
import { SpeedMeter } from "./speed.ts";

const given: EndpointSpeed = {
  prefillTokensPerSecond: 1000,
  decodeTokensPerSecond: 50,
  reloadMsPerToken: {},
  overheadMs: 3,
};

describe("speed meter", () => {
  it("keeps what was given until something was measured", () => {
    const { prefillTokensPerSecond, overheadMs, ...rest } = new SpeedMeter(given).speed;
    expect(rest).toEqual({ decodeTokensPerSecond: 50, reloadMsPerToken: {} });
    expect(prefillTokensPerSecond).toBeCloseTo(1000, 6);
    expect(overheadMs).toBeCloseTo(3, 6);
  });

  it("comes to what calls really show, and follows when it changes", () => {
    const meter = new SpeedMeter(given);
    const call = (perSecond: number) =>
      meter.observe(
        { promptTokens: 5000, cachedTokens: 1000, outputTokens: 101 },
        { prefillMs: 4_000_000 / perSecond, decodeMs: 2500 },
      );
    for (let i = 0; i < 60; i++) call(400);
    expect(meter.speed.prefillTokensPerSecond).toBeCloseTo(400, -1);
    expect(meter.speed.decodeTokensPerSecond).toBeCloseTo(40, 0);
    for (let i = 0; i < 300; i++) call(2000);
    expect(meter.speed.prefillTokensPerSecond).toBeCloseTo(2000, -2);
  });

  it("tells what every call costs from what its tokens cost", () => {
    const meter = new SpeedMeter(given);
    // 340 ms beside the tokens, 140 tokens a second.
    for (let i = 0; i < 40; i++) {
      for (const tokens of [36, 80, 700]) {
        const usage = { promptTokens: 1000 + tokens, cachedTokens: 1000, outputTokens: 1 };
        meter.observe(usage, { prefillMs: 340 + (tokens * 1000) / 140 });
      }
    }
    const { prefillTokensPerSecond, overheadMs } = meter.speed;
    expect(prefillTokensPerSecond).toBeGreaterThan(130);
    expect(prefillTokensPerSecond).toBeLessThan(170);
    expect(overheadMs).toBeGreaterThan(200);
    expect(overheadMs).toBeLessThan(550);
  });

  it("does not go astray on noise", () => {
    const meter = new SpeedMeter(given);
    const random = [0.3, 2.5, 0.9, 1.7, 0.2, 3.1, 1.1, 0.6];
    for (let i = 0; i < 400; i++) {
      const tokens = 20 + ((i * 37) % 50);
      const usage = { promptTokens: tokens, cachedTokens: 0, outputTokens: 1 };
      meter.observe(usage, { prefillMs: (100 + tokens) * random[i % 8]! });
      const { prefillTokensPerSecond, overheadMs } = meter.speed;
      expect(prefillTokensPerSecond).toBeGreaterThan(0);
      expect(prefillTokensPerSecond).toBeLessThan(1e6);
      expect(overheadMs).toBeGreaterThanOrEqual(0);
    }
  });

  it("learns a tier that it did not know, and nothing from crumbs", () => {
    const meter = new SpeedMeter(given);
    meter.observe(
      { promptTokens: 2000, cachedTokens: 1990, outputTokens: 1 },
      { prefillMs: 500, restoreMs: 12, restoredFrom: "disk" },
    );
    expect(meter.speed.reloadMsPerToken.disk).toBeCloseTo(12 / 1990, 6);
    expect(meter.speed.prefillTokensPerSecond).toBeGreaterThan(700);
  });
});
