// Two fair queues of one deployment, by class of service: what a person waits for goes before batch work (calls of agents' runs).
// Within a class the fair queue decides. Each class has credits of its own, so that a tenant's batch work does not delay its people.
//
// Batch work is never starved: while both classes wait, every `batchEvery`-th call that is taken is one of batch. Where batch work waits at
// another gateway than people do, gateways tell each other how many calls they took, and each keeps count of what batch work is owed: a
// gateway with people's calls leaves the engines' lines while something is owed, and one with batch work then takes any free place.
import { batchEvery, owedMost } from "../limits.ts";
import type { QueueNews } from "../news.ts";
import type { Call } from "../types.ts";
import { FairQueue, type FairQueueOptions, type Push, type Waiting } from "./fairQueue.ts";

type Matched = (call: Call) => number;
/** What is told of one class. */
type ClassNews = Omit<QueueNews, "endpoints">;
type Cost = (call: Call, matchedTokens: number) => number;

export class ClassedQueue {
  private readonly interactive: FairQueue;
  private readonly batch: FairQueue;
  /** Interactive calls taken since batch work had its turn, while some waited. */
  private passed = 0;
  /** Interactive calls taken at any gateway with no batch work beside them, less those that a batch call has gone for: at most `owedMost`. */
  private owed = 0;
  /** Calls taken here that other gateways have not been told of. */
  private untold = { interactive: 0, batch: 0 };

  constructor(options: FairQueueOptions = {}) {
    this.interactive = new FairQueue(options);
    this.batch = new FairQueue(options);
  }

  get size(): number {
    return this.interactive.size + this.batch.size;
  }

  /** Whether calls with a deadline wait, here or at other gateways. */
  get hasDeadlines(): boolean {
    return [this.interactive, this.batch].some((queue) => queue.hasDeadlines || queue.deadlinesElsewhere);
  }

  get waitingTokens(): number {
    return this.interactive.waitingTokens + this.batch.waitingTokens;
  }

  get competing(): number {
    return this.interactive.competing + this.batch.competing;
  }

  /** Whether it is batch work's turn, although people's calls wait here or elsewhere: then it may have any place that is free. */
  get batchIsDue(): boolean {
    return this.batch.size > 0 && (this.isOwed || (this.interactive.size > 0 && this.passed >= batchEvery - 1));
  }

  private get isOwed(): boolean {
    return this.owed >= batchEvery - 1;
  }

  /**
   * Whether a call leaves half of the engines' own lines to calls that wait at other gateways: to other tenants' of its class, to batch work that is
   * owed, or as batch work to people's calls while nothing is owed.
   */
  yields(call: Call, slackTokens: number): boolean {
    const other = call.batch === true ? this.interactive : this.batch;
    const toClass = other.waitsElsewhere && this.isOwed !== (call.batch === true);
    return toClass || this.of(call).yields(call, slackTokens);
  }

  /** The fair queue that a call waits in: what stands before it is there. */
  of(call: Call): FairQueue {
    return call.batch === true ? this.batch : this.interactive;
  }

  /**
   * Whether a call may be placed without waiting, where there is room: no call waits in either class, here or at another gateway, and its
   * program is not paused.
   */
  mayPass(call: Call): boolean {
    const elsewhere = this.interactive.waitsElsewhere || this.batch.waitsElsewhere;
    return this.size === 0 && !elsewhere && !this.of(call).isPaused(call);
  }

  /** What other gateways are to be told, by class. */
  news(now: number): ClassNews[] {
    const { interactive, batch } = this.untold;
    this.untold = { interactive: 0, batch: 0 };
    this.forget();
    return [
      { batch: false, calls: interactive, ...newsOf(this.interactive, now) },
      { batch: true, calls: batch, ...newsOf(this.batch, now) },
    ].filter(({ calls, tenants }) => calls > 0 || tenants.length > 0);
  }

  /** What another gateway has told; a class that it does not name has nothing waiting there. */
  hear(gateway: string, news: readonly ClassNews[], now: number): void {
    const own = (batch: boolean) => news.filter((one) => one.batch === batch);
    for (const [queue, told] of [
      [this.interactive, own(false)],
      [this.batch, own(true)],
    ] as const) {
      queue.hear(
        gateway,
        told.flatMap(({ tenants }) => tenants),
        told.some(({ timed }) => timed),
        now,
      );
    }
    for (const { calls } of own(false)) this.owe(calls);
    for (const { calls } of own(true)) this.owe(-calls * (batchEvery - 1));
    this.forget();
  }

  /**
   * Counts a call that was taken. A call of a person is not counted while batch work waits here too, because that work has its turns here.
   * Batch work that takes room which was left over does not use up a turn that other gateways owe.
   */
  private count(isBatch: boolean): void {
    if (isBatch) {
      if (!this.isOwed) return;
      this.untold.batch++;
      this.owe(1 - batchEvery);
    } else if (this.batch.size === 0 && this.batch.waitsElsewhere) {
      this.untold.interactive++;
      this.owe(1);
    }
  }

  private owe(calls: number): void {
    this.owed = Math.max(-owedMost, Math.min(owedMost, this.owed + calls));
  }

  /** Nothing is owed when no batch work waits anywhere. */
  private forget(): void {
    if (this.batch.size === 0 && !this.batch.waitsElsewhere) this.owed = 0;
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
    if (taken === undefined) return undefined;
    const isBatch = taken.call.batch === true;
    this.passed = both && !isBatch ? this.passed + 1 : 0;
    this.count(isBatch);
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

function newsOf(queue: FairQueue, now: number): Pick<ClassNews, "tenants" | "timed"> {
  return { tenants: queue.news(now), ...(queue.hasDeadlines && { timed: true }) };
}
