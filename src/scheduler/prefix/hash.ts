// Content hashes of prompt blocks: 64 bits, chained, so that one hash stands for everything up to its block.
//
// The chain's whole state between two blocks is the hash itself: an engine's event that names only its parent block can be
// continued. Two 32-bit lanes, each step a bijection of the 64-bit state (so only different words can make states meet),
// closed by MurmurHash3's finaliser. It is not cryptographic: a collision costs a wrong placement, never a wrong answer,
// and prompts of different projects start from different salts. SHA-256 would cost 3.1 ms for 400 KB, this a tenth; blocks of text,
// which no engine names, are hashed in four lanes in half of that (`hashTextInto`).
import { textBlockBytes, textBlockTokens } from "../limits.ts";

/** Endpoints whose blocks can be compared: model (tokeniser), block size, unit. The name is part of every hash. */
export interface Space {
  name: string;
  unit: "tokens" | "text";
  /** Tokens of a block; where the unit is text, the estimate for 256 bytes. */
  blockTokens: number;
  /** 32-bit words hashed for a block. */
  blockWords: number;
}

/** The space of a model whose engine works in blocks of `blockTokens` tokens. */
export function tokenSpace(model: string, blockTokens: number): Space {
  return { name: `${model}/tokens/${blockTokens}`, unit: "tokens", blockTokens, blockWords: blockTokens };
}

/** The space of a model behind an engine that cannot tokenise: blocks of 256 bytes of rendered text. */
export function textSpace(model: string): Space {
  return {
    name: `${model}/text/${textBlockBytes}`,
    unit: "text",
    blockTokens: textBlockTokens,
    blockWords: textBlockBytes / 4,
  };
}

/** Hash of the empty prompt under one salt in one space: the parent of every first block. Written to out[at], out[at+1]. */
export function seedInto(space: string, salt: string, out: Uint32Array, at: number): void {
  // A length between the two parts: ("ab", "c") and ("a", "bc") differ.
  const text = `${space.length}:${space}${salt}`;
  const words = new Uint32Array(text.length);
  for (let i = 0; i < text.length; i++) words[i] = text.charCodeAt(i);
  hashBlockInto(0x243f6a88, 0x85a308d3, words, 0, words.length, out, at);
}

/** Hash of the block `words[from..to)` after the block with hash (parentLow, parentHigh), written to out[at], out[at + 1]. */
export function hashBlockInto(
  parentLow: number,
  parentHigh: number,
  words: Uint32Array,
  from: number,
  to: number,
  out: Uint32Array,
  at: number,
): void {
  let a = parentLow | 0;
  let b = parentHigh | 0;
  for (let i = from; i < to; i++) {
    const word = words[i]! | 0;
    b = Math.imul(b ^ (word + 0x7f4a7c15), 0xc2b2ae35);
    a = Math.imul(a ^ word, 0x85ebca6b);
    a = (((a << 13) | (a >>> 19)) + b) | 0;
    b = ((b << 17) | (b >>> 15)) ^ a;
  }
  a ^= to - from;
  a = (a + b) | 0;
  b = (b + a) | 0;
  a = finish(a);
  b = finish(b);
  a = (a + b) | 0;
  b = (b + a) | 0;
  out[at] = a;
  out[at + 1] = b;
}

/**
 * The same for a block of text, whose words are a multiple of four. A step of one lane waits for nothing of the other three, so a processor
 * works on all four at once.
 */
export function hashTextInto(
  parentLow: number,
  parentHigh: number,
  words: Uint32Array,
  from: number,
  to: number,
  out: Uint32Array,
  at: number,
): void {
  let a = parentLow | 0;
  let b = parentHigh | 0;
  let c = a ^ 0x3c6ef372;
  let d = b ^ 0x1f83d9ab;
  for (let i = from; i < to; i += 4) {
    a = Math.imul(a ^ words[i]!, 0x85ebca6b);
    a = (a << 13) | (a >>> 19);
    b = Math.imul(b ^ words[i + 1]!, 0xc2b2ae35);
    b = (b << 13) | (b >>> 19);
    c = Math.imul(c ^ words[i + 2]!, 0x27d4eb2f);
    c = (c << 13) | (c >>> 19);
    d = Math.imul(d ^ words[i + 3]!, 0x165667b1);
    d = (d << 13) | (d >>> 19);
  }
  // Each lane reaches the others before four become two, so that words of two lanes alone do not meet in 32 bits.
  a = finish(a);
  b = (finish(b) + a) | 0;
  c = (finish(c) + b) | 0;
  d = (finish(d) + c) | 0;
  a = (a + d) | 0;
  a = finish(a ^ Math.imul(c, 0x9e3779b1));
  b = finish(b ^ Math.imul(d, 0x85ebca77));
  a = (a + b) | 0;
  b = (b + a) | 0;
  out[at] = finish(a);
  out[at + 1] = finish(b);
}

/** MurmurHash3's 32-bit finaliser: every input bit reaches every output bit. */
export function finish(value: number): number {
  let h = value ^ (value >>> 16);
  h = Math.imul(h, 0x85ebca6b);
  h ^= h >>> 13;
  h = Math.imul(h, 0xc2b2ae35);
  return h ^ (h >>> 16);
}
