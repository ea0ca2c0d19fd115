// Makes a workload heavier, lighter or faster without changing its shape: time runs `speed` times as fast, and `copies` of
// it run side by side, each with contents of its own (copies share no prefix) and shifted by a random part of `shiftMs`.
import { Random } from "../random.ts";
import type { SimCall, Workload } from "../types.ts";

interface ScaleOptions {
  /** Arrivals and gaps are divided by this. */
  speed?: number;
  copies?: number;
  /** Largest shift of a copy, ms of scaled time; the first copy is not shifted. */
  shiftMs?: number;
  seed?: number;
}

export function scaleWorkload(workload: Workload, options: ScaleOptions): Workload {
  const speed = options.speed ?? 1;
  const copies = options.copies ?? 1;
  if (speed === 1 && copies === 1) return workload;
  const random = Random.stream(options.seed ?? 1, "copies");
  const size = workload.calls.length;
  const calls: SimCall[] = [];
  for (let copy = 0; copy < copies; copy++) {
    const shiftMs = copy === 0 ? 0 : random.next() * (options.shiftMs ?? 1000);
    const afterOf = new Map<readonly number[], readonly number[]>();
    const shifted = (blocks: Int32Array) =>
      copy === 0 ? blocks : blocks.map((block) => block + copy * workload.blockCount);
    for (const call of workload.calls) {
      // Calls that share one predecessor list go on sharing one: the runner makes one barrier of it.
      let after = afterOf.get(call.after);
      if (after === undefined) afterOf.set(call.after, (after = call.after.map((index) => index + copy * size)));
      calls.push({
        ...call,
        index: call.index + copy * size,
        tenant: call.tenant + copy * workload.tenants,
        program: call.program + copy * workload.programs,
        thread: call.thread + copy * workload.threads,
        blocks: shifted(call.blocks),
        ...(call.outputBlocks === undefined ? {} : { outputBlocks: shifted(call.outputBlocks) }),
        after,
        delayMs: call.delayMs / speed + (call.after.length === 0 ? shiftMs : 0),
      });
    }
  }
  return {
    ...workload,
    calls,
    blockCount: workload.blockCount * copies,
    tenants: workload.tenants * copies,
    programs: workload.programs * copies,
    threads: workload.threads * copies,
    notes: [...workload.notes, `Scaled: ${copies} copies that share nothing, time ${speed} times as fast.`],
  };
}

/** The first `count` calls of a workload and what they depend on (their predecessors come before them by construction). */
export function headOf(workload: Workload, count: number): Workload {
  if (count >= workload.calls.length) return workload;
  return {
    ...workload,
    calls: workload.calls.slice(0, count),
    notes: [...workload.notes, `Only the first ${count} calls.`],
  };
}
