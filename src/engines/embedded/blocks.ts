// Which KV blocks of 64 tokens are stored in which tier, as a stream of events without gaps.
//
// A block's name is a 64-bit content hash chained over everything before it and salted by the call's cache salt, so that two
// projects never share a name even for the same text. Holders (a sequence on the device, a file on disk) are counted
// per tier: `stored` when the first holder of a tier has a block, `removed` when the last has lost it.
//
// The log is bounded. When it passes its limit it is replaced by a `cleared` event followed by a `stored` event for everything that is
// stored now. A consumer that connects late or asks for removed events starts at that `cleared`. It sees a gap in the numbers, and by the
// contract (KvEvent) it then discards what it knew.
import { hash } from "node:crypto";
import type { KvEvent } from "../kv.ts";
import { eventLogLimit } from "./limits.ts";
import { blockTokens } from "./protocol.ts";

type BlockTier = "device" | "disk";

/** Root of a cache salt's hash chains: the parent of every first block. */
export function saltOf(cacheSalt: string): string {
  return hash("sha256", `lineshaft-kv-blocks-1\0${cacheSalt}`, "hex").slice(0, 16);
}

/**
 * Hashes of the full blocks of `tokens`, first to last, 16 hex digits each; `known` are those already computed for the
 * same beginning, so that a growing sequence hashes only what is new.
 */
export function blockHashes(salt: string, tokens: readonly number[], known: readonly string[] = []): string[] {
  const hashes = known.slice(0, Math.floor(tokens.length / blockTokens));
  const bytes = Buffer.allocUnsafe(8 + blockTokens * 4);
  for (let block = hashes.length; (block + 1) * blockTokens <= tokens.length; block++) {
    bytes.write(block === 0 ? salt : hashes[block - 1]!, 0, "hex");
    for (let i = 0; i < blockTokens; i++) bytes.writeUInt32LE(tokens[block * blockTokens + i]!, 8 + i * 4);
    hashes.push(hash("sha256", bytes, "hex").slice(0, 16));
  }
  return hashes;
}

interface Block {
  cacheSalt: string;
  parent: string | null;
  tokens: number[];
  holders: { device: number; disk: number };
}

interface Holder {
  tier: BlockTier;
  salt: string;
  hashes: string[];
}

/** The blocks that each holder has, and the log of events that led there. */
export class BlockLedger {
  readonly epoch: string;
  private readonly limit: number;
  private readonly blocks = new Map<string, Block>();
  private readonly holders = new Map<string, Holder>();
  private log: KvEvent[] = [];
  private next = 0;
  private restatedLength = 0;
  private readonly listeners = new Set<() => void>();

  constructor(epoch: string, limit: number = eventLogLimit) {
    this.epoch = epoch;
    this.limit = limit;
  }

  /**
   * Sets the blocks of `holder` to the whole blocks of `tokens`. Unchanged leading blocks cost only their hash check. An empty list forgets
   * the holder.
   */
  set(holder: string, tier: BlockTier, cacheSalt: string, tokens: readonly number[]): void {
    const salt = saltOf(cacheSalt);
    const before = this.holders.get(holder);
    const same = before?.salt === salt ? commonBlocks(before.hashes, tokens, this.blocks) : 0;
    const kept = before ? before.hashes.slice(0, same) : [];
    const hashes = blockHashes(salt, tokens, kept);
    if (before && before.hashes.length > same) this.release(before.tier, before.hashes.slice(same));
    if (hashes.length > same) this.hold(tier, cacheSalt, hashes, same, tokens);
    if (hashes.length === 0) this.holders.delete(holder);
    else this.holders.set(holder, { tier, salt, hashes });
  }

  /** Removes the holder and its blocks. */
  forget(holder: string): void {
    const before = this.holders.get(holder);
    if (!before) return;
    this.holders.delete(holder);
    this.release(before.tier, before.hashes);
  }

