// Pools that grow and shrink inside a run, by the scheduler's own autoscaler: it is given what a gateway would have counted since the
// last time, and its plan is carried out as a fleet would. A new replica serves after its start-up time. A replica that is given up takes
// no more calls, ends those it has, then loses its cache and is no longer paid for. Where departments share chips, the scheduler's quota
// plan limits the replicas that each autoscaler gets; replicas that are asked back drain, and new ones start when chips are free.
import { Autoscaler, planQuota, type ScalePlan } from "../../scheduler/index.ts";
import type { Engine } from "../engine/engine.ts";
import { stepMs, type EngineProfile } from "../engine/profile.ts";
import type { Fleet, ScaledPool } from "../fleet.ts";
import { distribution } from "../report/statistics.ts";
import { endpointSpec } from "./endpointSpec.ts";

/** How many replicas there were when. */
export interface Scaling {
  /** Time that each replica was paid for: from the order to start until it had drained, ms. */
  readonly paidMs: Float64Array;
  readonly changes: readonly ScaleChange[];
  /** Most replicas of all scaled pools together that served at once. */
  readonly peakReady: number;
}

interface ScaleChange {
  atMs: number;
  pool: string;
  /** Replicas wanted from now on, and why. */
  replicas: number;
  /** `quota`: departments share chips, and these were given or asked back. */
  reason: ScalePlan["reason"] | "quota";
}

interface ScalingHost {
  /** What the scheduler counts at a replica that it knows. */
  loadOf(slot: number): { kvTokens: number; prefillTokens: number; inFlight: number };
  /** The replica will serve from `atMs` on: `started` is to be called then. */
  startsAt(slot: number, atMs: number): void;
  /** The replica serves from now on, with an empty cache. */
  joined(slot: number): void;
  /** The replica takes no more calls, or takes calls again. */
  drains(slot: number, draining: boolean): void;
  /** The replica has stopped, and its cache is lost. */
  left(slot: number): void;
}

type State = "off" | "starting" | "ready" | "draining";

/** Counts of a pool since its autoscaler last looked. */
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
  /** Replicas that it may have since the last look. */
  allowed: number;
}

export class FleetScaler {
  readonly everyMs: number;
  readonly #pools: Pool[];
  readonly #poolOf: (Pool | undefined)[];
  /** Of replicas in pools that do not scale: `ready`. */
  readonly #states: State[];
  readonly #engines: readonly Engine[];
  readonly #host: ScalingHost;
  readonly #fleet: Fleet;
  readonly #paidMs: Float64Array;
  /** Since when a replica is paid for; NaN while it is not. */
  readonly #paidSinceMs: Float64Array;
  readonly #changes: ScaleChange[] = [];
  #peakReady = 0;
  #lookedMs = 0;

