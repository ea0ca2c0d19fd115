// Rival: consistent hashing with bounded loads (Mirrokni, Thorup, Zadimoghaddam 2018). A call's affinity key names a point
// on a ring; endpoints stand on it 160 times each; the first one clockwise that bears at most `bound` times its fair share
// of requests takes the call.
import type { EndpointState, PlacementView, Policy } from "../types.ts";
import { finish } from "../prefix/hash.ts";
import { second } from "./choose.ts";

export interface ConsistentHashOptions {
  bound?: number;
  points?: number;
}

interface Ring {
  /** Positions in order, and whose they are (index into `members`). */
  at: Uint32Array;
  owner: Uint32Array;
}

export function consistentHash(options: ConsistentHashOptions = {}): Policy {
  const { bound = 1.25, points = 160 } = options;
  let members: readonly EndpointState["spec"][] = [];
  let ring: Ring = { at: new Uint32Array(0), owner: new Uint32Array(0) };
  return {
    name: "consistent-hash",
    card: {
      goodFor: "sessions, with nothing known of caches; several gateways agree without talking",
      badAt: "prefixes shared between sessions; sessions of unlike weight",
      needs: "an affinity key; requests in flight",
      source: "arXiv 1608.01350; vLLM router's 160 points",
    },
    choose(view) {
      if (!isSame(members, view)) {
        members = view.endpoints.slice(0, view.count).map((endpoint) => endpoint.spec);
        ring = buildRing(members, points);
      }
      let inFlight = 1;
      for (let i = 0; i < view.count; i++) inFlight += view.endpoints[i]!.load.inFlight;
      const limit = Math.ceil((bound * inFlight) / view.count);
      const key = hashText(view.call.affinity ?? view.call.program ?? view.call.id);
      const found: number[] = [];
      let steps = 0;
      const start = lowerBound(ring.at, key);
      let home = -1;
      for (let walked = 0; walked < ring.at.length && found.length < 2; walked++) {
        const owner = ring.owner[(start + walked) % ring.at.length]!;
        if (home < 0) home = owner;
        if (found.includes(owner)) continue;
        if (view.endpoints[owner]!.load.inFlight + 1 > limit) {
          steps++;
          continue;
        }
        found.push(owner);
      }
      const index = found[0] ?? home;
      const runnerUp = found[1] ?? second(new Float64Array(view.count), view.count, index);
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

function isSame(members: readonly EndpointState["spec"][], view: PlacementView): boolean {
  if (members.length !== view.count) return false;
  for (let i = 0; i < view.count; i++) if (members[i] !== view.endpoints[i]!.spec) return false;
  return true;
}

function buildRing(members: readonly EndpointState["spec"][], points: number): Ring {
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