  /** Events from number `since` on. If `since` is unknown or of another epoch, events from the last `cleared` on. */
  read(since?: { epoch: string; sequence: number }): KvEvent[] {
    const first = this.log[0]?.sequence ?? this.next;
    const from =
      since?.epoch === this.epoch && since.sequence >= first && since.sequence <= this.next ? since.sequence : first;
    return this.log.slice(from - first);
  }

  /** Number that the next event will have. */
  get nextSequence(): number {
    return this.next;
  }

  /** Calls `listener` after each event. Returns a function that unsubscribes it. */
  onEvent(listener: () => void): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  /** Names of the blocks that `tier` holds now. */
  stored(tier: BlockTier): Set<string> {
    return new Set([...this.blocks].filter(([, block]) => block.holders[tier] > 0).map(([name]) => name));
  }

  private hold(tier: BlockTier, cacheSalt: string, hashes: string[], from: number, tokens: readonly number[]): void {
    let run: string[] = [];
    let runStart = from;
    const flush = () => {
      if (run.length === 0) return;
      this.emit({
        type: "stored",
        tier,
        salt: cacheSalt,
        blocks: run,
        parent: runStart === 0 ? null : hashes[runStart - 1]!,
        tokens: tokens.slice(runStart * blockTokens, (runStart + run.length) * blockTokens),
      });
      run = [];
    };
    for (let index = from; index < hashes.length; index++) {
      const name = hashes[index]!;
      let block = this.blocks.get(name);
      if (!block) {
        block = {
          cacheSalt,
          parent: index === 0 ? null : hashes[index - 1]!,
          tokens: tokens.slice(index * blockTokens, (index + 1) * blockTokens),
          holders: { device: 0, disk: 0 },
        };
        this.blocks.set(name, block);
      }
      block.holders[tier]++;
      if (block.holders[tier] > 1) {
        flush();
        continue;
      }
      if (run.length === 0) runStart = index;
      run.push(name);
    }
    flush();
  }

  private release(tier: BlockTier, hashes: string[]): void {
    const gone: string[] = [];
    for (const name of hashes) {
      const block = this.blocks.get(name)!;
      block.holders[tier]--;
      if (block.holders[tier] > 0) continue;
      gone.push(name);
      if (block.holders.device === 0 && block.holders.disk === 0) this.blocks.delete(name);
    }
    if (gone.length > 0) this.emit({ type: "removed", tier, blocks: gone });
  }

  private emit(event: Omit<KvEvent, "sequence" | "epoch">): void {
    this.log.push({ ...event, sequence: this.next++, epoch: this.epoch });
    if (this.log.length > Math.max(this.limit, 2 * this.restatedLength)) return this.restate();
    for (const listener of this.listeners) listener();
  }

  /** Replaces the log by `cleared` and one `stored` per block and tier, parents first (a Map keeps that order per chain). */
  restate(): void {
    this.log = [{ type: "cleared", sequence: this.next++, epoch: this.epoch }];
    for (const tier of ["device", "disk"] as const) {
      for (const [name, block] of this.blocks) {
        if (block.holders[tier] === 0) continue;
        this.log.push({
          type: "stored",
          sequence: this.next++,
          epoch: this.epoch,
          tier,
          salt: block.cacheSalt,
          blocks: [name],
          parent: block.parent,
          tokens: block.tokens,
        });
      }
    }
    this.restatedLength = this.log.length;
    for (const listener of this.listeners) listener();
  }
}

/** How many leading blocks of a holder are still those of `tokens`. */
function commonBlocks(hashes: string[], tokens: readonly number[], blocks: Map<string, Block>): number {
  const most = Math.min(hashes.length, Math.floor(tokens.length / blockTokens));
  for (let index = 0; index < most; index++) {
    const held = blocks.get(hashes[index]!)!.tokens;
    const offset = index * blockTokens;
    for (let i = 0; i < blockTokens; i++) if (held[i] !== tokens[offset + i]) return index;
  }
  return most;
}
