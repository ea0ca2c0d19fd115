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
    expect(new SpeedMeter(given).speed).toEqual(given);
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

  it("learns a tier that it did not know, and nothing from crumbs", () => {
    const meter = new SpeedMeter(given);
    meter.observe(
      { promptTokens: 2000, cachedTokens: 1990, outputTokens: 1 },
      { prefillMs: 500, restoreMs: 12, restoredFrom: "disk" },
    );
    expect(meter.speed.reloadMsPerToken.disk).toBeCloseTo(12 / 1990, 6);
    expect(meter.speed.prefillTokensPerSecond).toBe(1000);
  });
});
