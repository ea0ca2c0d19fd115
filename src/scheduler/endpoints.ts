// The endpoints that the scheduler knows, by slot, by name and by deployment. A slot is reused only after its endpoint has
// left; every table of the room is indexed by it.
import { maxSlots } from "./limits.ts";
import type { LoadView } from "./load/loadView.ts";
import type { PeriodShare, Shown } from "./load/busyPeriods.ts";
import { EqualSpeeds, SpeedMeter } from "./load/speed.ts";
import { attentionMs } from "./placement/estimate.ts";
import type { CallTimings, CallUsage } from "./events.ts";
import type { Call, CandidateNumbers, EndpointHealth, EndpointSpec, EndpointSpeed, EndpointState } from "./types.ts";

/** A call's prefill at an endpoint: what its busy period learns from when the call has ended. */
export interface Prefilling {
  endpoint: EndpointState;
  share: PeriodShare;
  /** Whether a part of the prompt is expected to be read from a lower tier. */
  reads: boolean;
  /** Whether it is known that nothing of the prompt was cached. */
  cold: boolean;
}

export class Endpoints {
  private readonly load: LoadView;
  private readonly bySlot: (EndpointState | undefined)[] = [];
  private readonly freeSlots: number[] = [];
  private readonly byKey = new Map<string, EndpointState>();
  private readonly byDeployment = new Map<string, EndpointState[]>();
  private readonly meters = new Map<EndpointState, SpeedMeter>();
  /** By what makes endpoints equal: their speeds, and how many they are. */
  private readonly equals = new Map<string, { speeds: EqualSpeeds; members: number }>();

  constructor(load: LoadView) {
    this.load = load;
  }

  /** Takes in an endpoint rank. Joining again replaces the old one, in the same slot. Throws RangeError when all slots are taken. */
  join(spec: EndpointSpec, health: EndpointHealth): EndpointState {
    const known = this.get(spec.id, spec.rank);
    const slot = known?.slot ?? this.freeSlots.pop() ?? this.bySlot.length;
    if (slot >= maxSlots) throw new RangeError(`more than ${maxSlots} endpoint ranks`);
    if (known !== undefined) this.leave(known, false);
    // A copy, since its speed is learned and the caller's object must not change.
    const own = { ...spec };
    const state: EndpointState = { slot, spec: own, load: this.load.of(spec.id, spec.rank), health };
    this.measure(state);
    this.bySlot[slot] = state;
    this.byKey.set(keyOf(spec.id, spec.rank), state);
    const group = this.byDeployment.get(spec.deployment) ?? [];
    group.push(state);
    this.byDeployment.set(spec.deployment, group);
    return state;
  }

  /** Endpoints of one deployment, chip and role that were told the same speed learn their speeds together. */
  private measure(state: EndpointState): void {
    const { speed } = state.spec;
    const key = equalsOf(state.spec);
    const equals = this.equals.get(key) ?? { speeds: new EqualSpeeds(speed), members: 0 };
    equals.members++;
    this.equals.set(key, equals);
    state.equals = key;
    this.meters.set(state, new SpeedMeter(equals.speeds, speed.reloadMsPerToken));
  }

  /**
   * A call was placed, whose prompt is computed at the endpoint. `numbers`: the endpoint's when it was chosen. `fresh`: no call of its
   * program was placed before it.
   */
  prefills(
    state: EndpointState,
    call: Call,
    numbers: CandidateNumbers,
    fresh: boolean,
    now: number,
  ): Prefilling | undefined {
    const busy = this.meters.get(state)?.busy;
    if (busy === undefined) return undefined;
    const { spec, load } = state;
    const outputs = (numbers.inFlight + 1) * call.outputTokens;
    const room =
      numbers.inFlight < spec.slots && numbers.kvTokens + call.promptTokens + outputs <= spec.kvCapacityTokens;
    const alone = load.prefilling <= busy.computing + 1;
    const { host, disk, remote } = numbers.matchedByTier;
    const reads = host + disk + remote > 0;
    return {
      endpoint: state,
      share: busy.placed(room && alone, now),
      reads,
      cold: this.isCold(spec, call, numbers, fresh),
    };
  }

  /**
   * Whether it is known that nothing of the prompt lies in the endpoint's cache. An engine's events say all that it holds. Without them only
   * own placements are known, and those are forgotten in time: other gateways' calls, or an earlier call of the program, may have left
   * a part of the prompt there.
   */
  private isCold(
    { id, rank, space, knowledge }: EndpointSpec,
    call: Call,
    numbers: CandidateNumbers,
    fresh: boolean,
  ): boolean {
    const hashed = call.prompt.some((prompt) => prompt.space === space && prompt.blocks > 0);
    if (!hashed || numbers.matchedTokens > 0) return false;
    return knowledge === "events" || (fresh && !this.load.isShared(id, rank));
  }

