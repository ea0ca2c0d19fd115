// The bytes that this process buffers for its callers, counted in one place. Each place that keeps bytes of a request, an answer or a tool
// has its own bound; together they have a bound that follows from the heap and from the memory that the machine gives the process. A heap
// that is full ends the process with everything under way, so what would not fit is refused before.
//
// Callers that are here go first. New work (a body) is taken up to seven tenths of the bound. What is under way (an answer, what a slow
// reader has not read) is counted and goes on; past the whole bound it is refused too, which ends that call alone.
//
// It counts what its users tell it, as memory and not as bytes on the wire: a body is bytes, text and parsed values at once. Half of the
// heap is left for all else, garbage included.
import { readFileSync } from "node:fs";
import { getHeapStatistics } from "node:v8";
import { LineshaftError } from "../errors/index.ts";
import { limits } from "./limits.ts";

/** Where bytes are buffered. */
const places = ["bodies", "media", "answers", "streams", "tools"] as const;
type Buffered = (typeof places)[number];

const nothing = (): Record<Buffered, number> => ({ bodies: 0, media: 0, answers: 0, streams: 0, tools: 0 });

/**
 * Counts the bytes that are buffered for callers, against one bound of `mostBytes`. The process has one (`processMemory`); tests make their
 * own.
 */
export class Memory {
  /** Most bytes of everything together, and of them those up to which new work is taken. */
  readonly mostBytes: number;
  readonly newMostBytes: number;
  readonly #bytes = nothing();
  #sum = 0;

  constructor(mostBytes: number) {
    this.mostBytes = mostBytes;
    this.newMostBytes = Math.floor(mostBytes * limits.newWorkShare);
  }

  get sum(): number {
    return this.#sum;
  }

  /** No new work is taken: what can wait (a sender whose reader is slow) is made to. */
  get tight(): boolean {
    return this.#sum > this.newMostBytes;
  }

  /** Bytes by the place that keeps them, for metrics. */
  bytes(): Readonly<Record<Buffered, number>> {
    return this.#bytes;
  }

  /** Counts without refusing: bytes that are here already, each of them bounded where it is kept. */
  count(what: Buffered, bytes: number): void {
    this.#bytes[what] += bytes;
    this.#sum += bytes;
  }

  /** What was counted is gone. */
  release(what: Buffered, bytes: number): void {
    this.count(what, -bytes);
  }

  /** What one piece of work holds until `release`. */
  open(): Held {
    return new Held(this);
  }

  /** Throws LineshaftError `memory_full` (503) where so many more bytes do not fit. `fresh`: new work, which leaves room for what is under way. */
  assertFits(bytes: number, fresh: boolean): void {
    if (this.#sum + bytes <= (fresh ? this.newMostBytes : this.mostBytes)) return;
    throw new LineshaftError({
      code: "memory_full",
      message: `The requests that are under way hold as much memory as they may (${Math.round(this.#sum / 1e6)} MB of ${Math.round(this.mostBytes / 1e6)} MB). Try again in a few seconds.`,
      hint: "Try again in a few seconds. An operator may give the process more memory (NODE_OPTIONS=--max-old-space-size=MB).",
      retryAfterSeconds: limits.memoryFullSeconds,
    });
  }
}

/** Bytes of one piece of work, released together. */
export class Held {
  readonly #memory: Memory;
  readonly #bytes = nothing();
  #released = false;

  constructor(memory: Memory) {
    this.#memory = memory;
  }

  /** Counts more bytes. Throws LineshaftError `memory_full` past the bound, and counts nothing then. Does nothing once released. */
  add(what: Buffered, bytes: number, fresh: boolean): void {
    if (this.#released) return;
    this.#memory.assertFits(bytes, fresh);
    this.count(what, bytes);
  }

  /** Counts without refusing. */
  count(what: Buffered, bytes: number): void {
    if (this.#released) return;
    this.#memory.count(what, bytes);
    this.#bytes[what] += bytes;
  }

  /** Releases everything; a second time does nothing. */
  release(): void {
    if (this.#released) return;
    this.#released = true;
    for (const what of places) this.#memory.release(what, this.#bytes[what]);
  }
}

/** The bound of a process with so much heap, in a group of processes with so much memory. */
function boundOf(heapBytes: number, groupBytes: number): number {
  const rest = Math.max(heapBytes - limits.ownHeapBytes, heapBytes / 32);
  return Math.floor(Math.min(rest * limits.heapShare, groupBytes * limits.groupShare));
}

/** Memory of the control group (v2, then v1) that the process is in; Infinity where there is no bound or no group. */
function groupBytes(): number {
  for (const path of ["/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"]) {
    try {
      const bytes = Number(readFileSync(path, "utf8"));
      if (Number.isFinite(bytes) && bytes > 0) return bytes;
    } catch {
      // There is no such file on this machine.
    }
  }
  return Infinity;
}

/** The memory of this process. */
export const processMemory = new Memory(boundOf(getHeapStatistics().heap_size_limit, groupBytes()));
