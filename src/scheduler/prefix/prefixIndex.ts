// What is cached where. Four identities are kept apart: the content hash (ours), the engine's hash (opaque), the holder
// (endpoint and rank, by slot) with its epoch, and the position (implied by the chain).
//
//   confirmed   by the engines' events; removed by their events; dropped whole on a gap or a new epoch
//   expected    by our own placements, seconds long, until events confirm
//   learned     by our own placements where no events come, minutes long
//
// Measured (npm run bench:scheduler): 33.7 bytes per block held, with 100 million held at 1,000 endpoints (65.9 million
// distinct, 3.2 GiB); a 100,000-token prompt is matched there in 0.09 ms of CPU, and in 0.12 ms when every endpoint holds it
// to another depth, where a radix tree of objects takes 7.7 ms on a hundredth of the blocks.
//
// Memory is one byte budget for all of it. What is evicted here is forgotten, not wrong: it costs a hit at worst.
import { blockShare, expectedTtlMs, learnedTtlMs, predictedShare, prefixIndexBytesDefault } from "../limits.ts";
import type { KvEvent } from "../events.ts";
import { type PromptBlocks, tiers } from "../types.ts";
import { BlockTable, noBlock } from "./blockTable.ts";
import { ByteBudget } from "./budget.ts";
import { EngineHashes } from "./engineHashes.ts";
import { hashBlockInto, seedInto } from "./hash.ts";
import { Matches } from "./match.ts";
import { Predictions } from "./predictions.ts";

export interface PrefixIndexOptions {
  maxBytes?: number;
  expectedTtlMs?: number;
  learnedTtlMs?: number;
}

/** One endpoint rank as the index sees it. */
interface Holder {
  slot: number;
  space: string;
  /** Tokens in a block. */
  blockTokens: number;
  hashes: EngineHashes;
  epoch: string | undefined;
  /** Sequence that the next event must have. */
  next: number;
  /** Events were lost: what is known began in the middle, so a replay from an older beginning replaces it. */
  partial: boolean;
}

/** What became of an event. `gap` and `epoch`: the holder was forgotten first, and the source should be asked to replay. */
interface KvOutcome {
  outcome: "applied" | "duplicate" | "gap" | "epoch";
  stored: number;
  removed: number;
  /** Blocks that could not be placed: their parent is unknown, they came without tokens, or memory is full. */
  unplaced: number;
}

/**
 * What is cached where, by engines' KV events and by own placements, within one budget of bytes. Slots number endpoint ranks. `match` leaves
 * its result in `confirmed` and `predicted`, which are valid until the next match.
 */
export class PrefixIndex {
  readonly budget: ByteBudget;
  /** Result of the last `match`: confirmed, and what is expected beyond. */
  readonly confirmed: Matches = new Matches();
  readonly predicted: Matches = new Matches();
  private readonly table: BlockTable;
  private readonly expected: Predictions;
  private readonly learned: Predictions;
  private readonly longer = new Matches();
  private readonly holders = new Map<number, Holder>();
  private slots = 0;
  private readonly pair = new Uint32Array(2);
  private tokens = new Uint32Array(0);
  private unplaced = 0;

  constructor(options: PrefixIndexOptions = {}) {
    const maxBytes = options.maxBytes ?? prefixIndexBytesDefault;
    this.budget = new ByteBudget(maxBytes);
    this.table = new BlockTable(this.budget, maxBytes * blockShare);
    const each = (maxBytes * predictedShare) / 2;
    this.expected = new Predictions(this.budget, each, options.expectedTtlMs ?? expectedTtlMs);
    this.learned = new Predictions(this.budget, each, options.learnedTtlMs ?? learnedTtlMs);
  }

  /** An endpoint rank may hold blocks from now on. Joining again forgets what it had. */
  join(slot: number, space: string, blockTokens: number, epoch?: string): void {
    this.forget(slot);
    this.slots = Math.max(this.slots, slot + 1);
    for (const matches of [this.confirmed, this.predicted, this.longer]) matches.reserve(this.slots);
    const hashes = new EngineHashes(this.budget, this.table, slot);
    this.holders.set(slot, { slot, space, blockTokens, hashes, epoch, next: 0, partial: false });
  }

  leave(slot: number): void {
    this.forget(slot);
    this.holders.delete(slot);
  }

