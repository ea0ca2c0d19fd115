// What the simulator says of a replay: the same sessions with the prompts as they were really tokenised and the answers as long as
// they really were, in a closed loop, on two modelled workers, under the same rule.
//
// Blocks are small here (8 tokens) because the worker reuses a prefix to the token, not in blocks. A folder of parked states that both
// workers read is a store of the fleet that takes what is evicted.
import { makePolicy } from "../../src/scheduler/index.ts";
import { type Fleet, parseFleet } from "../../src/simulator/fleet.ts";
import { summarise, type RunSummary } from "../../src/simulator/report/summary.ts";
import { simulate } from "../../src/simulator/run/simulation.ts";
import { WorkloadBuilder } from "../../src/simulator/traces/builder.ts";
import type { Workload } from "../../src/simulator/types.ts";
import type { Calibration } from "./calibrate.ts";
import { diskBytes, type Live, type Setup } from "./live.ts";
import type { Played } from "./replay.ts";

const blockTokens = 8;

/** The prompts' tokens, asked of the worker that answered: it knows its own answers' tokens. */
export async function tokensOf({ at, workers }: Live, played: readonly Played[]): Promise<Map<Played, number[]>> {
  const found = new Map<Played, number[]>();
  for (const one of played) {
    const worker = workers[Number(one.endpoint.at(-1))] ?? workers[0]!;
    const response = await worker.post("/tokenize", {
      messages: one.messages,
      cacheSalt: at.principal.project,
    });
    found.set(one, ((await response.json()) as { tokens: number[] }).tokens);
  }
  return found;
}

/** The workload as it was really sent: lengths and prefixes of this run, dependencies and gaps of the sessions. */
export function asPlayed(workload: Workload, tokens: ReadonlyMap<Played, readonly number[]>): Workload {
  const builder = new WorkloadBuilder(workload.name, blockTokens);
  const inOrder = [...tokens].toSorted(([a], [b]) => a.call.index - b.call.index);
  const blocks = new Map(
    inOrder.map(([one, ids]) => [one, builder.chain(chunks(ids), Math.floor(ids.length / blockTokens))]),
  );
  const outputs = new Map<Played, Int32Array>();
  const next = new Map<number, Played>();
  for (const [one] of inOrder.toReversed()) {
    const own = blocks.get(one)!;
    const after = next.get(one.call.thread);
    const filled = Math.floor((tokens.get(one)!.length + one.outputTokens) / blockTokens);
    const outputBlocks = after?.continues ? blocks.get(after)!.subarray(own.length, filled) : undefined;
    if (outputBlocks) outputs.set(one, outputBlocks);
    next.set(one.call.thread, one);
  }
  for (const [one, ids] of inOrder) {
    builder.add({
      // A session has one name for all of its agents, as in the header that is sent: its newest state may be another agent's.
      program: String(one.call.program),
      promptTokens: ids.length,
      outputTokens: one.outputTokens,
      blocks: blocks.get(one)!,
      outputBlocks: outputs.get(one),
      after: one.call.after,
      delayMs: one.call.delayMs,
      then: "turn",
    });
  }
  return builder.build();
}

function* chunks(ids: readonly number[]): Generator<string> {
  for (let at = 0; at + blockTokens <= ids.length; at += blockTokens) yield ids.slice(at, at + blockTokens).join(" ");
}

export function predict(workload: Workload, setup: Setup, calibration: Calibration, seed: number): RunSummary {
  return summarise(simulate(workload, fleetOf(setup, calibration), makePolicy(setup.policy), { seed }));
}

/** The two workers, with parked states where the setup has them. */
function fleetOf({ roles, pool }: Setup, { profile, saveMsPerToken }: Calibration): Fleet {
  const folder = { name: "folder", tier: "disk", writes: "evicted", capacityBytes: diskBytes, saveMsPerToken } as const;
  const shared = pool === "shared";
  return parseFleet({
    stores: shared ? [folder] : [],
    pools: roles.map((role, i) => ({
      name: `worker-${i}`,
      replicas: 1,
      role,
      profile: { ...profile, keeps: "conversations" as const },
      ...(shared && { store: folder.name }),
      ...(pool === "none" && { tiers: [] }),
    })),
    knowledge: { kind: "events", lagMs: 10 },
    programs: true,
  });
}
