// Hash chains of growing prompts. A conversation sends its whole prompt with every turn; only what is new is hashed: the
// chain keeps the last prompt and compares by memory (microseconds for 100,000 tokens), then hashes from the first
// difference on. A prompt of text comes as pieces of the bytes that were received; only what is new of them is copied.
import { chainCacheBytesDefault, maxPromptBlocks } from "../limits.ts";
import type { PromptBlocks } from "../types.ts";
import { hashBlockInto, hashTextInto, seedInto, type Space } from "./hash.ts";

/** A prompt as token ids, or as pieces of its text in UTF-8, which together are the text. */
export type PromptWords = Uint32Array | readonly Uint8Array[];

/** Bytes compared at a time when looking for the first difference. */
const compareBytes = 16 * 1024;
/** Of a word. */
const wordBytes = 4;

/** The block hashes of one conversation in one space under one salt. */
export class HashChain {
  readonly space: Space;
  private readonly seed = new Uint32Array(2);
  /** The last prompt, of which the words that were hashed are used. */
  private words = new Uint32Array(0);
  private memory = bytesOf(this.words);
  /** Bytes of the last prompt. */
  private length = 0;
  private hashes = new Uint32Array(0);
  private blocks = 0;
  /** Most blocks that were answered in `hashes`. */
  private given = 0;

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
  update(prompt: PromptWords): PromptBlocks {
    const pieces = prompt instanceof Uint32Array ? [bytesOf(prompt)] : prompt;
    const size = this.space.blockWords;
    const blockBytes = size * wordBytes;
    const length = pieces.reduce((sum, piece) => sum + piece.length, 0);
    const common = Math.min(this.commonBytes(pieces), this.blocks * blockBytes);
    const kept = Math.floor(common / blockBytes);
    const blocks = Math.min(Math.floor(length / blockBytes), maxPromptBlocks);
    if (kept < this.given && kept < blocks) {
      this.hashes = this.hashes.slice(0, kept * 2);
      this.given = 0;
    }
    this.reserveHashes(blocks);
    this.remember(pieces, length, kept * blockBytes);
    this.hashFrom(kept, blocks);
    this.blocks = blocks;
    this.given = Math.max(this.given, blocks);
    return { space: this.space.name, hashes: this.hashes, blocks, blockTokens: this.space.blockTokens };
  }

  private hashFrom(kept: number, blocks: number): void {
    const size = this.space.blockWords;
    const { hashes, words } = this;
    const hashInto = this.space.unit === "text" ? hashTextInto : hashBlockInto;
    let low = kept === 0 ? this.seed[0]! : hashes[kept * 2 - 2]!;
    let high = kept === 0 ? this.seed[1]! : hashes[kept * 2 - 1]!;
    for (let block = kept; block < blocks; block++) {
      hashInto(low, high, words, block * size, (block + 1) * size, hashes, block * 2);
      low = hashes[block * 2]!;
      high = hashes[block * 2 + 1]!;
    }
  }

  /** Bytes at the beginning that the last prompt begins with as well. */
  private commonBytes(pieces: readonly Uint8Array[]): number {
    let before = 0;
    for (const piece of pieces) {
      const shared = Math.min(piece.length, this.length - before);
      for (let from = 0; from < shared; from += compareBytes) {
        const to = Math.min(shared, from + compareBytes);
        const memory = this.memory.subarray(before + from, before + to);
        if (Buffer.compare(piece.subarray(from, to), memory) === 0) continue;
        let at = 0;
        while (piece[from + at] === memory[at]) at++;
        return before + from + at;
      }
      before += shared;
      if (shared < piece.length) break;
    }
    return before;
  }

  /** Keeps the prompt; the first `from` bytes are those that it has. */
  private remember(pieces: readonly Uint8Array[], length: number, from: number): void {
    if (length > this.memory.length) {
      const grown = new Uint32Array(Math.ceil((length * 1.25) / wordBytes));
      const memory = bytesOf(grown);
      memory.set(this.memory.subarray(0, from));
      this.words = grown;
      this.memory = memory;
    }
    let before = 0;
    for (const piece of pieces) {
      const skipped = Math.max(0, from - before);
      if (skipped < piece.length) this.memory.set(piece.subarray(skipped), before + skipped);
      before += piece.length;
    }
    this.length = length;
  }

  private reserveHashes(blocks: number): void {
    if (blocks * 2 <= this.hashes.length) return;
    const grown = new Uint32Array(Math.ceil(blocks * 2.5));
    grown.set(this.hashes);
    this.hashes = grown;
  }
}

const bytesOf = (words: Uint32Array): Uint8Array => new Uint8Array(words.buffer, words.byteOffset, words.byteLength);

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

  /** Blocks of `prompt` for the conversation `key` under the salt `salt`. */
  update(key: string, space: Space, salt: string, prompt: PromptWords): PromptBlocks {
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
