// Pools that grow and shrink inside a run, by the scheduler's own autoscaler: it is shown what a gateway would have counted since
// the last time, and its plan is carried out as a fleet would. A replica that is asked for serves after its start-up time; one
// that is given up takes no more calls, ends those it has, and then loses its cache and costs nothing.
import { Autoscaler, type EndpointHealth, type ScalePlan } from "../../scheduler/index.ts";
import type { Engine } from "../engine/engine.ts";
import { stepMs, type EngineProfile } from "../engine/profile.ts";
import type { Fleet, ScaledPool } from "../fleet.ts";
import { distribution } from "../report/statistics.ts";
import type { SimulatedEndpoint } from "./scraped.ts";

/** How many replicas there were when. */
export interface Scaling {
  /** Time that each replica was paid for: from the order to start until it had drained, ms. */
  readonly paidMs: Float64Array;
  readonly changes: readonly ScaleChange[];
  /** Most replicas of all scaled pools together that served at once. */
  readonly peakReady: number;
}

export interface ScaleChange {
  atMs: number;
  pool: string;
  /** Replicas wanted from now on, and why. */
  replicas: number;
  reason: ScalePlan["reason"];
}

export interface ScalingHost {
  /** The replica will serve from `atMs` on: `started` is to be called then. */
  startsAt(slot: number, atMs: number): void;
  /** Which endpoints may be used has changed. */
  changed(): void;
  /** The replica is gone, and what it had cached with it. */
  stopped(slot: number): void;
}

/** What happened in a pool since the last look. */
interface Window {
  prefillTokens: number;
  outputTokens: number;
  ttftMs: number[];
  timePerTokenMs: number[];
}

interface Pool {
  readonly described: ScaledPool;
  readonly scaler: Autoscaler;
  readonly slots: readonly number[];
  window: Window;
}

export class FleetScaler {
  readonly everyMs: number;
  readonly #pools: Pool[];
  readonly #poolOf: (Pool | undefined)[];
  readonly #endpoints: readonly SimulatedEndpoint[];
  readonly #engines: readonly Engine[];
  readonly #host: ScalingHost;
  readonly #paidMs: Float64Array;
  /** Since when a replica is paid for; NaN while it is not. */
  readonly #paidSinceMs: Float64Array;
  readonly #changes: ScaleChange[] = [];
  #peakReady = 0;
  #lookedMs = 0;