  /** Drops everything known and expected of a holder. */
  forget(slot: number): void {
    const holder = this.holders.get(slot);
    if (holder === undefined) return;
    this.clearConfirmed(holder);
    this.expected.forget(slot);
    this.learned.forget(slot);
  }

  /** Applies one event of the holder's stream. Unknown slots are ignored. */
  apply(slot: number, event: KvEvent): KvOutcome {
    const result: KvOutcome = { outcome: "applied", stored: 0, removed: 0, unplaced: 0 };
    const holder = this.holders.get(slot);
    if (holder === undefined) return { ...result, outcome: "duplicate" };
    result.outcome = this.advance(holder, event);
    if (result.outcome === "duplicate") return result;
    if (event.type === "cleared") {
      result.removed = this.clearTier(holder, event);
    } else if (event.type === "removed") {
      this.remove(holder, event, result);
    } else {
      this.store(holder, event, result);
    }
    this.unplaced += result.unplaced;
    return result;
  }

  /** A call with this prompt was sent to the slot. `confirms`: the slot's engine sends events, so the guess need not last. */
  expect(slot: number, prompt: PromptBlocks, now: number, confirms: boolean): void {
    (confirms ? this.expected : this.learned).expect(slot, prompt, now);
  }

  /** Longest leading matches of the prompt, into `confirmed` and `predicted`. */
  match(prompt: PromptBlocks, now: number): void {
    this.confirmed.walk(this.table, prompt);
    this.expected.match(prompt, now, this.predicted);
    this.learned.match(prompt, now, this.longer);
    this.predicted.takeLonger(this.longer);
  }

  /**
   * Tokens of KV that the slot holds in all tiers by its engine's events; NaN when it has sent none, or when this index has
   * had to forget blocks itself.
   */
  residentTokens(slot: number): number {
    const holder = this.holders.get(slot);
    if (holder === undefined || holder.epoch === undefined || this.table.evictions > 0) return Number.NaN;
    return holder.hashes.count * holder.blockTokens;
  }

  /** Sizes, for metrics and the bench. */
  stats(): Record<"blocks" | "predicted" | "sets" | "bytes" | "maxBytes" | "evictions" | "unplaced" | "held", number> {
    let held = 0;
    for (const holder of this.holders.values()) held += holder.hashes.count;
    return {
      blocks: this.table.count,
      predicted: this.expected.count + this.learned.count,
      sets: this.table.sets.count,
      bytes: this.budget.usedBytes,
      maxBytes: this.budget.maxBytes,
      evictions: this.table.evictions,
      unplaced: this.unplaced,
      held,
    };
  }

  /** Checks epoch and sequence; forgets the holder where they say that something is missing. */
  private advance(holder: Holder, event: KvEvent): KvOutcome["outcome"] {
    const { sequence } = event;
    // The two beginnings of a stream: its first event, and a restatement that clears everything first.
    const begins = sequence === 0 || (event.type === "cleared" && event.tier === undefined);
    if (holder.epoch !== event.epoch) {
      const restarted = holder.epoch !== undefined && holder.next !== 0;
      this.forget(holder.slot);
      this.follow(holder, event, !begins);
      return restarted ? "epoch" : begins ? "applied" : "gap";
    }
    if (sequence === holder.next) {
      this.follow(holder, event, begins ? false : holder.partial);
      return "applied";
    }
    // From the past: seen before, unless it begins a replay of what was lost, or the whole stream again.
    const replays = begins && (holder.partial || sequence === 0);
    if (sequence < holder.next && !replays) return "duplicate";
    this.clearConfirmed(holder);
    this.follow(holder, event, !begins);
    return begins ? "applied" : "gap";
  }

  private follow(holder: Holder, event: KvEvent, partial: boolean): void {
    holder.epoch = event.epoch;
    holder.next = event.sequence + 1;
    holder.partial = partial;
  }

