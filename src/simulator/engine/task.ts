// One attempt of a call inside one replica, and the heap that says which decoding attempt ends first. All sequences of a
// batch gain one token a step, so the order of ends is the order of `finishStep` and never changes while they run.
import type { SimCall } from "../types.ts";

/** What this replica does for the call: all of it, only the prompt, or only the output (its KV arrives from elsewhere). */
type Leg = "both" | "prefill" | "decode";

export interface Task {
  readonly call: SimCall;
  readonly leg: Leg;
  /** Tokens whose KV must exist before the next output token: the prompt, plus the output so far after a preemption. */
  target: number;
  /** Of these, in KV already (cached or computed). */
  done: number;
  /** Tokens of the next chunk, set when a step is planned. */
  chunk: number;
  /** Prompt tokens that did not have to be computed, at first admission. */
  cachedTokens: number;
  /** Of these, tokens that came from lower tiers. */
  loadedTokens: number;
  /** Leading blocks that this task pins. */
  pinnedBlocks: number;
  /** Output tokens produced when it last began to decode, and the engine's step then. */
  producedAtJoin: number;
  joinStep: number;
  finishStep: number;
  /** Device tokens held outside of pinned blocks. */
  privateTokens: number;
  /** Not before this time: KV is still coming up from a lower tier. */
  readyMs: number;
  /** Position in the order of admission; the youngest is preempted first. */
  order: number;
  /** Lent to the engine while it runs; the handle by which the host finds its own record. */
  readonly handle: number;
  preemptions: number;
}

export function newTask(call: SimCall, leg: Leg, handle: number): Task {
  return {
    call,
    leg,
    target: call.promptTokens,
    done: 0,
    chunk: 0,
    cachedTokens: -1,
    loadedTokens: 0,
    pinnedBlocks: 0,
    producedAtJoin: leg === "decode" ? 1 : 0,
    joinStep: 0,
    finishStep: 0,
    privateTokens: 0,
    readyMs: 0,
    order: 0,
    handle,
    preemptions: 0,
  };
}

/** Min-heap of tasks by finish step (ties by order of admission). */
export class FinishHeap {
  readonly tasks: Task[] = [];

  get size(): number {
    return this.tasks.length;
  }

  get firstStep(): number {
    return this.tasks[0]!.finishStep;
  }

  push(task: Task): void {
    const tasks = this.tasks;
    tasks.push(task);
    this.#up(tasks.length - 1);
  }

  pop(): Task {
    return this.removeAt(0);
  }

  removeAt(index: number): Task {
    const tasks = this.tasks;
    const removed = tasks[index]!;
    const last = tasks.pop()!;
    if (index < tasks.length) {
      tasks[index] = last;
      this.#down(index);
      this.#up(index);
    }
    return removed;
  }

  #up(start: number): void {
    const tasks = this.tasks;
    const task = tasks[start]!;
    let i = start;
    while (i > 0) {
      const parent = (i - 1) >> 1;
      if (!before(task, tasks[parent]!)) break;
      tasks[i] = tasks[parent]!;
      i = parent;
    }
    tasks[i] = task;
  }

  #down(start: number): void {
    const tasks = this.tasks;
    const task = tasks[start]!;
    const size = tasks.length;
    let i = start;
    for (;;) {
      let child = 2 * i + 1;
      if (child >= size) break;
      if (child + 1 < size && before(tasks[child + 1]!, tasks[child]!)) child++;
      if (!before(tasks[child]!, task)) break;
      tasks[i] = tasks[child]!;
      i = child;
    }
    tasks[i] = task;
  }
}

function before(a: Task, b: Task): boolean {
  return a.finishStep < b.finishStep || (a.finishStep === b.finishStep && a.order < b.order);
}
