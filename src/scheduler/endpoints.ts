// The endpoints that the scheduler knows, by slot, by name and by deployment. A slot is reused only after its endpoint has
// left; every table of the room is indexed by it.
import { maxSlots } from "./limits.ts";
import type { LoadView } from "./load/loadView.ts";
import type { EndpointHealth, EndpointSpec, EndpointState } from "./types.ts";

export class Endpoints {
  private readonly load: LoadView;
  private readonly bySlot: (EndpointState | undefined)[] = [];
  private readonly freeSlots: number[] = [];
  private readonly byKey = new Map<string, EndpointState>();
  private readonly byDeployment = new Map<string, EndpointState[]>();

  constructor(load: LoadView) {
    this.load = load;
  }

  /** Takes in an endpoint rank. Joining again replaces the old one, in the same slot. Throws RangeError when all slots are taken. */
  join(spec: EndpointSpec, health: EndpointHealth): EndpointState {
    const known = this.get(spec.id, spec.rank);
    const slot = known?.slot ?? this.freeSlots.pop() ?? this.bySlot.length;
    if (slot >= maxSlots) throw new RangeError(`more than ${maxSlots} endpoint ranks`);
    if (known !== undefined) this.leave(known, false);
    const state: EndpointState = { slot, spec, load: this.load.of(spec.id, spec.rank), health };
    this.bySlot[slot] = state;
    this.byKey.set(keyOf(spec.id, spec.rank), state);
    const group = this.byDeployment.get(spec.deployment) ?? [];
    group.push(state);
    this.byDeployment.set(spec.deployment, group);
    return state;
  }

  leave(state: EndpointState, forGood = true): void {
    const { id, rank, deployment } = state.spec;
    this.byKey.delete(keyOf(id, rank));
    this.bySlot[state.slot] = undefined;
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

  /** All ranks of an endpoint, or the one named. */
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
