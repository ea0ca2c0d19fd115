// Hash chains of growing prompts. A conversation sends its whole prompt with every turn; only what is new is hashed: the
// chain keeps the last prompt and compares by memory (microseconds for 100,000 tokens), then hashes from the first
// difference on.
import { chainCacheBytesDefault, maxPromptBlocks } from "../limits.ts";
import type { PromptBlocks } from "../types.ts";
import { hashBlockInto, seedInto, type Space } from "./hash.ts";

/** Words compared at a time when looking for the first difference. */
const compareWords = 4096;

/** The block hashes of one conversation in one space under one salt. */
export class HashChain {
  readonly space: Space;
  private readonly seed = new Uint32Array(2);
  private words = new Uint32Array(0);
  private length = 0;
  private hashes = new Uint32Array(0);
  private blocks = 0;

  constructor(space: Space, salt: string) {
    this.space = space;
    seedInto(space.name, salt, this.seed, 0);
  }

  /** Bytes kept for the next turn. */
  get bytes(): number {
    return this.words.byteLength + this.hashes.byteLength;
  }

  /**
   * Takes the whole prompt of a turn and answers its blocks. Cost: a comparison with the last prompt, and hashing of what
   * differs. The answer stays valid: a chain never overwrites hashes that it has given out.
   */
  update(prompt: Uint32Array): PromptBlocks {
    const size = this.space.blockWords;
    const common = Math.min(this.commonWords(prompt), this.blocks * size);
    const kept = Math.floor(common / size);
    const blocks = Math.min(Math.floor(prompt.length / size), maxPromptBlocks);
    if (kept < this.blocks && kept < blocks) this.hashes = this.hashes.slice(0, Math.max(2, kept * 2));
    this.reserveHashes(blocks);
    this.hashFrom(kept, blocks, prompt);
    this.remember(prompt, kept * size);
    this.blocks = blocks;
    return { space: this.space.name, hashes: this.hashes, blocks, blockTokens: this.space.blockTokens };
  }

  private hashFrom(kept: number, blocks: number, prompt: Uint32Array): void {
    const size = this.space.blockWords;
    const hashes = this.hashes;
    let low = kept === 0 ? this.seed[0]! : hashes[kept * 2 - 2]!;
    let high = kept === 0 ? this.seed[1]! : hashes[kept * 2 - 1]!;
    for (let block = kept; block < blocks; block++) {
      hashBlockInto(low, high, prompt, block * size, (block + 1) * size, hashes, block * 2);
      low = hashes[block * 2]!;
      high = hashes[block * 2 + 1]!;
    }
  }

  private commonWords(prompt: Uint32Array): number {
    const shared = Math.min(prompt.length, this.length);
    for (let from = 0; from < shared; from += compareWords) {
      const to = Math.min(shared, from + compareWords);
      if (Buffer.compare(bytesOf(prompt, from, to), bytesOf(this.words, from, to)) === 0) continue;
      let at = from;
      while (prompt[at] === this.words[at]) at++;
      return at;
    }
    return shared;
  }

  private remember(prompt: Uint32Array, from: number): void {
    if (prompt.length > this.words.length) {
      const grown = new Uint32Array(Math.ceil(prompt.length * 1.25));
      grown.set(this.words.subarray(0, from));
      this.words = grown;
    }
    this.words.set(prompt.subarray(from), from);
    this.length = prompt.length;
  }

  private reserveHashes(blocks: number): void {
    if (blocks * 2 <= this.hashes.length) return;
    const grown = new Uint32Array(Math.ceil(blocks * 2.5));
    grown.set(this.hashes);
    this.hashes = grown;
  }
}

function bytesOf(words: Uint32Array, from: number, to: number): Uint8Array {
  return new Uint8Array(words.buffer, words.byteOffset + from * 4, (to - from) * 4);
}

/** Chains of the conversations used last, bounded by bytes. A chain that was dropped costs one full hashing. */
export class ChainCache {
  private readonly chains = new Map<string, HashChain>();
  private readonly maxBytes: number;
  private used = 0;

  constructor(maxBytes = chainCacheBytesDefault) {
    this.maxBytes = maxBytes;
  }

  get bytes(): number {
    return this.used;
  }

  /** Forgets the prompts under a project's salts: its own, and those of its keys (`cacheSalt` in the gateway). */
  forget(salt: string): void {
    for (const [id, chain] of this.chains) {
      const of = (JSON.parse(id) as string[])[1]!;
      if (of !== salt && !of.startsWith(`${salt}/`)) continue;
      this.chains.delete(id);
      this.used -= chain.bytes;
    }
  }

  /** Blocks of `prompt` (tokens, or text by `textWords`) for the conversation `key` under the salt `salt`. */
  update(key: string, space: Space, salt: string, prompt: Uint32Array): PromptBlocks {
    const id = JSON.stringify([space.name, salt, key]);
    const chain = this.chains.get(id) ?? new HashChain(space, salt);
    this.used -= this.chains.has(id) ? chain.bytes : 0;
    const blocks = chain.update(prompt);
    this.used += chain.bytes;
    this.chains.delete(id);
    this.chains.set(id, chain);
    for (const [oldest, old] of this.chains) {
      if (this.used <= this.maxBytes) break;
      this.chains.delete(oldest);
      this.used -= old.bytes;
    }
    return blocks;
  }
}
