// The model of one replica: continuous batching with chunked prefill over a paged prefix cache.
//
// Time is cut into segments during which the batch does not change:
//   mixed    one step that holds prompt chunks (first come, first served, up to maxBatchTokens) and a token of each decode
//   run      k steps in which every sequence only decodes, until the first ends, memory is full, or a new call interrupts
//   idle     nothing to do
// A segment has exactly one event in the queue; a changed plan raises `version`, which makes the old event void.
// A call that arrives during a run ends it at the next step boundary, as it would in vLLM or SGLang.
//
// Memory: a call is admitted when its whole prompt fits beside what runs (evicting idle blocks), or when nothing else runs. Whether a
// prompt fits an endpoint at all is for the scheduler to say, here as in the gateway. When outputs outgrow the device, the youngest call is
// preempted and later computes again what is no longer cached, as vLLM does.
import type { EventQueue } from "../events.ts";
import type { Conversations } from "./conversations.ts";
import { type EngineHost, type EngineTotals, noTotals } from "./host.ts";
import type { KvCache } from "./kvCache.ts";
import { runMs, stepsBy } from "./decodeRun.ts";
import { DecodingBatch } from "./decoding.ts";
import { stepMs, type EngineProfile, type KvTierProfile } from "./profile.ts";
import { shareOut } from "./share.ts";
import type { Task } from "./task.ts";
import { TaskMemory } from "./taskMemory.ts";
import { WaitingTasks } from "./waiting.ts";

/** Event kinds that engines put into the queue; `target` is the engine's number. */
export const segmentEnded = 1;
export const wake = 2;

const idle = 0;
const mixed = 1;
const run = 2;

export class Engine {
  readonly id: number;
  readonly profile: EngineProfile;
  readonly totals: EngineTotals = noTotals();
  readonly #memory: TaskMemory;
  readonly #queue: EventQueue;
  readonly #host: EngineHost;
  readonly #waiting = new WaitingTasks();
  #leftWaiting = 0;
  #prefilling: Task[] = [];
  readonly #decoding = new DecodingBatch();
  /** Given up while a step computes a part of their prompt. */
  readonly #givenUp = new Set<Task>();
  /** Prefill legs whose KV waits to be pulled. */
  readonly #leased = new Set<Task>();
  #orders = 0;

  #segment = idle;
  #segmentStartMs = 0;
  #segmentSteps = 0;
  #firstMs = 0;
  #growthMs = 0;
  #version = 0;

  /** `shared`: how fast this replica reads the store that its cache shares with others. */
  constructor(
    id: number,
    profile: EngineProfile,
    cache: KvCache,
    queue: EventQueue,
    host: EngineHost,
    shared?: KvTierProfile,
  ) {
    this.id = id;
    this.profile = profile;
    this.#memory = new TaskMemory(profile, cache, this.totals, shared);
    this.#queue = queue;
    this.#host = host;
  }

  get cache(): KvCache {
    return this.#memory.cache;
  }

  /** Where the device keeps whole conversations. */
  get kept(): Conversations | undefined {
    return this.#memory.kept;
  }

  /** Calls inside: waiting, loading, prefilling and decoding. */
  get inside(): number {
    return this.waiting + this.#prefilling.length + this.#decoding.size;
  }

  get waiting(): number {
    return this.#waiting.size;
  }

  /** Calls that had to wait when the present step was planned, without those that came since. */
  get leftWaiting(): number {
    return this.#leftWaiting;
  }

  get decoding(): number {
    return this.#decoding.size;
  }

