// The gateway's own queue, used when endpoints may only hold so many calls: first in, first out, or the scheduler's fair
// queue (tenant, then program, then call; deficit charged with uncached prompt and output tokens).
import { FairQueue, type Call, type ProgramGate } from "../../scheduler/index.ts";
import type { Fleet } from "../fleet.ts";
import type { SimCall } from "../types.ts";

export interface WaitingRoom extends ProgramGate {
  readonly size: number;
  /** False: the queue is full and the call is refused. */
  add(call: SimCall, request: Call, nowMs: number): boolean;
  /** The next call; `matched` says how many of its prompt tokens are cached at the best endpoint. */
  take(matched: (call: SimCall) => number): SimCall | undefined;
}

/** Calls that a simulated gateway may hold in its queue: an open loop beyond capacity must not be cut off by the bound. */
const maxCalls = 10_000_000;

export function createWaitingRoom(order: Fleet["queue"], calls: readonly SimCall[]): WaitingRoom {
  return order === "fair" ? new FairRoom(calls) : new FifoRoom();
}

class FifoRoom implements WaitingRoom {
  #calls: SimCall[] = [];
  #head = 0;

  get size(): number {
    return this.#calls.length - this.#head;
  }

  add(call: SimCall): boolean {
    this.#calls.push(call);
    return true;
  }

  take(): SimCall | undefined {
    const call = this.#calls[this.#head];
    if (call === undefined) return undefined;
    if (++this.#head > 1024 && this.#head * 2 > this.#calls.length) {
      this.#calls = this.#calls.slice(this.#head);
      this.#head = 0;
    }
    return call;
  }

  /** First in, first out knows no programs. */
  pause(): void {}
  resume(): void {}
}

class FairRoom implements WaitingRoom {
  readonly #queue = new FairQueue({ maxCalls, maxCallsPerTenant: maxCalls });
  readonly #calls: readonly SimCall[];

  constructor(calls: readonly SimCall[]) {
    this.#calls = calls;
  }

  get size(): number {
    return this.#queue.size;
  }

  add(_call: SimCall, request: Call, nowMs: number): boolean {
    return this.#queue.push(request, nowMs).queued;
  }

  take(matched: (call: SimCall) => number): SimCall | undefined {
    const taken = this.#queue.take(
      (request) => matched(this.#calls[Number(request.id)]!),
      (request, cached) => Math.max(0, request.promptTokens - cached) + request.outputTokens,
    );
    return taken === undefined ? undefined : this.#calls[Number(taken.call.id)]!;
  }

  pause(_deployment: string, tenant: string, program: string): void {
    this.#queue.pause(tenant, program);
  }

  resume(_deployment: string, tenant: string, program: string): void {
    this.#queue.resume(tenant, program);
  }
}
