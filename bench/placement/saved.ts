// What a run leaves in its JSON file so that the simulator can be asked again without workers: the workload as it was played. Blocks
// are written as runs of consecutive ids ("12+3 40+1" is 12, 13, 14, 40).
import { readFileSync } from "node:fs";
import type { BlockIds, SimCall, Workload } from "../../src/simulator/types.ts";
import type { Calibration } from "./calibrate.ts";
import type { Runs } from "./report.ts";

interface SavedCall extends Omit<SimCall, "blocks" | "outputBlocks"> {
  blocks: string;
  outputBlocks?: string;
}

export interface SavedWorkload extends Omit<Workload, "calls"> {
  calls: SavedCall[];
}

/** What `--json` writes. */
export interface SavedBench {
  sessions: string;
  size: { slots: number; contextTokens: number };
  startGapMs: number;
  seed: number;
  calibration: Calibration;
  runs: Runs[];
}

export const saved = (workload: Workload): SavedWorkload => ({
  ...workload,
  calls: workload.calls.map(({ blocks, outputBlocks, ...call }) => ({
    ...call,
    blocks: runsOf(blocks),
    ...(outputBlocks && { outputBlocks: runsOf(outputBlocks) }),
  })),
});

export const restored = (workload: SavedWorkload): Workload => ({
  ...workload,
  calls: workload.calls.map(({ blocks, outputBlocks, ...call }) => ({
    ...call,
    blocks: idsOf(blocks),
    ...(outputBlocks !== undefined && { outputBlocks: idsOf(outputBlocks) }),
  })),
});

/** Throws Error when the file was not written by this bench, or before it kept what was played. */
export function readSaved(path: string): SavedBench {
  const bench = JSON.parse(readFileSync(path, "utf8")) as SavedBench;
  if (bench.runs?.every(({ runs }) => runs.every(({ played }) => played !== undefined))) return bench;
  throw new Error(`${path} does not hold what was played; write one with --json`);
}

function runsOf(blocks: BlockIds): string {
  const runs: [start: number, length: number][] = [];
  for (const block of blocks) {
    const last = runs.at(-1);
    if (last !== undefined && last[0] + last[1] === block) last[1]++;
    else runs.push([block, 1]);
  }
  return runs.map(([start, length]) => `${start}+${length}`).join(" ");
}

function idsOf(text: string): BlockIds {
  const runs = text.split(" ").filter((run) => run !== "");
  return Int32Array.from(
    runs.flatMap((run) => {
      const [start, length] = run.split("+").map(Number) as [number, number];
      return Array.from({ length }, (_, i) => start + i);
    }),
  );
}