  /** When the step under way ends: nothing else is done before. */
  boundaryMs(nowMs: number): number {
    if (this.#segment === idle) return nowMs;
    const steps = Math.min(this.#segmentSteps, stepsBy(nowMs - this.#segmentStartMs, this.#firstMs, this.#growthMs));
    return Math.max(nowMs, this.#segmentStartMs + runMs(steps, this.#firstMs, this.#growthMs));
  }

  /** Accepts a task at the current time. */
  enqueue(task: Task): void {
    const nowMs = this.#queue.nowMs;
    const blocked = this.waiting > 0;
    this.#waiting.push(task);
    if (this.#segment === idle) this.#plan(nowMs);
    else if (!blocked) this.#interrupt(nowMs);
  }

  /** A segment's event fired; `version` says whether it is still the current plan. */
  onSegmentEnded(version: number): void {
    if (version !== this.#version || this.#segment === idle) return;
    const nowMs = this.#queue.nowMs;
    this.#advance(nowMs);
    this.#plan(nowMs);
  }

  /** KV has come up from a lower tier: there may be something to prefill. */
  onWake(): void {
    const nowMs = this.#queue.nowMs;
    if (this.#segment === idle) this.#plan(nowMs);
    else this.#interrupt(nowMs);
  }

  /** The decode leg has pulled the KV: the prefill leg's blocks may go. */
  endLease(task: Task): void {
    if (!this.#leased.delete(task)) return; // the engine died meanwhile
    this.#memory.release(task, 0);
    this.kept?.ended(task.call);
    if (this.#segment === idle) this.#plan(this.#queue.nowMs);
  }

  /** A call without a first token is stopped: at once, or at the end of the step that computes a part of its prompt. */
  giveUp(task: Task): void {
    const prefilling = this.#prefilling.indexOf(task);
    if (task.chunk > 0) {
      this.#givenUp.add(task);
      return;
    }
    if (prefilling >= 0) {
      this.#prefilling.splice(prefilling, 1);
      this.#leave(task);
    } else if (!this.#waiting.remove(task)) return; // the engine died meanwhile
    // Others may have waited for its place or its memory.
    const nowMs = this.#queue.nowMs;
    if (this.#segment === idle) this.#plan(nowMs);
    else this.#interrupt(nowMs);
  }

  /** The process dies: everything inside and every block is lost. Returns the tasks that were inside. */
  fail(): Task[] {
    const lost = [...this.#waiting.clear(), ...this.#prefilling, ...this.#decoding.tasks, ...this.#leased];
    this.#accountSegment(this.#queue.nowMs);
    this.#leftWaiting = 0;
    this.#prefilling = [];
    this.#decoding.clear();
    this.#leased.clear();
    this.#givenUp.clear();
    this.#segment = idle;
    this.#version++;
    this.#memory.clear();
    return lost;
  }

  /** A task that was given up leaves what it has computed. */
  #leave(task: Task): void {
    this.#memory.giveUp(task);
    this.kept?.ended(task.call);
  }

  /** Ends a run at the next step boundary, so that something new can join the batch. */
  #interrupt(nowMs: number): void {
    if (this.#segment !== run || this.#prefilling.length + this.#decoding.size >= this.profile.maxSequences + 1) return;
    const steps = stepsBy(nowMs - this.#segmentStartMs, this.#firstMs, this.#growthMs);
    if (steps >= this.#segmentSteps) return;
    this.#segmentSteps = steps;
    this.#schedule(Math.max(nowMs, this.#segmentStartMs + runMs(steps, this.#firstMs, this.#growthMs)));
  }

  #schedule(atMs: number): void {
    this.#version++;
    this.#queue.schedule(atMs, segmentEnded, this.id, this.#version);
  }

  #accountSegment(nowMs: number): void {
    if (this.#segment === idle) return;
    const ms = nowMs - this.#segmentStartMs;
    this.totals.busyMs += ms;
    this.totals.sequenceMs += ms * (this.#decoding.size + this.#prefilling.length);
  }

  /** Applies what the segment that has just ended did. */
  #advance(nowMs: number): void {
    this.#accountSegment(nowMs);
    const steps = this.#segmentSteps;
    this.totals.steps += steps;
    const tokens = this.#decoding.advance(steps);
    this.totals.outputTokens += tokens;
    this.cache.privateTokens += tokens;
    for (let task = this.#decoding.takeEnded(); task !== undefined; task = this.#decoding.takeEnded())
      this.#finish(task, nowMs);
    if (this.#segment === mixed) this.#advancePrefills(nowMs);
    this.#segment = idle;
  }

  #advancePrefills(nowMs: number): void {
    let kept = 0;
    const prefilling = this.#prefilling;
    for (let i = 0; i < prefilling.length; i++) {
      const task = prefilling[i]!;
      if (task.chunk > 0) {
        task.done += task.chunk;
        this.totals.computedPromptTokens += task.chunk;
        task.chunk = 0;
        if (this.#givenUp.delete(task)) {
          this.#leave(task);
          continue;
        }
        if (task.done >= task.target) {
          this.#prefilled(task, nowMs);
          continue;
        }
      }
      prefilling[kept++] = task;
    }
    prefilling.length = kept;
  }

  #prefilled(task: Task, nowMs: number): void {
    this.cache.computed(task.call.blocks, task.pinnedBlocks);
    this.totals.outputTokens++;
    task.producedAtJoin++;
    if (task.leg === "prefill") {
      this.#leased.add(task);
      this.#host.prefilled(this.id, task, nowMs);
      return;
    }
    if (task.preemptions === 0) this.#host.prefilled(this.id, task, nowMs);
    task.privateTokens++;
    this.cache.privateTokens++;
    this.#join(task, nowMs);
  }

  /** The task starts to decode (or ends, if its output is complete). */
  #join(task: Task, nowMs: number): void {
    if (!this.#decoding.join(task)) this.#finish(task, nowMs);
  }

  #finish(task: Task, nowMs: number): void {
    this.#memory.release(task, this.#decoding.leave(task), task.call.outputTokens);
    this.kept?.ended(task.call);
    this.#host.finished(this.id, task, nowMs);
  }

  #plan(nowMs: number): void {
    const profile = this.profile;
    this.cache.fit();
    this.#makeRoom();
    const [tokens, pairs] = this.#sharePrompts(nowMs);
    this.#leftWaiting = this.waiting;
    const decoding = this.#decoding.size;
    this.#segmentStartMs = nowMs;
    if (tokens > 0) {
      const ms = stepMs(profile, tokens, pairs, decoding, this.#decoding.kvTokens);
      this.totals.prefillMs += decoding > 0 ? ms - stepMs(profile, 0, 0, decoding, this.#decoding.kvTokens) : ms;
      this.#segment = mixed;
      this.#segmentSteps = 1;
      this.#firstMs = ms;
      this.#growthMs = 0;
      this.#schedule(nowMs + ms);
    } else if (decoding > 0) {
      const room = Math.max(1, Math.floor(this.cache.availableTokens / decoding));
      const steps = Math.min(this.#decoding.stepsLeft, room);
      this.#segment = run;
      this.#segmentSteps = steps;
      this.#firstMs = stepMs(profile, 0, 0, decoding, this.#decoding.kvTokens);
      this.#growthMs = decoding * profile.step.kvReadMsPerToken;
      this.#schedule(nowMs + runMs(steps, this.#firstMs, this.#growthMs));
    } else {
      this.#segment = idle;
      this.#version++;
    }
  }

  /** Gives prompts their chunks of the next step, admitting what fits; answers the step's prompt tokens and attention pairs. */
  #sharePrompts(nowMs: number): [tokens: number, pairs: number] {
    const { chunking } = this.profile;
    let tokens = 0;
    let pairs = 0;
    if (chunking !== undefined) {
      while (this.#admit(nowMs));
      shareOut(this.#prefilling, this.#decoding.size, nowMs, chunking);
      for (const task of this.#prefilling) {
        tokens += task.chunk;
        pairs += task.chunk * (task.done + task.chunk / 2);
      }
      return [tokens, pairs];
    }
    let budget = this.profile.maxBatchTokens - this.#decoding.size;
    for (let next = 0; budget > 0;) {
      if (next >= this.#prefilling.length && !this.#admit(nowMs)) break;
      const task = this.#prefilling[next];
      if (task === undefined) continue; // what was admitted went straight to decoding
      next++;
      if (task.readyMs > nowMs) continue;
      const chunk = Math.min(budget, task.target - task.done);
      task.chunk = chunk;
      budget -= chunk;
      tokens += chunk;
      pairs += chunk * (task.done + chunk / 2);
    }
    return [tokens, pairs];
  }

  /** Preempts the youngest decoding calls until one more step of all others fits. The last one always goes on. */
  #makeRoom(): void {
    while (this.#decoding.size > 1 && this.cache.availableTokens < this.#decoding.size) {
      const task = this.#decoding.takeYoungest();
      const decoded = this.#decoding.leave(task);
      this.#memory.release(task, decoded);
      task.producedAtJoin += decoded;
      task.target = task.call.promptTokens + task.producedAtJoin;
      task.done = 0;
      task.preemptions++;
      this.totals.preemptions++;
      this.#waiting.preempted(task);
    }
  }

  /** Admits the next waiting task if sequences and memory allow; false when it was not admitted. */
  #admit(nowMs: number): boolean {
    const task = this.#waiting.first;
    if (task === undefined) return false;
    const running = this.#prefilling.length + this.#decoding.size;
    if (running >= this.profile.maxSequences) return false;
    // What the scheduler has let through is never refused here: alone it runs also where its blocks and output exceed the device.
    const need = this.#memory.needs(task) + this.#decoding.size;
    if (need > this.cache.availableTokens && (running > 0 || this.#leased.size > 0)) return false;
    this.#waiting.take();
    task.order = this.#orders++;
    const readyMs = this.#memory.admit(task, running, nowMs);
    if (readyMs !== undefined) this.#queue.schedule(readyMs, wake, this.id);
    if (task.preemptions === 0) this.#host.admitted(this.id, task, nowMs);
    if (task.leg === "decode" && task.done >= task.target) this.#join(task, nowMs);
    else this.#prefilling.push(task);
    return true;
  }
}
