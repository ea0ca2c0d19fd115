// How cells compose (docs/internet-scale.md rests on this): cells that share neither calls nor replicas add up exactly. The run of
// the union is, call by call and to the last digit, the union of the runs.
import { expect, it } from "vitest";
import { makePolicy, type Policy } from "../../scheduler/index.ts";
import { parseFleet } from "../fleet.ts";
import { Random } from "../random.ts";
import { WorkloadBuilder } from "../traces/builder.ts";
import type { Workload } from "../types.ts";
import { simulate } from "./simulation.ts";
import { headOf, scaleWorkload } from "../traces/scale.ts";

const seed = 3;
const cellSize = 2;

function load(): Workload {
  const builder = new WorkloadBuilder("cell", 512);
  const random = new Random(5);
  let atMs = 0;
  for (let c = 0; c < 40; c++) {
    atMs += random.exponential(300);
    let previous: number | undefined;
    const blocks: number[] = [];
    for (let turn = 0; turn < 3; turn++) {
      for (let i = 0; i < 3; i++) blocks.push(builder.freshBlock());
      previous = builder.add({
        tenant: "t",
        program: `${c}`,
        promptTokens: blocks.length * 512,
        outputTokens: 10 + random.below(50),
        blocks: Int32Array.from(blocks),
        after: previous === undefined ? [] : [previous],
        delayMs: previous === undefined ? atMs : 700,
      }).index;
    }
  }
  return builder.build();
}

/** Every tenant has a cell of replicas to itself, placed there by a policy (and chance) of its own. */
function inCells(name: string, cells: number): Policy {
  const own = Array.from({ length: cells }, () => ({
    policy: makePolicy(name),
    rng: Random.stream(seed, "placement").next,
  }));
  return {
    ...makePolicy(name),
    choose(view) {
      const cell = Number(view.call.tenant);
      const from = cell * cellSize;
      const { policy, rng } = own[cell]!;
      const part = {
        ...view,
        count: cellSize,
        endpoints: view.endpoints.slice(from, from + cellSize),
        matched: view.matched.subarray(from * 4, (from + cellSize) * 4),
        matchedTokens: view.matchedTokens.subarray(from, from + cellSize),
        expectedTokens: view.expectedTokens.subarray(from, from + cellSize),
      };
      const choice = policy.choose(part, rng);
      return { ...choice, index: from + choice.index, runnerUp: choice.runnerUp < 0 ? -1 : from + choice.runnerUp };
    },
  };
}

it.each(["round-robin", "cache-aware", "least-load"])("cells placed by %s add up exactly", (name) => {
  const one = load();
  const cells = 3;
  const together = scaleWorkload(one, { copies: cells, shiftMs: 2000, seed });
  const fleet = (replicas: number) =>
    parseFleet({ pools: [{ name: "a", profile: "h100-llama-3.1-70b-tp8", replicas }] });
  const union = simulate(together, fleet(cells * cellSize), inCells(name, cells), { seed }).records;
  const shiftMs = [0, 1, 2].map((cell) => together.calls[cell * one.calls.length]!.delayMs - one.calls[0]!.delayMs);
  for (let cell = 0; cell < cells; cell++) {
    const shifted: Workload = {
      ...one,
      calls: headOf(one, one.calls.length).calls.map((call) => ({
        ...call,
        delayMs: call.after.length === 0 ? call.delayMs + shiftMs[cell]! : call.delayMs,
      })),
    };
    const alone = simulate(shifted, fleet(cellSize), makePolicy(name), { seed }).records;
    const at = cell * one.calls.length;
    expect([...union.firstMs.subarray(at, at + one.calls.length)]).toEqual([...alone.firstMs]);
    expect([...union.cachedTokens.subarray(at, at + one.calls.length)]).toEqual([...alone.cachedTokens]);
    const local = [...union.endpoint.subarray(at, at + one.calls.length)].map((endpoint) => endpoint - cell * cellSize);
    expect(local).toEqual([...alone.endpoint]);
  }
});
