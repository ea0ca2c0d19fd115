// How many replicas a role needs: from what arrives, what waits, and whether the promises are kept.
//
//   floor   the load expected when a replica started now would be ready (level and trend, Holt's smoothing), over what one
//           replica does at `utilisation`: the larger of compute and KV
//   relief  when promises are missed, or a backlog would take too long: enough replicas to drain it in `drainMs`, or in the
//           time that they take to start
//   shrink  towards the most that was wanted during the last `shrinkAfterMs`, half of the way at a time, and not while any
//           is starting
//
// Prefill and decode are apart where their replicas are; a role that does both adds their time shares. Replicas that are
// starting count as if they were there: a slow start is waited for, not answered with more of the same.
import type { Role } from "../types.ts";

/** What one replica can do, measured. */
interface ReplicaCapacity {
  prefillTokensPerSecond: number;
  /** All its sequences together. */
  decodeTokensPerSecond: number;
  kvTokens: number;
}

export interface ScaleOptions {
  role: Role;
  capacity: ReplicaCapacity;
  min: number;
  max: number;
  /** From the order to the first call served. */
  startMs: number;
  /** Share of a replica's capacity that is planned with. */
  utilisation?: number;
  /** A backlog must be gone within this time (or `startMs` if that is longer). */
  drainMs?: number;
  shrinkAfterMs?: number;
  /** Promises: 90th percentile of the time to first token, and mean time per output token. */
  sloTtftMs?: number;
  sloTpotMs?: number;
}

/** What was seen since the last observation. */
export interface LoadSample {
  /** Uncached prompt tokens that arrived per second. */
  prefillTokensPerSecond: number;
  outputTokensPerSecond: number;
  /** Tokens of KV that running calls hold. */
  kvTokens: number;
  /** Prompt tokens waiting, in the queue and at endpoints. */
  waitingTokens: number;
  ttftMsP90?: number;
  tpotMs?: number;
}

/** Replicas that a pool should have now, and why. */
export interface ScalePlan {
  replicas: number;
  reason: "floor" | "slo" | "backlog" | "shrink" | "steady" | "bounds";
  /** Replicas by load alone, before rounding; and what would be needed for promises. */
  floor: number;
  relief: number;
}

/** Level and trend of a rate (Holt). Samples are weighed by the time between them, so that they may be irregular. */
class Forecast {
  private level: number | undefined;
  private trendPerMs = 0;
  private lastMs = 0;

  observe(value: number, now: number): void {
    if (this.level === undefined) {
      this.level = value;
      this.lastMs = now;
      return;
    }
    const passed = now - this.lastMs;
    if (passed <= 0) return;
    const weight = 1 - 2 ** (-passed / 15_000);
    const trendWeight = 1 - 2 ** (-passed / 60_000);
    const expected = this.level + this.trendPerMs * passed;
    const level = expected + weight * (value - expected);
    this.trendPerMs += trendWeight * ((level - this.level) / passed - this.trendPerMs);
    this.level = level;
    this.lastMs = now;
  }

  /** Never below zero, and at most twice the level. */
  at(now: number): number {
    const level = this.level ?? 0;
    return Math.max(0, Math.min(level * 2, level + this.trendPerMs * Math.max(0, now - this.lastMs)));
  }
}

/**
 * Plans the replicas of one pool: from forecasts of its load (Holt's linear trend), the capacity of a replica, and measured latencies
 * against the service levels. Deterministic; all times are the caller's.
 */
export class Autoscaler {
  private readonly options: Required<Omit<ScaleOptions, "sloTtftMs" | "sloTpotMs">> & ScaleOptions;
  private readonly prefill = new Forecast();
  private readonly output = new Forecast();
  private readonly kv = new Forecast();
  private sample: LoadSample | undefined;
  private wanted: { atMs: number; replicas: number }[] = [];
  private shrunkAtMs = Number.NEGATIVE_INFINITY;

  /** Throws RangeError for bounds or capacities that cannot be. */
  constructor(options: ScaleOptions) {
    if (!(options.min >= 0 && options.max >= Math.max(1, options.min)))
      throw new RangeError(`replicas from ${options.min} to ${options.max}`);
    const { prefillTokensPerSecond, decodeTokensPerSecond, kvTokens } = options.capacity;
    if (!(prefillTokensPerSecond > 0 && decodeTokensPerSecond > 0 && kvTokens > 0))
      throw new RangeError("a replica's capacity must be positive");
    this.options = {
      ...options,
      utilisation: options.utilisation ?? 0.75,
      drainMs: options.drainMs ?? 10_000,
      shrinkAfterMs: options.shrinkAfterMs ?? 300_000,
    };
  }

