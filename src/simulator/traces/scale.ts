// Makes a workload heavier, lighter or faster without changing its shape: time runs `speed` times as fast, and `copies` of
// it run side by side, each with contents of its own (copies share no prefix) and shifted by a random part of `shiftMs`. Also its head
// alone, and its programs dealt to tenants.
import { Random } from "../random.ts";
import type { SimCall, Workload } from "../types.ts";

interface ScaleOptions {
  /** Arrivals and gaps are divided by this. */
  speed?: number | undefined;
  /** Gaps stay as they are, and only the arrivals of first calls are divided. */
  keepGaps?: boolean | undefined;
  copies?: number | undefined;
  /** Largest shift of a copy, ms of scaled time; the first copy is not shifted. */
  shiftMs?: number;
  seed?: number;
}

export function scaleWorkload(workload: Workload, options: ScaleOptions): Workload {
  const speed = options.speed ?? 1;
  const gapSpeed = options.keepGaps === true ? 1 : speed;
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
        delayMs: call.after.length === 0 ? call.delayMs / speed + shiftMs : call.delayMs / gapSpeed,
      });
    }
  }
  return {
    ...workload,
    calls,
    blockCount: workload.blockCount * copies,
    tenants: workload.tenants * copies,
    tenantNames: copiedNames(workload.tenantNames, copies),
    programs: workload.programs * copies,
    threads: workload.threads * copies,
    notes: [...workload.notes, scaleNote(copies, speed, options.keepGaps === true)],
  };
}

function scaleNote(copies: number, speed: number, keepGaps: boolean): string {
  const parts: string[] = [];
  if (copies > 1) parts.push(`${copies} copies that share nothing`);
  if (speed !== 1 && keepGaps) parts.push(`arrivals ${speed} times as fast, gaps inside sessions as they were`);
  if (speed !== 1 && !keepGaps) parts.push(`time ${speed} times as fast`);
  return `Scaled: ${parts.join(", ")}.`;
}

function copiedNames(names: readonly string[], copies: number): string[] {
  return Array.from({ length: copies }, (_, copy) =>
    names.map((name) => (copy === 0 ? name : `${name}, copy ${copy + 1}`)),
  ).flat();
}

/** The same calls, with the programs dealt in turn to `count` tenants named `tenant 1` and so on. */
export function dealTenants(workload: Workload, count: number): Workload {
  return {
    ...workload,
    calls: workload.calls.map((call) => ({ ...call, tenant: call.program % count })),
    tenants: count,
    tenantNames: Array.from({ length: count }, (_, tenant) => `tenant ${tenant + 1}`),
    notes: [...workload.notes, `Programs were dealt to ${count} tenants in turn.`],
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
