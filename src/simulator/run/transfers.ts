// KV on its way from where prompts were prefilled to where they will be decoded. The prefill leg's blocks stay leased until the
// decoder has them, or one of the two has died.
import type { Engine } from "../engine/engine.ts";
import type { Task } from "../engine/task.ts";
import type { SimCall } from "../types.ts";
import { Network } from "./network.ts";

export class Transfers {
  readonly #network: Network;
  /** By call. */
  readonly #under = new Map<number, { task: Task; from: Engine; to: Engine }>();

  constructor(replicas: number) {
    this.#network = new Network(replicas);
  }

  /** Begins one; answers when it will have arrived. */
  begin(task: Task, from: Engine, to: Engine, nowMs: number): number {
    this.#under.set(task.call.index, { task, from, to });
    return this.#network.transferEndMs(from, to, task.call, nowMs);
  }

  /** It has arrived: the lease ends. Undefined when it was lost on the way. */
  end(call: number): SimCall | undefined {
    const transfer = this.#under.get(call);
    if (transfer === undefined) return undefined;
    this.#under.delete(call);
    transfer.from.endLease(transfer.task);
    return transfer.task.call;
  }

  /** A replica has died: the calls whose KV was on its way to or from it. */
  lost(engine: Engine): SimCall[] {
    const calls: SimCall[] = [];
    for (const [index, { task, from, to }] of this.#under) {
      if (from !== engine && to !== engine) continue;
      from.endLease(task);
      this.#under.delete(index);
      calls.push(task.call);
    }
    return calls;
  }
}
