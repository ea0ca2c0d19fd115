// Rival: consistent hashing with bounded loads (Mirrokni, Thorup, Zadimoghaddam 2018). A call's affinity key names a point
// on a ring; endpoints stand on it 160 times each; the first one clockwise that bears at most `bound` times its fair share
// of requests takes the call.
import type { EndpointState, PlacementView, Policy } from "../types.ts";
import { finish } from "../prefix/hash.ts";
import { second } from "./choose.ts";

interface ConsistentHashOptions {
  bound?: number;
  points?: number;
}

interface Ring {
  /** Positions in order, and the member that each belongs to. */
  at: Uint32Array;
  owner: Uint32Array;
}

type Spec = EndpointState["spec"];

/**
 * The ring of all endpoints that have been candidates lately. Who is a candidate changes from call to call (an endpoint is full, or ejected),
 * and members that are none are passed over: that chooses as a ring of the candidates alone would, without building one for each call.
 */
class Members {
  private readonly points: number;
  private readonly numbers = new Map<Spec, number>();
  /** By member, its place among the candidates of the call; -1 when it is none. */
  private places = new Int32Array(0);
  ring: Ring = { at: new Uint32Array(0), owner: new Uint32Array(0) };

  constructor(points: number) {
    this.points = points;
  }

  /** Places of the members among the candidates of a view. Valid until the next call. */
  placesIn(view: PlacementView): Int32Array {
    for (let i = 0; i < view.count; i++) {
      if (this.numbers.has(view.endpoints[i]!.spec)) continue;
      this.rebuild(view);
      break;
    }
    this.places.fill(-1);
    for (let i = 0; i < view.count; i++) this.places[this.numbers.get(view.endpoints[i]!.spec)!] = i;
    return this.places;
  }

  /** Takes in new candidates. Members that are no candidates are forgotten once they are many, since most of them have left. */
  private rebuild(view: PlacementView): void {
    const candidates = view.endpoints.slice(0, view.count).map(({ spec }) => spec);
    if (this.numbers.size > 2 * view.count) this.numbers.clear();
    const specs = [...new Set([...this.numbers.keys(), ...candidates])];
    this.numbers.clear();
    specs.forEach((spec, number) => this.numbers.set(spec, number));
    this.places = new Int32Array(specs.length);
    this.ring = buildRing(specs, this.points);
  }
}

export function consistentHash(options: ConsistentHashOptions = {}): Policy {
  const { bound = 1.25, points = 160 } = options;
  const members = new Members(points);
  return {
    name: "consistent-hash",
    card: {
      goodFor: "sessions, with nothing known of caches; several gateways agree without talking",
      badAt: "prefixes shared between sessions; sessions of unlike weight",
      needs: "an affinity key; requests in flight",
      source: "arXiv 1608.01350; vLLM router's 160 points",
    },
    choose(view) {
      const places = members.placesIn(view);
      const { ring } = members;
      let inFlight = 1;
      for (let i = 0; i < view.count; i++) inFlight += view.endpoints[i]!.load.inFlight;
      const limit = Math.ceil((bound * inFlight) / view.count);
      const key = hashText(view.call.affinity ?? view.call.program ?? view.call.id);
      let first = -1;
      let next = -1;
      let home = -1;
      let steps = 0;
      const start = lowerBound(ring.at, key);
      for (let walked = 0; walked < ring.at.length && next < 0; walked++) {
        const place = places[ring.owner[(start + walked) % ring.at.length]!]!;
        if (place < 0) continue;
        if (home < 0) home = place;
        if (place === first) continue;
        if (view.endpoints[place]!.load.inFlight + 1 > limit) {
          steps++;
          continue;
        }
        if (first < 0) first = place;
        else next = place;
      }
      const index = first < 0 ? home : first;
      const runnerUp = next < 0 ? second(new Float64Array(view.count), view.count, index) : next;
      const reason = index === home ? "ring" : "bounded";
      return {
        index,
        runnerUp,
        cost: 0,
        runnerUpCost: runnerUp < 0 ? Number.NaN : 1,
        ties: 1,
        reason,
        terms: { limit, steps },
      };
    },
  };
}

function buildRing(members: readonly Spec[], points: number): Ring {
  const all: [number, number][] = [];
  members.forEach(({ id, rank }, owner) => {
    const base = hashText(`${id}#${rank}`);
    for (let i = 0; i < points; i++) all.push([finish(base + Math.imul(i, 0x9e3779b1)) >>> 0, owner]);
  });
  all.sort((a, b) => a[0] - b[0] || a[1] - b[1]);
  return { at: Uint32Array.from(all, ([at]) => at), owner: Uint32Array.from(all, ([, owner]) => owner) };
}

function lowerBound(sorted: Uint32Array, value: number): number {
  let from = 0;
  let to = sorted.length;
  while (from < to) {
    const middle = (from + to) >>> 1;
    if (sorted[middle]! < value) from = middle + 1;
    else to = middle;
  }
  return from;
}

function hashText(text: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
  return finish(hash) >>> 0;
}
