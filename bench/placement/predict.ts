// What the simulator says of a replay: the same sessions with the prompts as they were really tokenised and the answers as long as
// they really were, in a closed loop, on two modelled workers, under the same rule.
//
// Blocks are small here (8 tokens) because the worker reuses a prefix to the token, not in blocks. The simulator knows no pool that
// two replicas share: of a state that another worker has parked or is asked to share it sees nothing.
import { makePolicy } from "../../src/scheduler/index.ts";
import type { EngineProfile } from "../../src/simulator/engine/profile.ts";
import { parseFleet } from "../../src/simulator/fleet.ts";
import { summarise, type RunSummary } from "../../src/simulator/report/summary.ts";
import { simulate } from "../../src/simulator/run/simulation.ts";
import { WorkloadBuilder } from "../../src/simulator/traces/builder.ts";
import type { Workload } from "../../src/simulator/types.ts";
import type { Live, Setup } from "./live.ts";
import type { Played } from "./replay.ts";

const blockTokens = 8;

/** The prompts' tokens, asked of the worker that answered: it knows its own answers' tokens. */
export async function tokensOf({ at, workers }: Live, played: readonly Played[]): Promise<Map<Played, number[]>> {
  const found = new Map<Played, number[]>();
  for (const one of played) {
    const worker = workers[Number(one.endpoint.at(-1))] ?? workers[0]!;
    const response = await worker.post("/tokenize", {
      messages: one.messages,
      organisation: at.principal.organisation,
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
      program: String(one.call.program),
      thread: String(one.call.thread),
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

export function predict(workload: Workload, setup: Setup, profile: EngineProfile, seed: number): RunSummary {
  const pools = setup.roles.map((role, i) => ({ name: `worker-${i}`, profile, replicas: 1, role }));
  const fleet = parseFleet({
    pools,
    knowledge: { kind: "events", lagMs: 10 },
    maxInFlightPerEndpoint: profile.maxSequences,
    queue: "fair",
    // The simulator drops a superseded state, which the gateway saves first: without it, it lies below as it does here.
    programs: false,
  });
  return summarise(simulate(workload, fleet, makePolicy(setup.policy), { seed }));
}
