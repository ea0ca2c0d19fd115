// What a run takes and gives: its options, and the finished run that reports are made from.
import type { Engine } from "../engine/engine.ts";
import type { SharedStore } from "../engine/sharedStore.ts";
import type { Fleet } from "../fleet.ts";
import type { Workload } from "../types.ts";
import type { ProgramCounts } from "./kvHints.ts";
import type { CallRecords } from "./records.ts";
import type { Scaling } from "./scaling.ts";

export interface SimulationOptions {
  seed?: number;
  /** Forced placements, replica by call index (counterfactuals); calls without an entry follow the policy. */
  forced?: ReadonlyMap<number, number>;
  /** Shown the engines before the run, by endpoint id: for rivals that score by gauges which engines publish. */
  onEngines?: (engines: ReadonlyMap<string, Engine>) => void;
  /** Called now and then with the number of calls that have ended. */
  onProgress?: (ended: number, total: number) => void;
}

/** A finished run, ready to be summarised. */
export interface SimulationResult {
  readonly workload: Workload;
  readonly fleet: Fleet;
  readonly policy: string;
  readonly seed: number;
  readonly records: CallRecords;
  readonly engines: readonly Engine[];
  /** What replicas share, in the fleet's order. */
  readonly stores: readonly SharedStore[];
  /** Virtual time from the first arrival's zero to the last end. */
  readonly spanMs: number;
  readonly events: number;
  readonly decisions: number;
  /** What the scheduler's plans for programs did. */
  readonly programs: ProgramCounts;
  /** How many replicas there were when, where pools scale. */
  readonly scaling?: Scaling;
}
