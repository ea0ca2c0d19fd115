// The gateway's own queue, used when endpoints may only hold so many calls: first in first out, or deficit round robin over
// tenants by tokens (see the scheduler's queue).
import type { Fleet } from "../fleet.ts";
import type { SimCall, Workload } from "../types.ts";

export class WaitingRoom {
  readonly #byTenant: SimCall[][];
  readonly #heads: number[];
  readonly #order: number[] = [];
  readonly #deficit: Float64Array;
  readonly #fair: boolean;
  #size = 0;

  constructor(workload: Workload, order: Fleet["queue"]) {
    this.#fair = order === "fair";
    const lanes = this.#fair ? workload.tenants : 1;
    this.#byTenant = Array.from({ length: lanes }, () => []);
    this.#heads = Array.from({ length: lanes }, () => 0);
    this.#deficit = new Float64Array(lanes);
  }

  get size(): number {
    return this.#size;
  }

  add(call: SimCall): void {
    const lane = this.#fair ? call.tenant : 0;
    if (this.#byTenant[lane]!.length === this.#heads[lane]!) this.#order.push(lane);
    this.#byTenant[lane]!.push(call);
    this.#size++;
  }

  take(): SimCall | undefined {
    if (this.#size === 0) return undefined;
    for (;;) {
      const lane = this.#order[0]!;
      const call = this.#byTenant[lane]![this.#heads[lane]!]!;
      const cost = call.promptTokens + 2 * call.outputTokens;
      if (this.#fair && this.#order.length > 1 && this.#deficit[lane]! < cost) {
        this.#deficit[lane]! += quantumTokens;
        this.#order.push(this.#order.shift()!);
        continue;
      }
      if (this.#fair) this.#deficit[lane]! -= Math.min(this.#deficit[lane]!, cost);
      this.#heads[lane]!++;
      this.#size--;
      if (this.#heads[lane]! === this.#byTenant[lane]!.length) {
        this.#byTenant[lane] = [];
        this.#heads[lane] = 0;
        this.#deficit[lane] = 0;
        this.#order.shift();
      }
      return call;
    }
  }
}

/** Tokens a tenant may take per turn. */
const quantumTokens = 8192;
