// Two fair queues of one deployment, by class of service: what a person waits for goes before batch work (calls of agents' runs).
// Within a class the fair queue decides. Each class has credits of its own, so that a tenant's batch work does not delay its people.
//
// Batch work is never starved: while both classes wait, every `batchEvery`-th call that is taken is one of batch.
import { batchEvery } from "../limits.ts";
import type { Call, TenantNews } from "../types.ts";
import { FairQueue, type FairQueueOptions, type Push, type Waiting } from "./fairQueue.ts";

type Matched = (call: Call) => number;
type Cost = (call: Call, matchedTokens: number) => number;

export class ClassedQueue {
  private readonly interactive: FairQueue;
  private readonly batch: FairQueue;
  /** Interactive calls taken since batch work had its turn, while some waited. */
  private passed = 0;

  constructor(options: FairQueueOptions = {}) {
    this.interactive = new FairQueue(options);
    this.batch = new FairQueue(options);
  }

  get size(): number {
    return this.interactive.size + this.batch.size;
  }

  get waitingTokens(): number {
    return this.interactive.waitingTokens + this.batch.waitingTokens;
  }

  get competing(): number {
    return this.interactive.competing + this.batch.competing;
  }

  /** Whether it is batch work's turn, although people's calls wait: then it may have any place that is free. */
  get batchIsDue(): boolean {
    return this.interactive.size > 0 && this.batch.size > 0 && this.passed >= batchEvery - 1;
  }

  /** The fair queue that a call waits in: what stands before it is there. */
  of(call: Call): FairQueue {
    return call.batch === true ? this.batch : this.interactive;
  }

  /**
   * Whether a call may be placed without waiting, where there is room: no call waits in either class, nor in its class at another gateway,
   * and its program is not paused.
   */
  mayPass(call: Call): boolean {
    const queue = this.of(call);
    return this.size === 0 && !queue.waitsElsewhere && !queue.isPaused(call);
  }

  /** What other gateways are to be told, by class. */
  news(now: number): { batch: boolean; tenants: TenantNews[] }[] {
    return [
      { batch: false, tenants: this.interactive.news(now) },
      { batch: true, tenants: this.batch.news(now) },
    ].filter(({ tenants }) => tenants.length > 0);
  }

  /** What another gateway has told; a class that it does not name has nothing waiting there. */
  hear(gateway: string, news: readonly { batch: boolean; tenants: readonly TenantNews[] }[], now: number): void {
    const tenantsOf = (batch: boolean) => news.filter((one) => one.batch === batch).flatMap(({ tenants }) => tenants);
    this.interactive.hear(gateway, tenantsOf(false), now);
    this.batch.hear(gateway, tenantsOf(true), now);
  }

  /** Charges a call that is placed without having waited. */
  pass(call: Call, charged: number): void {
    this.of(call).pass(call, charged);
    this.passed = 0;
  }

  waitingOf(tenant: string): { calls: number; tokens: number } {
    const [one, other] = [this.interactive.waitingOf(tenant), this.batch.waitingOf(tenant)];
    return { calls: one.calls + other.calls, tokens: one.tokens + other.tokens };
  }

  get(call: string): Waiting | undefined {
    return this.interactive.get(call) ?? this.batch.get(call);
  }

  push(call: Call, now: number, ttftMs = 0): Push {
    return this.of(call).push(call, now, ttftMs);
  }

  take(matched: Matched, cost: Cost): Waiting | undefined {
    const both = this.interactive.size > 0 && this.batch.size > 0;
    const [first, second] =
      this.interactive.size === 0 || this.batchIsDue ? [this.batch, this.interactive] : [this.interactive, this.batch];
    const taken = first.take(matched, cost) ?? (second.size > 0 ? second.take(matched, cost) : undefined);
    if (taken !== undefined) this.passed = both && taken.call.batch !== true ? this.passed + 1 : 0;
    return taken;
  }

  settle(call: Call, difference: number): void {
    this.of(call).settle(call, difference);
  }

  credit(tenant: string): number {
    return this.interactive.credit(tenant);
  }

  withdraw(call: string): Waiting | undefined {
    return this.interactive.withdraw(call) ?? this.batch.withdraw(call);
  }

  *all(): Iterable<Waiting> {
    yield* this.interactive.all();
    yield* this.batch.all();
  }

  expire(now: number): Waiting[] {
    return [...this.interactive.expire(now), ...this.batch.expire(now)];
  }

  pause(tenant: string, program: string): void {
    this.interactive.pause(tenant, program);
    this.batch.pause(tenant, program);
  }

  resume(tenant: string, program: string): void {
    this.interactive.resume(tenant, program);
    this.batch.resume(tenant, program);
  }
}
