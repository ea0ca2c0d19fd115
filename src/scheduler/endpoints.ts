// The endpoints that the scheduler knows, by slot, by name and by deployment. A slot is reused only after its endpoint has
// left; every table of the room is indexed by it.
import { maxSlots } from "./limits.ts";
import type { LoadView } from "./load/loadView.ts";
import { SpeedMeter } from "./load/speed.ts";
import type { CallTimings, CallUsage, EndpointHealth, EndpointSpec, EndpointState } from "./types.ts";

export class Endpoints {
  private readonly load: LoadView;
  private readonly bySlot: (EndpointState | undefined)[] = [];
  private readonly freeSlots: number[] = [];
  private readonly byKey = new Map<string, EndpointState>();
  private readonly byDeployment = new Map<string, EndpointState[]>();
  private readonly meters = new Map<EndpointState, SpeedMeter>();

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
    this.meters.set(state, new SpeedMeter(spec.speed));
    this.bySlot[slot] = state;
    this.byKey.set(keyOf(spec.id, spec.rank), state);
    const group = this.byDeployment.get(spec.deployment) ?? [];
    group.push(state);
    this.byDeployment.set(spec.deployment, group);
    return state;
  }

  /**
   * Learns an endpoint's speed from a call that it served. Endpoints of the same kind without a measurement of their own are taken to be
   * as fast: otherwise an untried endpoint would look better the slower the measured ones are.
   */
  served(state: EndpointState, usage: CallUsage, timings: CallTimings, aheadTokens: number): void {
    const meter = this.meters.get(state);
    if (meter === undefined) return;
    meter.observe(usage, timings, aheadTokens);
    // Attention is not measured and stays as it was given.
    state.spec.speed = { ...state.spec.speed, ...meter.speed };
    state.measured = true;
    for (const other of this.ofDeployment(state.spec.deployment)) {
      if (other.measured === true || other.spec.chip !== state.spec.chip || other.spec.role !== state.spec.role)
        continue;
      other.spec.speed = { ...other.spec.speed, ...meter.speed };
      this.meters.set(other, new SpeedMeter(meter.speed));
    }
  }

  leave(state: EndpointState, forGood = true): void {
    const { id, rank, deployment } = state.spec;
    this.byKey.delete(keyOf(id, rank));
    this.bySlot[state.slot] = undefined;
    this.meters.delete(state);
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