  observe(sample: LoadSample, now: number): void {
    this.sample = sample;
    this.prefill.observe(sample.prefillTokensPerSecond, now);
    this.output.observe(sample.outputTokensPerSecond, now);
    this.kv.observe(sample.kvTokens, now);
  }

  /** Replicas to have, given how many serve and how many are starting. To be asked every 5 to 10 seconds. */
  plan(ready: number, starting: number, now: number): ScalePlan {
    const { min, max, startMs, shrinkAfterMs } = this.options;
    const have = ready + starting;
    const floor = Math.max(this.floor(now), this.floor(now + startMs));
    const { relief, reason } = this.relief(ready, starting);
    const need = Math.ceil(Math.max(floor, relief) - 1e-9);
    this.wanted.push({ atMs: now, replicas: need });
    this.wanted = this.wanted.filter(({ atMs }) => now - atMs <= shrinkAfterMs);
    const numbers = { floor, relief };
    const bounded = (replicas: number): number => Math.min(max, Math.max(min, replicas));
    if (need > have) return { replicas: bounded(need), reason: relief >= floor ? reason : "floor", ...numbers };
    if (have > max || have < min) return { replicas: bounded(have), reason: "bounds", ...numbers };
    const lately = Math.max(...this.wanted.map(({ replicas }) => replicas));
    const full = this.wanted.length > 0 && now - this.wanted[0]!.atMs >= shrinkAfterMs * 0.9;
    const rested = now - this.shrunkAtMs >= Math.min(shrinkAfterMs, 60_000);
    if (full && rested && starting === 0 && lately < have && have > min) {
      this.shrunkAtMs = now;
      return { replicas: bounded(have - Math.ceil((have - lately) / 2)), reason: "shrink", ...numbers };
    }
    return { replicas: have, reason: "steady", ...numbers };
  }

  /** Replicas that the load expected at `when` fills to `utilisation`. */
  private floor(when: number): number {
    const { role, capacity, utilisation } = this.options;
    const prefill = this.prefill.at(when) / capacity.prefillTokensPerSecond;
    const decode = this.output.at(when) / capacity.decodeTokensPerSecond;
    const kv = this.kv.at(when) / capacity.kvTokens;
    const compute = role === "prefill" ? prefill : role === "decode" ? decode : prefill + decode;
    return Math.max(compute, role === "prefill" ? 0 : kv) / utilisation;
  }

  /** Replicas that promises need now; 0 when they are kept. */
  private relief(ready: number, starting: number): { relief: number; reason: "slo" | "backlog" } {
    const { role, capacity, startMs, sloTtftMs, sloTpotMs } = this.options;
    // Replicas that take a minute to start are not for draining in ten seconds: the load would be long over.
    const drainMs = Math.max(this.options.drainMs, startMs);
    const { sample } = this;
    if (sample === undefined) return { relief: 0, reason: "backlog" };
    if (role !== "decode") {
      const drain = (sample.waitingTokens * 1000) / capacity.prefillTokensPerSecond / drainMs;
      const arriving = sample.prefillTokensPerSecond / capacity.prefillTokensPerSecond;
      if (sample.waitingTokens * 1000 > capacity.prefillTokensPerSecond * Math.max(1, ready) * drainMs)
        return { relief: arriving + drain, reason: "backlog" };
      // Without replicas, the first call that waits asks for the first one.
      if (ready + starting === 0 && sample.waitingTokens > 0) return { relief: 1, reason: "backlog" };
    }
    const late = sloTtftMs !== undefined && role !== "decode" && (sample.ttftMsP90 ?? 0) > sloTtftMs;
    const slow = sloTpotMs !== undefined && role !== "prefill" && (sample.tpotMs ?? 0) > sloTpotMs;
    // One more at a time: how much a replica helps a percentile is seen when it is there.
    if ((late || slow) && starting === 0) return { relief: ready + 1, reason: "slo" };
    return { relief: 0, reason: "backlog" };
  }
}