  private store(holder: Holder, event: KvEvent, result: KvOutcome): void {
    const blocks = event.blocks ?? [];
    const member = holder.slot * 4 + tiers.indexOf(event.tier ?? "device");
    const tokens = event.tokens;
    if (tokens === undefined || tokens.length === 0) return this.storeKnown(holder, blocks, member, result);
    const size = holder.blockTokens;
    let parent = noBlock;
    if (event.parent === null || event.parent === undefined) {
      seedInto(holder.space, event.salt ?? "", this.pair, 0);
    } else {
      parent = this.findEngineBlock(holder, event.parent);
      if (parent === noBlock || tokens.length !== blocks.length * size) {
        result.unplaced += blocks.length;
        return;
      }
      this.table.hashOf(parent, this.pair);
    }
    if (this.tokens.length < tokens.length) this.tokens = new Uint32Array(tokens.length * 2);
    this.tokens.set(tokens, 0);
    for (let at = 0; at < blocks.length; at++) {
      hashBlockInto(this.pair[0]!, this.pair[1]!, this.tokens, at * size, (at + 1) * size, this.pair, 0);
      if ((at + 1) * size > tokens.length || !holder.hashes.reserve()) {
        result.unplaced += blocks.length - at;
        return;
      }
      parent = this.table.add(this.pair[0]!, this.pair[1]!, member, parent);
      if (parent === noBlock) {
        result.unplaced += blocks.length - at;
        return;
      }
      readHash(blocks[at]!, engineHash);
      holder.hashes.set(engineHash[0]!, engineHash[1]!, parent);
      result.stored++;
    }
  }

  /** Blocks without tokens (copies to a lower tier): known by the engine's hash, or not at all. */
  private storeKnown(holder: Holder, blocks: NonNullable<KvEvent["blocks"]>, member: number, result: KvOutcome): void {
    for (const hash of blocks) {
      const block = this.findEngineBlock(holder, hash);
      if (block === noBlock) {
        result.unplaced++;
        continue;
      }
      this.table.hashOf(block, this.pair);
      if (this.table.add(this.pair[0]!, this.pair[1]!, member, block - 1) === noBlock) result.unplaced++;
      else result.stored++;
    }
  }

  private remove(holder: Holder, event: KvEvent, result: KvOutcome): void {
    const tier = tiers.indexOf(event.tier ?? "device");
    for (const hash of event.blocks ?? []) {
      const block = this.findEngineBlock(holder, hash);
      if (block !== noBlock) {
        this.table.remove(block, holder.slot * 4 + tier);
        result.removed++;
        if (this.table.sets.hasSlot(this.table.setOf(block), holder.slot)) continue;
      }
      readHash(hash, engineHash);
      holder.hashes.delete(engineHash[0]!, engineHash[1]!);
    }
  }

  /** A `cleared` event without a tier means all tiers. */
  private clearTier(holder: Holder, event: KvEvent): number {
    if (event.tier === undefined) return this.clearConfirmed(holder);
    const member = holder.slot * 4 + tiers.indexOf(event.tier);
    let removed = 0;
    holder.hashes.sweep((block) => {
      if (this.table.sets.has(this.table.setOf(block), member)) removed++;
      this.table.remove(block, member);
    });
    return removed;
  }

  private clearConfirmed(holder: Holder): number {
    let removed = 0;
    holder.hashes.drain((block) => {
      removed++;
      for (let tier = 0; tier < tiers.length; tier++) this.table.remove(block, holder.slot * 4 + tier);
    });
    return removed;
  }

  private findEngineBlock(holder: Holder, hash: string | bigint): number {
    readHash(hash, engineHash);
    return holder.hashes.find(engineHash[0]!, engineHash[1]!);
  }
}

const engineHash = new Uint32Array(2);
/** Takes a bigint apart without making two more. */
const wide = new BigUint64Array(1);
const wideHalves = new Uint32Array(wide.buffer);
const littleEndian = new Uint8Array(Uint16Array.of(1).buffer)[0] === 1 ? 0 : 1;

/** An engine's hash (hex, or a bigint) as two halves. Longer than 64 bits: the low 64, as vLLM's own events are. */
function readHash(hash: string | bigint, out: Uint32Array): void {
  if (typeof hash === "bigint") {
    wide[0] = hash;
    out[0] = wideHalves[littleEndian]!;
    out[1] = wideHalves[1 - littleEndian]!;
    return;
  }
  const at = Math.max(0, hash.length - 8);
  out[0] = Number.parseInt(hash.slice(at), 16);
  out[1] = at === 0 ? 0 : Number.parseInt(hash.slice(Math.max(0, at - 8), at), 16);
}
