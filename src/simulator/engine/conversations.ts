// The device of an engine that keeps whole conversations, one in each of its sequences (the embedded engine, llama.cpp's slots), over
// the blocks of its cache. A conversation that has ended a call stays until its next one takes its sequence over, or until another
// needs a sequence: then the least recently used goes, all of it but what others begin with too.
import type { BlockIds, SimCall } from "../types.ts";
import type { KvCache } from "./kvCache.ts";

/** A prompt that continues an older state up to at most this many of its tokens takes that state's sequence (sequences.ts of the engine). */
const rewrittenTokens = 64;

export class Conversations {
  readonly #cache: KvCache;
  readonly #sequences: number;
  /** Calls that have left a state, oldest first. */
  #idle: SimCall[] = [];
  /** By block, the idle states that have it. */
  readonly #holders = new Map<number, number>();

  constructor(cache: KvCache, sequences: number) {
    this.#cache = cache;
    this.#sequences = sequences;
  }

  get idle(): number {
    return this.#idle.length;
  }

  /** Leading blocks of the call that lie in the sequence which it would take over. */
  heldFor(call: SimCall): number {
    const older = this.#olderOf(call);
    return older === undefined ? 0 : commonBlocks(older, call.blocks);
  }

  /** A call has a sequence now, beside `running` others; its prompt's blocks are pinned. */
  admitted(call: SimCall, running: number): void {
    const older = this.#olderOf(call);
    if (older !== undefined) this.#demote(older);
    while (this.#idle.length > 0 && running + 1 + this.#idle.length > this.#sequences) this.#demote(this.#idle[0]!);
  }

  /** A call has ended and leaves its state. */
  ended(call: SimCall): void {
    this.#idle.push(call);
    for (const block of blocksOf(call)) this.#holders.set(block, (this.#holders.get(block) ?? 0) + 1);
  }

  /** Moves the state that the call has left a tier down, if it is still here; returns how many of its blocks no other state has. */
  demote(call: SimCall): number {
    return this.#idle.includes(call) ? this.#demote(call) : 0;
  }

  clear(): void {
    this.#idle = [];
    this.#holders.clear();
  }

  #demote(call: SimCall): number {
    this.#idle = this.#idle.filter((other) => other !== call);
    const own: number[] = [];
    for (const block of blocksOf(call)) {
      const left = this.#holders.get(block)! - 1;
      if (left > 0) this.#holders.set(block, left);
      else {
        this.#holders.delete(block);
        own.push(block);
      }
    }
    return this.#cache.demote(Int32Array.from(own));
  }

  /** The idle state that the call goes on from: the one of which it has most. */
  #olderOf(call: SimCall): SimCall | undefined {
    let found: SimCall | undefined;
    let most = 0;
    for (const older of this.#idle) {
      const length = older.blocks.length + (older.outputBlocks?.length ?? 0);
      const common = commonBlocks(older, call.blocks);
      if ((length - common) * this.#cache.blockTokens >= rewrittenTokens || common <= most) continue;
      found = older;
      most = common;
    }
    return found;
  }
}

function* blocksOf({ blocks, outputBlocks }: SimCall): Generator<number> {
  yield* blocks;
  if (outputBlocks !== undefined) yield* outputBlocks;
}

function commonBlocks(call: SimCall, blocks: BlockIds): number {
  let common = 0;
  for (const block of blocksOf(call)) {
    if (common === blocks.length || blocks[common] !== block) break;
    common++;
  }
  return common;
}
