// What a task holds of its replica's memory, from its admission to its end: the pinned blocks of its prompt, and what it writes beyond them.
import { Conversations } from "./conversations.ts";
import type { EngineTotals } from "./host.ts";
import type { KvCache } from "./kvCache.ts";
import { TierLink } from "./link.ts";
import type { EngineProfile, KvTierProfile } from "./profile.ts";
import type { Task } from "./task.ts";

export class TaskMemory {
  readonly cache: KvCache;
  /** Where the device keeps whole conversations. */
  readonly kept: Conversations | undefined;
  readonly #link: TierLink;
  readonly #totals: EngineTotals;

  /** `shared`: how fast this replica reads the store that its cache shares with others. */
  constructor(profile: EngineProfile, cache: KvCache, totals: EngineTotals, shared: KvTierProfile | undefined) {
    this.cache = cache;
    this.kept = profile.keeps === "conversations" ? new Conversations(cache, profile.maxSequences) : undefined;
    this.#link = new TierLink(profile, shared);
    this.#totals = totals;
  }

  /** Device tokens that admitting the task would newly bind, one for its next token included. */
  needs({ call, target }: Task): number {
    const { cache } = this;
    return cache.unpinned(call.blocks) * cache.blockTokens + beyondBlocks(call.blocks.length, target, cache) + 1;
  }

  /**
   * Admits the task beside `running` others: pins its prompt's blocks, and settles what is cached, what is loaded from lower tiers, and what
   * must be computed. Answers when KV that comes from a lower tier is there; undefined when none does.
   */
  admit(task: Task, running: number, nowMs: number): number | undefined {
    const { cache, kept } = this;
    task.privateTokens = beyondBlocks(task.call.blocks.length, task.target, cache);
    cache.privateTokens += task.privateTokens;
    const readyMs = this.#fill(task, nowMs);
    kept?.admitted(task.call, running);
    cache.fit();
    return readyMs;
  }

  /** Gives back a task's memory; `output` tokens stay behind as cached blocks, most of which no prompt asks for. */
  release(task: Task, decoded: number, output = 0): void {
    const { cache } = this;
    cache.privateTokens -= task.privateTokens + decoded;
    if (output > 0) {
      const { outputBlocks } = task.call;
      const beyond = output - (outputBlocks?.length ?? 0) * cache.blockTokens;
      if (this.kept === undefined) cache.leaveOutput(beyond);
      if (outputBlocks !== undefined) cache.keepOutput(outputBlocks);
    }
    cache.release(task.call.blocks, task.pinnedBlocks);
    task.pinnedBlocks = 0;
    task.privateTokens = 0;
  }

  /** Gives back the memory of a task whose prompt is not computed to its end: only the blocks that are computed stay cached. */
  giveUp(task: Task): void {
    const { blocks } = task.call;
    this.release(task, 0);
    this.cache.drop(blocks.subarray(Math.min(blocks.length, Math.floor(task.done / this.cache.blockTokens))));
  }

  /** The process has died: every block is lost. */
  clear(): void {
    this.cache.clear();
    this.kept?.clear();
  }

  #fill(task: Task, nowMs: number): number | undefined {
    const { cache } = this;
    const { blocks } = task.call;
    const { blockTokens } = cache;
    const resident = cache.match(blocks);
    const onDevice = cache.matchDevice(blocks);
    // A conversation comes up as a whole, into a sequence of its own; what another on the device has of it is copied.
    const whole = this.#link.reads && this.kept !== undefined && this.kept.heldFor(task.call) < resident;
    const from = whole ? 0 : onDevice;
    const readyMs = resident > from ? this.#link.bringUp(cache, blocks, from, resident, nowMs) : undefined;
    const usable = resident > from && readyMs === undefined ? onDevice : resident;
    if (readyMs !== undefined) {
      task.readyMs = readyMs;
      task.loadedTokens = resident > onDevice ? (resident - from) * blockTokens : 0;
      this.#totals.loadedTokens += task.loadedTokens;
    }
    for (let i = 0; i < blocks.length; i++) cache.pin(blocks[i]!);
    task.pinnedBlocks = blocks.length;
    const arrived = task.leg === "decode" && task.preemptions === 0;
    task.done = arrived ? task.target : Math.min(usable * blockTokens, task.target - 1);
    if (task.cachedTokens < 0) task.cachedTokens = Math.min(usable * blockTokens, task.call.promptTokens - 1);
    return readyMs;
  }
}

/** Tokens of a target that whole blocks do not cover. */
function beyondBlocks(blocks: number, target: number, { blockTokens }: KvCache): number {
  return Math.max(0, target - blocks * blockTokens);
}
