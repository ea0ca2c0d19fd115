// Plans the KV memory before it is allocated. The need of a context of slots x tokens is extrapolated from the reports of two small real
// contexts of this model (`memoryUsage`; the library's estimator is off by a factor of two). A context that does not fit into the machine,
// or into the worker's cgroup, is refused with the numbers and with a size that would fit.
import { readFileSync } from "node:fs";
import os from "node:os";

/** Bytes that a context reports at a size in cells (tokens of all sequences together). */
export interface MemorySample {
  cells: number;
  bytes: number;
}

export interface KvPlan {
  /** Bytes of one token's state, with what the compute buffers grow by for it. */
  bytesPerToken: number;
  /** Bytes a context needs beside its cells: compute buffers. */
  fixedBytes: number;
  /** Bytes of the whole context as asked. */
  neededBytes: number;
}

export function planKv(small: MemorySample, large: MemorySample, slots: number, contextTokens: number): KvPlan {
  const bytesPerToken = (large.bytes - small.bytes) / (large.cells - small.cells);
  const fixedBytes = Math.max(0, small.bytes - bytesPerToken * small.cells);
  return { bytesPerToken, fixedBytes, neededBytes: Math.ceil(fixedBytes + bytesPerToken * slots * contextTokens) };
}

/** What a GGUF says of its layers, in the names that it uses. */
interface LayerFacts {
  block_count?: number;
  embedding_length?: number;
  attention?: {
    head_count?: number | number[];
    head_count_kv?: number | number[];
    key_length?: number;
    value_length?: number;
  };
}

/** Bytes of one token's keys and values in 16-bit floats; undefined where the file does not say enough. */
export function stateBytes({
  block_count: layers,
  embedding_length: width,
  attention,
}: LayerFacts): number | undefined {
  if (!layers || !attention) return undefined;
  const heads = (count: number | number[] | undefined): number[] | undefined =>
    typeof count === "number" ? Array.from({ length: layers }, () => count) : count;
  const queries = heads(attention.head_count);
  const holders = heads(attention.head_count_kv) ?? queries;
  const each = width && queries?.[0] ? width / queries[0] : undefined;
  const length = (attention.key_length ?? each ?? 0) + (attention.value_length ?? each ?? 0);
  if (!holders || !(length > 0)) return undefined;
  return 2 * length * holders.reduce((sum, count) => sum + count, 0);
}

/** Left for everything else on the machine: 5 % of it, at least 256 MiB. */
export function reserveBytes(totalBytes: number): number {
  return Math.max(256 * 1024 ** 2, Math.floor(totalBytes * 0.05));
}

/** Undefined when it fits, else the sentence with the numbers and the next step. */
export function refusal(
  plan: KvPlan,
  asked: { slots: number; contextTokens: number },
  memory: { availableBytes: number; totalBytes: number },
): { message: string; hint: string } | undefined {
  const usable = memory.availableBytes - reserveBytes(memory.totalBytes);
  if (plan.neededBytes <= usable) return undefined;
  const cells = Math.max(0, Math.floor((usable - plan.fixedBytes) / plan.bytesPerToken));
  const contextFits = Math.floor(cells / asked.slots / 256) * 256;
  const slotsFit = Math.floor(cells / asked.contextTokens);
  const ways = [
    ...(contextFits >= 256 ? [`LINESHAFT_WORKER_CONTEXT=${contextFits}`] : []),
    ...(slotsFit >= 1 ? [`LINESHAFT_WORKER_SLOTS=${slotsFit}`] : []),
  ];
  return {
    message:
      `KV memory for ${asked.slots} sequences of ${asked.contextTokens} tokens needs ${mib(plan.neededBytes)}, ` +
      `and ${mib(Math.max(0, usable))} of ${mib(memory.totalBytes)} can be used.`,
    hint: ways.length > 0 ? `Start with ${ways.join(" or ")}, or free memory.` : "Free memory or take a smaller model.",
  };
}

/** Memory available without swapping, and the total: of the machine, or of the cgroup if that is smaller. */
export function machineMemory(): { availableBytes: number; totalBytes: number } {
  const machine = { availableBytes: memAvailable() ?? os.freemem(), totalBytes: os.totalmem() };
  const limit = readNumber("/sys/fs/cgroup/memory.max");
  const used = readNumber("/sys/fs/cgroup/memory.current");
  if (limit === undefined || used === undefined || limit >= machine.totalBytes) return machine;
  // The kernel reclaims file pages under pressure, so they do not count as used.
  const files = /^inactive_file (\d+)$/m.exec(readText("/sys/fs/cgroup/memory.stat") ?? "")?.[1];
  const available = limit - used + Number(files ?? 0);
  return { availableBytes: Math.min(machine.availableBytes, available), totalBytes: limit };
}

function memAvailable(): number | undefined {
  const kib = /^MemAvailable:\s+(\d+) kB$/m.exec(readText("/proc/meminfo") ?? "")?.[1];
  return kib === undefined ? undefined : Number(kib) * 1024;
}

function readNumber(file: string): number | undefined {
  const value = Number(readText(file)?.trim());
  return Number.isFinite(value) ? value : undefined;
}

function readText(file: string): string | undefined {
  try {
    return readFileSync(file, "utf8");
  } catch {
    return undefined;
  }
}

function mib(bytes: number): string {
  return `${Math.round(bytes / 1024 ** 2)} MiB`;
}
