import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { ChainCache, HashChain } from "./chain.ts";
import { textSpace, textWords, tokenSpace } from "./hash.ts";

const space = tokenSpace("m", 16);
const tokens = fc.array(fc.nat(3), { maxLength: 200 }).map((list) => Uint32Array.from(list));

describe("hash chain", () => {
  it("gives the same hashes turn by turn as from nothing", () => {
    fc.assert(
      fc.property(fc.array(tokens, { minLength: 1, maxLength: 6 }), (prompts) => {
        const chain = new HashChain(space, "org");
        for (const prompt of prompts) {
          const grown = chain.update(prompt);
          const fresh = new HashChain(space, "org").update(prompt);
          expect(grown.blocks).toBe(Math.floor(prompt.length / 16));
          expect([...grown.hashes.subarray(0, grown.blocks * 2)]).toEqual([
            ...fresh.hashes.subarray(0, fresh.blocks * 2),
          ]);
        }
      }),
    );
  });

  it("never changes hashes that it has given out", () => {
    const chain = new HashChain(space, "org");
    const first = chain.update(new Uint32Array(64).fill(1));
    const kept = [...first.hashes.subarray(0, first.blocks * 2)];
    chain.update(new Uint32Array(64).fill(2));
    chain.update(new Uint32Array(640).fill(1));
    expect([...first.hashes.subarray(0, first.blocks * 2)]).toEqual(kept);
  });

  it("separates salts, spaces and positions, and meets no other hash among 400,000 near-equal blocks", () => {
    const one = new Uint32Array(16).fill(5);
    const seen = [
      new HashChain(space, "a").update(one),
      new HashChain(space, "b").update(one),
      new HashChain(tokenSpace("n", 16), "a").update(one),
    ].map((blocks) => `${blocks.hashes[0]}:${blocks.hashes[1]}`);
    expect(new Set(seen).size).toBe(3);

    const all = new BigUint64Array(400_000);
    let filled = 0;
    for (let variant = 0; variant < 400; variant++) {
      const prompt = new Uint32Array(16_000);
      prompt[variant % 16] = variant;
      const { hashes } = new HashChain(space, "").update(prompt);
      for (let at = 0; at < 1000; at++) all[filled++] = (BigInt(hashes[at * 2 + 1]!) << 32n) | BigInt(hashes[at * 2]!);
    }
    all.sort();
    let equal = 0;
    for (let at = 1; at < all.length; at++) if (all[at] === all[at - 1]) equal++;
    expect(equal).toBe(0);
  });

  it("spreads over all bits: each bit is set in about half of the hashes", () => {
    const { hashes, blocks } = new HashChain(space, "").update(new Uint32Array(16 * 4096));
    for (let bit = 0; bit < 64; bit++) {
      let set = 0;
      for (let at = 0; at < blocks; at++) set += (hashes[at * 2 + (bit >> 5)]! >>> (bit & 31)) & 1;
      expect(Math.abs(set / blocks - 0.5)).toBeLessThan(0.05);
    }
  });

  it("hashes text in 256-byte blocks of its UTF-8", () => {
    const text = "Grüße ".repeat(100);
    const { blocks } = new HashChain(textSpace("m"), "").update(textWords(text));
    expect(blocks).toBe(Math.floor(new TextEncoder().encode(text).length / 256));
  });
});

describe("chain cache", () => {
  it("stays within its bytes and still answers right after dropping", () => {
    const cache = new ChainCache(100_000);
    const prompt = new Uint32Array(4000).fill(3);
    const fresh = new HashChain(space, "org").update(prompt);
    for (let key = 0; key < 50; key++) {
      cache.update(`program-${key}`, space, "org", prompt);
      expect(cache.bytes).toBeLessThanOrEqual(100_000);
    }
    const again = cache.update("program-0", space, "org", prompt);
    expect([...again.hashes.subarray(0, 500)]).toEqual([...fresh.hashes.subarray(0, 500)]);
  });
});