  constructor(fleet: Fleet, engines: readonly Engine[], host: ScalingHost) {
    this.everyMs = Math.min(...fleet.scaled.map((pool) => pool.everyMs));
    this.#states = engines.map(() => "ready");
    this.#engines = engines;
    this.#host = host;
    this.#fleet = fleet;
    this.#paidMs = new Float64Array(engines.length);
    this.#paidSinceMs = new Float64Array(engines.length);
    this.#poolOf = Array.from({ length: engines.length });
    this.#pools = fleet.scaled.map((described) => {
      const slots = fleet.replicas.flatMap((replica, slot) => (replica.pool === described.name ? [slot] : []));
      const first = fleet.replicas[slots[0]!]!;
      const { profile, role } = first;
      const { speed } = endpointSpec(first, fleet, engines[slots[0]!]!.cache.blockTokens, 0);
      const scaler = new Autoscaler({
        role,
        capacity: capacityOf(profile, speed.prefillTokensPerSecond),
        min: described.min,
        max: slots.length,
        startMs: profile.startUpMs,
        utilisation: described.utilisation,
        shrinkAfterMs: described.shrinkAfterMs,
        sloTtftMs: fleet.slo.ttftMs,
        sloTpotMs: fleet.slo.timePerTokenMs,
      });
      const pool: Pool = { described, scaler, slots, window: emptyWindow(), allowed: described.initial };
      for (const [i, slot] of slots.entries()) {
        this.#poolOf[slot] = pool;
        if (i < described.initial) continue;
        this.#states[slot] = "off";
        this.#paidSinceMs[slot] = Number.NaN;
      }
      return pool;
    });
  }

  /** Whether the scheduler knows the replica: it serves, or drains. */
  holds(slot: number): boolean {
    return this.#states[slot] === "ready" || this.#states[slot] === "draining";
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

  /** A new replica has started. */
  started(slot: number): void {
    if (this.#states[slot] !== "starting") return;
    this.#states[slot] = "ready";
    this.#host.joined(slot);
  }

  /** Gives the autoscalers their counts, and starts and drains replicas by their plans. */
  tick(nowMs: number): void {
    const seconds = Math.max(1e-3, (nowMs - this.#lookedMs) / 1000);
    this.#lookedMs = nowMs;
    for (const pool of this.#pools) {
      this.#stopDrained(pool, nowMs);
      this.#observe(pool, seconds, nowMs);
    }
    const wanted = this.#pools.map((pool) => {
      const ready = this.#of(pool, "ready").length;
      const starting = this.#of(pool, "starting").length;
      return { pool, have: ready + starting, ...pool.scaler.plan(ready, starting, nowMs) };
    });
    const allowed = this.#share(wanted);
    // Draining comes first: another pool may wait for these chips.
    wanted.forEach(({ pool, have }, i) => {
      for (let spare = have - allowed[i]!; spare > 0; spare--) this.#drain(pool);
    });
    let ready = 0;
    wanted.forEach(({ pool, have, replicas, reason }, i) => {
      const why = allowed[i] === replicas ? reason : "quota";
      const { name } = pool.described;
      if (allowed[i] !== pool.allowed)
        this.#changes.push({ atMs: nowMs, pool: name, replicas: allowed[i]!, reason: why });
      pool.allowed = allowed[i]!;
      for (let missing = allowed[i]! - have; missing > 0; missing--) this.#start(pool, nowMs);
      ready += this.#of(pool, "ready").length;
    });
    this.#peakReady = Math.max(this.#peakReady, ready);
  }

  /** Replicas that still serve are paid for until `endMs`. */
  finish(endMs: number): Scaling {
    this.#paidSinceMs.forEach((sinceMs, slot) => {
      if (!Number.isNaN(sinceMs)) this.#paidMs[slot]! += Math.max(0, endMs - sinceMs);
    });
    return { paidMs: this.#paidMs, changes: this.#changes, peakReady: this.#peakReady };
  }

  #observe(pool: Pool, seconds: number, nowMs: number): void {
    const { window, scaler } = pool;
    pool.window = emptyWindow();
    const loads = pool.slots.filter((slot) => this.holds(slot)).map((slot) => this.#host.loadOf(slot));
    scaler.observe(
      {
        prefillTokensPerSecond: window.prefillTokens / seconds,
        outputTokensPerSecond: window.outputTokens / seconds,
        kvTokens: loads.reduce((sum, load) => sum + load.kvTokens, 0),
        waitingTokens: loads.reduce((sum, load) => sum + load.prefillTokens, 0),
        ...(window.ttftMs.length > 0 && { ttftMsP90: distribution(window.ttftMs).p90 }),
        ...(window.timePerTokenMs.length > 0 && { tpotMs: distribution(window.timePerTokenMs).mean }),
      },
      nowMs,
    );
  }

  /** Replicas that each pool may have of those it wants, by the departments' quotas. */
  #share(wanted: readonly { pool: Pool; have: number; replicas: number }[]): number[] {
    const { departments, chips } = this.#fleet;
    if (chips === undefined) return wanted.map(({ replicas }) => replicas);
    const demands = wanted.map(({ pool, have, replicas }) => {
      const { profile, department } = this.#fleet.replicas[pool.slots[0]!]!;
      return {
        id: pool.described.name,
        department: department ?? "",
        replicas,
        options: [{ chip: profile.chip, chipsPerReplica: profile.chips, speed: 1 }],
        priority: 0,
        preemptible: true,
        running: { [profile.chip]: have },
        startedMs: 0,
      };
    });
    const pools = Object.entries(chips).map(([chip, count]) => ({ chip, chips: count }));
    const known = departments.length > 0 ? departments : [{ name: "", guaranteed: {} }];
    const { grants } = planQuota(pools, known, demands);
    return demands.map(({ id }) =>
      grants.reduce((sum, grant) => (grant.demand === id ? sum + grant.replicas : sum), 0),
    );
  }

  /** Chips of the kind that no replica holds; draining replicas still hold theirs. */
  #freeChips(chip: string): number {
    const { chips, replicas } = this.#fleet;
    if (chips === undefined) return Infinity;
    return replicas.reduce(
      (free, { profile }, slot) =>
        profile.chip === chip && this.#states[slot] !== "off" ? free - profile.chips : free,
      chips[chip] ?? 0,
    );
  }

  /** One replica more: a draining one serves again, else one that is off starts. */
  #start(pool: Pool, nowMs: number): void {
    const [draining] = this.#of(pool, "draining");
    if (draining !== undefined) {
      this.#states[draining] = "ready";
      return this.#host.drains(draining, false);
    }
    const [off] = this.#of(pool, "off");
    if (off === undefined) return;
    const { profile } = this.#engines[off]!;
    if (this.#freeChips(profile.chip) < profile.chips) return;
    this.#states[off] = "starting";
    this.#paidSinceMs[off] = nowMs;
    this.#host.startsAt(off, nowMs + profile.startUpMs);
  }

  /** One replica fewer: the one with the fewest calls drains. */
  #drain(pool: Pool): void {
    const inFlight = (slot: number): number => this.#host.loadOf(slot).inFlight;
    const [idlest] = this.#of(pool, "ready").toSorted((a, b) => inFlight(a) - inFlight(b) || b - a);
    if (idlest === undefined) return;
    this.#states[idlest] = "draining";
    this.#host.drains(idlest, true);
  }

  #stopDrained(pool: Pool, nowMs: number): void {
    for (const slot of this.#of(pool, "draining")) {
      if (this.#host.loadOf(slot).inFlight > 0 || this.#engines[slot]!.inside > 0) continue;
      this.#states[slot] = "off";
      this.#paidMs[slot]! += nowMs - this.#paidSinceMs[slot]!;
      this.#paidSinceMs[slot] = Number.NaN;
      this.#engines[slot]!.cache.clear();
      this.#engines[slot]!.kept?.clear();
      this.#host.left(slot);
    }
  }

  #of(pool: Pool, state: State): number[] {
    return pool.slots.filter((slot) => this.#states[slot] === state);
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