  /** The prompt has been computed. */
  prefilled({ endpoint, share }: Prefilling, now: number): void {
    const busy = this.meters.get(endpoint)?.busy;
    if (busy === undefined) return;
    busy.prefilled(share, now);
    // Prompts of other gateways are computed in the same time.
    if (endpoint.load.prefilling > busy.computing) share.period.clean = false;
  }

  /**
   * The call has ended. Without usage and the time of its prefill its busy period teaches nothing. Where the engine does not report cached
   * tokens, the whole prompt counts as computed if it is known that nothing of it was cached; else the period teaches nothing. The predicted
   * match is no substitute: if more was cached than predicted, the engine would seem faster than it is, and deadlines would be too short.
   */
  showed(
    { endpoint, share, reads, cold }: Prefilling,
    usage: CallUsage | undefined,
    timings: CallTimings,
    now: number,
  ): void {
    const meter = this.meters.get(endpoint);
    if (meter === undefined) return;
    const { prefillMs, restoreMs } = timings;
    const cached = usage?.cachedTokens ?? (cold ? 0 : undefined);
    let shown: Shown | undefined;
    if (usage !== undefined && cached !== undefined && prefillMs !== undefined && (!reads || restoreMs !== undefined)) {
      const tokens = Math.max(1, usage.promptTokens - cached);
      const beyond = attentionMs(endpoint.spec, tokens, cached);
      shown = { tokens, attentionMs: beyond, prefillMs, readBack: reads || (restoreMs ?? 0) > 0 };
    }
    meter.busy.ended(share, shown, now);
    if (shown !== undefined) this.learned(endpoint, meter);
  }

  /** Learns an endpoint's other speeds from a call that it served. */
  served(state: EndpointState, usage: CallUsage, timings: CallTimings): void {
    const meter = this.meters.get(state);
    if (meter === undefined) return;
    meter.observe(usage, timings);
    this.learned(state, meter);
  }

  /**
   * Endpoints of the same kind without calls of their own are taken to be as fast as their equals: otherwise an untried endpoint would look
   * better the slower the measured ones are.
   */
  private learned(state: EndpointState, meter: SpeedMeter): void {
    // Attention is not measured and stays as it was given.
    state.spec.speed = { ...state.spec.speed, ...meter.speed };
    if (meter.measured) state.measured = true;
    let common: EndpointSpeed | undefined;
    for (const other of this.ofDeployment(state.spec.deployment)) {
      const untried = this.meters.get(other)!;
      if (untried.seen || other.equals !== state.equals) continue;
      common ??= { ...untried.speed, reloadMsPerToken: meter.speed.reloadMsPerToken };
      const { speed } = other.spec;
      const reloadMsPerToken = { ...speed.reloadMsPerToken, ...common.reloadMsPerToken };
      other.spec.speed = { ...speed, ...common, reloadMsPerToken };
    }
  }

  leave(state: EndpointState, forGood = true): void {
    const { id, rank, deployment } = state.spec;
    this.byKey.delete(keyOf(id, rank));
    this.bySlot[state.slot] = undefined;
    this.meters.get(state)?.leave();
    this.meters.delete(state);
    const equals = this.equals.get(state.equals ?? "");
    if (equals !== undefined && --equals.members === 0) this.equals.delete(state.equals!);
    const left = (this.byDeployment.get(deployment) ?? []).filter((other) => other !== state);
    if (left.length === 0) this.byDeployment.delete(deployment);
    else this.byDeployment.set(deployment, left);
    if (!forGood) return;
    this.load.leave(id, rank);
    this.freeSlots.push(state.slot);
  }

  get(endpoint: string, rank = 0): EndpointState | undefined {
    return this.byKey.get(keyOf(endpoint, rank));
  }

  /** All ranks of an endpoint, or the named rank only. */
  ranks(endpoint: string, rank?: number): EndpointState[] {
    return this.all().filter((state) => state.spec.id === endpoint && (rank === undefined || state.spec.rank === rank));
  }

  ofDeployment(deployment: string): readonly EndpointState[] {
    return this.byDeployment.get(deployment) ?? [];
  }

  deployments(): Iterable<string> {
    return this.byDeployment.keys();
  }

  all(): EndpointState[] {
    return this.bySlot.filter((state) => state !== undefined);
  }
}

function keyOf(endpoint: string, rank: number): string {
  return `${rank} ${endpoint}`;
}

/** Endpoints with the same name here should be equally fast. */
function equalsOf({ deployment, role, chip = "", speed }: EndpointSpec): string {
  return JSON.stringify([deployment, role, chip, speed.prefillTokensPerSecond, speed.decodeTokensPerSecond]);
}
