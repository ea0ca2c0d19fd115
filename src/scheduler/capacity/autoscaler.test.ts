import { describe, expect, it } from "vitest";
import { Autoscaler, type LoadSample, type ScaleOptions } from "./autoscaler.ts";

const base: ScaleOptions = {
  role: "both",
  capacity: { prefillTokensPerSecond: 10_000, decodeTokensPerSecond: 2_000, kvTokens: 400_000 },
  min: 1,
  max: 20,
  startMs: 60_000,
};
const sample = (prefill: number, more: Partial<LoadSample> = {}): LoadSample => ({
  prefillTokensPerSecond: prefill,
  outputTokensPerSecond: prefill / 20,
  kvTokens: 0,
  waitingTokens: 0,
  ...more,
});

/** A fleet that obeys: replicas are ready after `startMs`, work waits when they are too few. Answers what happened. */
function live(options: ScaleOptions, seconds: number, demand: (second: number) => number) {
  const scaler = new Autoscaler(options);
  let ready = options.min;
  let starting: number[] = [];
  let waiting = 0;
  let changes = 0;
  const history: { second: number; ready: number; waiting: number }[] = [];
  for (let second = 0; second < seconds; second++) {
    ready += starting.filter((at) => at <= second).length;
    starting = starting.filter((at) => at > second);
    const perSecond = demand(second);
    // Decode takes a fifth of the work at this mix.
    waiting = Math.max(0, waiting + perSecond - ready * 10_000 * 0.8);
    if (second % 10 === 0) {
      scaler.observe(sample(perSecond, { waitingTokens: waiting }), second * 1000);
      const plan = scaler.plan(ready, starting.length, second * 1000);
      const change = plan.replicas - ready - starting.length;
      if (change !== 0) changes++;
      for (let i = 0; i < change; i++) starting.push(second + options.startMs / 1000);
      if (change < 0) ready += change;
    }
    history.push({ second, ready, waiting });
  }
  return { history, changes, ready };
}

describe("autoscaler", () => {
  it("asks for what the load fills to three quarters", () => {
    const scaler = new Autoscaler(base);
    scaler.observe(sample(30_000), 0);
    // Prefill 3 replicas, decode 0.75, at 0.75: 5.
    expect(scaler.plan(1, 0, 0)).toMatchObject({ replicas: 5, reason: "floor", floor: 5 });
    expect(scaler.plan(1, 4, 0)).toMatchObject({ replicas: 5, reason: "steady" });
  });

  it("sees each role by its own work, and KV where it is held", () => {
    const load = sample(30_000, { outputTokensPerSecond: 6_000, kvTokens: 2_400_000 });
    const floorOf = (role: ScaleOptions["role"]) => {
      const scaler = new Autoscaler({ ...base, role });
      scaler.observe(load, 0);
      return scaler.plan(1, 0, 0).floor;
    };
    expect([floorOf("prefill"), floorOf("decode"), floorOf("both")]).toEqual([4, 8, 8]);
  });

  it("adds one for a missed promise, and waits for it", () => {
    const scaler = new Autoscaler({ ...base, sloTtftMs: 500 });
    scaler.observe(sample(1000, { ttftMsP90: 800 }), 0);
    expect(scaler.plan(2, 0, 0)).toMatchObject({ replicas: 3, reason: "slo" });
    expect(scaler.plan(2, 1, 5000)).toMatchObject({ replicas: 3, reason: "steady" });
  });

  it("starts the first replica for the first call, where a deployment may sleep", () => {
    const scaler = new Autoscaler({ ...base, min: 0 });
    scaler.observe(sample(0, { waitingTokens: 50 }), 0);
    expect(scaler.plan(0, 0, 0)).toMatchObject({ replicas: 1, reason: "backlog" });
  });

  it("stays within its bounds", () => {
    const scaler = new Autoscaler({ ...base, max: 3 });
    scaler.observe(sample(1e9), 0);
    expect(scaler.plan(1, 0, 0).replicas).toBe(3);
    expect(() => new Autoscaler({ ...base, min: 3, max: 2 })).toThrow(RangeError);
  });

  it("follows a step: the backlog is gone soon after replicas have started, without overshooting twice over", () => {
    const { history, ready } = live(base, 900, (second) => (second < 100 ? 5_000 : 60_000));
    const after = history.filter(({ second }) => second > 300);
    expect(Math.max(...after.map(({ waiting }) => waiting))).toBe(0);
    expect(ready).toBeGreaterThanOrEqual(8);
    // The backlog of the start-up time needs more than the load alone for a while.
    expect(Math.max(...history.map(({ ready }) => ready))).toBeLessThanOrEqual(20);
  });

  it("meets a ramp before it arrives: little waits although a replica takes a minute to start", () => {
    const { history } = live(base, 1200, (second) => 5_000 + second * 50);
    const worst = Math.max(...history.filter(({ second }) => second > 120).map(({ waiting }) => waiting));
    expect(worst).toBeLessThan(10_000);
  });

  it("does not flap on a load that swings, and shrinks when it is gone", () => {
    const { changes, history, ready } = live(base, 3600, (second) =>
      second < 1800 ? 30_000 + 8_000 * Math.sin(second / 20) : 2_000,
    );
    expect(changes).toBeLessThan(20);
    expect(ready).toBe(1);
    const minutes = history.filter(({ second }) => second > 200 && second < 1800).map(({ ready }) => ready);
    expect(Math.max(...minutes) - Math.min(...minutes)).toBeLessThanOrEqual(3);
  });
});