  constructor(fleet: Fleet, endpoints: readonly SimulatedEndpoint[], engines: readonly Engine[], host: ScalingHost) {
    this.everyMs = Math.min(...fleet.scaled.map((pool) => pool.everyMs));
    this.#endpoints = endpoints;
    this.#engines = engines;
    this.#host = host;
    this.#paidMs = new Float64Array(endpoints.length);
    this.#paidSinceMs = new Float64Array(endpoints.length);
    this.#poolOf = Array.from({ length: endpoints.length });
    this.#pools = fleet.scaled.map((described) => {
      const slots = fleet.replicas.flatMap((replica, slot) => (replica.pool === described.name ? [slot] : []));
      const { profile, role } = fleet.replicas[slots[0]!]!;
      const scaler = new Autoscaler({
        role,
        capacity: capacityOf(profile, endpoints[slots[0]!]!.spec.speed.prefillTokensPerSecond),
        min: described.min,
        max: slots.length,
        startMs: profile.startUpMs,
        utilisation: described.utilisation,
        shrinkAfterMs: described.shrinkAfterMs,
        sloTtftMs: fleet.slo.ttftMs,
        sloTpotMs: fleet.slo.timePerTokenMs,
      });
      const pool: Pool = { described, scaler, slots, window: emptyWindow() };
      for (const [i, slot] of slots.entries()) {
        this.#poolOf[slot] = pool;
        if (i < described.initial) continue;
        endpoints[slot]!.health = "down";
        this.#paidSinceMs[slot] = Number.NaN;
      }
      return pool;
    });
  }

  placed(slot: number, uncachedTokens: number): void {
    const pool = this.#poolOf[slot];
    if (pool !== undefined) pool.window.prefillTokens += uncachedTokens;
  }

  firstToken(slot: number, ttftMs: number): void {
    this.#poolOf[slot]?.window.ttftMs.push(ttftMs);
  }

  ended(slot: number, outputTokens: number, timePerTokenMs: number): void {
    const pool = this.#poolOf[slot];
    if (pool === undefined) return;
    pool.window.outputTokens += outputTokens;
    if (outputTokens > 1) pool.window.timePerTokenMs.push(timePerTokenMs);
  }

  /** A replica that was asked for has come up. */
  started(slot: number): void {
    const endpoint = this.#endpoints[slot]!;
    if (endpoint.health !== "starting") return;
    endpoint.health = "ready";
    this.#host.changed();
  }

  /** Looks at what has happened, asks the autoscaler, and begins what it wants. */
  tick(nowMs: number): void {
    const seconds = Math.max(1e-3, (nowMs - this.#lookedMs) / 1000);
    this.#lookedMs = nowMs;
    let ready = 0;
    for (const pool of this.#pools) {
      this.#stopDrained(pool, nowMs);
      this.#observe(pool, seconds, nowMs);
      this.#carryOut(pool, nowMs);
      ready += this.#of(pool, "ready").length;
    }
    this.#peakReady = Math.max(this.#peakReady, ready);
    this.#host.changed();
  }

  /** What is still on is paid for until `endMs`. */
  finish(endMs: number): Scaling {
    this.#paidSinceMs.forEach((sinceMs, slot) => {
      if (!Number.isNaN(sinceMs)) this.#paidMs[slot]! += Math.max(0, endMs - sinceMs);
    });
    return { paidMs: this.#paidMs, changes: this.#changes, peakReady: this.#peakReady };
  }

  #observe(pool: Pool, seconds: number, nowMs: number): void {
    const { window, scaler } = pool;
    pool.window = emptyWindow();
    const sum = (of: (endpoint: SimulatedEndpoint) => number): number =>
      pool.slots.reduce((total, slot) => total + of(this.#endpoints[slot]!), 0);
    scaler.observe(
      {
        prefillTokensPerSecond: window.prefillTokens / seconds,
        outputTokensPerSecond: window.outputTokens / seconds,
        kvTokens: sum(({ load }) => load.kvTokens),
        waitingTokens: sum(({ load }) => load.prefillTokens),
        ...(window.ttftMs.length > 0 && { ttftMsP90: distribution(window.ttftMs).p90 }),
        ...(window.timePerTokenMs.length > 0 && { tpotMs: distribution(window.timePerTokenMs).mean }),
      },
      nowMs,
    );
  }

  #carryOut(pool: Pool, nowMs: number): void {
    const have = this.#of(pool, "ready").length + this.#of(pool, "starting").length;
    const plan = pool.scaler.plan(this.#of(pool, "ready").length, have - this.#of(pool, "ready").length, nowMs);
    if (plan.replicas === have) return;
    this.#changes.push({ atMs: nowMs, pool: pool.described.name, replicas: plan.replicas, reason: plan.reason });
    for (let missing = plan.replicas - have; missing > 0; missing--) this.#start(pool, nowMs);
    for (let spare = have - plan.replicas; spare > 0; spare--) this.#drain(pool);
  }

  /** One more: one that drains is kept, else one that is off is started. */
  #start(pool: Pool, nowMs: number): void {
    const [draining] = this.#of(pool, "draining");
    if (draining !== undefined) {
      this.#endpoints[draining]!.health = "ready";
      return;
    }
    const [off] = this.#of(pool, "down");
    if (off === undefined) return;
    this.#endpoints[off]!.health = "starting";
    this.#paidSinceMs[off] = nowMs;
    this.#host.startsAt(off, nowMs + this.#engines[off]!.profile.startUpMs);
  }

  /** One fewer: the one with the least to finish. */
  #drain(pool: Pool): void {
    const inFlight = (slot: number): number => this.#endpoints[slot]!.load.inFlight;
    const [idlest] = this.#of(pool, "ready").toSorted((a, b) => inFlight(a) - inFlight(b) || b - a);
    if (idlest !== undefined) this.#endpoints[idlest]!.health = "draining";
  }

  #stopDrained(pool: Pool, nowMs: number): void {
    for (const slot of this.#of(pool, "draining")) {
      if (this.#endpoints[slot]!.load.inFlight > 0 || this.#engines[slot]!.inside > 0) continue;
      this.#endpoints[slot]!.health = "down";
      this.#paidMs[slot]! += nowMs - this.#paidSinceMs[slot]!;
      this.#paidSinceMs[slot] = Number.NaN;
      this.#engines[slot]!.cache.clear();
      this.#host.stopped(slot);
    }
  }

  #of(pool: Pool, health: EndpointHealth): number[] {
    return pool.slots.filter((slot) => this.#endpoints[slot]!.health === health);
  }
}

/** KV of a usual sequence while it decodes, for the batch at which a replica's decode rate is stated. */
const usualSequenceTokens = 8192;

function capacityOf(profile: EngineProfile, prefillTokensPerSecond: number) {
  const batch = Math.max(1, Math.min(profile.maxSequences, Math.floor(profile.kvCapacityTokens / usualSequenceTokens)));
  const ms = stepMs(profile, 0, 0, batch, batch * usualSequenceTokens);
  return { prefillTokensPerSecond, decodeTokensPerSecond: (batch * 1000) / ms, kvTokens: profile.kvCapacityTokens };
}

function emptyWindow(): Window {
  return { prefillTokens: 0, outputTokens: 0, ttftMs: [], timePerTokenMs: [] };
}
