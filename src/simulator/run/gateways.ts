// Several gateways before one fleet: which of them a call comes to, and how their messages of load travel.
import type { LoadMessage } from "../../scheduler/index.ts";
import type { EventQueue } from "../events.ts";
import type { Fleet } from "../fleet.ts";
import { Random } from "../random.ts";
import type { SimCall, Workload } from "../types.ts";
import * as kind from "./kinds.ts";

/** The balancer before the gateways. It draws a gateway for each call or program; tenants take turns, so that all gateways have some. */
export class Balancer {
  readonly #keyOf: (call: SimCall) => number;
  readonly #gateways: Uint8Array;

  constructor({ calls, programs, tenants }: Workload, { gateways: { count, spread } }: Fleet, seed: number) {
    const keys = { calls: calls.length, programs, tenants }[spread];
    this.#keyOf = { calls: ownIndex, programs: programOf, tenants: tenantOf }[spread];
    this.#gateways = new Uint8Array(keys);
    if (count === 1) return;
    const random = Random.stream(seed, "balancer");
    for (let key = 0; key < keys; key++) this.#gateways[key] = spread === "tenants" ? key % count : random.below(count);
  }

  /** Number of the gateway that a call comes to, in every attempt. */
  gatewayOf(call: SimCall): number {
    return this.#gateways[this.#keyOf(call)]!;
  }
}

const ownIndex = ({ index }: SimCall): number => index;
const programOf = ({ program }: SimCall): number => program;
const tenantOf = ({ tenant }: SimCall): number => tenant;

/** Messages of load on their way from one gateway to all others. */
export class News {
  readonly #settings: Fleet["gateways"];
  readonly #queue: EventQueue;
  readonly #travelling = new Map<number, { message: LoadMessage; left: number }>();
  #sent = 0;

  constructor(settings: Fleet["gateways"], queue: EventQueue) {
    this.#settings = settings;
    this.#queue = queue;
  }

  send(from: number, message: LoadMessage): void {
    const { count, loadAgeMs } = this.#settings;
    const number = this.#sent++;
    this.#travelling.set(number, { message, left: count - 1 });
    for (let gateway = 0; gateway < count; gateway++)
      if (gateway !== from) this.#queue.schedule(this.#queue.nowMs + loadAgeMs, kind.news, gateway, number);
  }

  /** Takes out a message that has arrived at one of the gateways. */
  heard(number: number): LoadMessage {
    const travelling = this.#travelling.get(number)!;
    if (--travelling.left === 0) this.#travelling.delete(number);
    return travelling.message;
  }
}
