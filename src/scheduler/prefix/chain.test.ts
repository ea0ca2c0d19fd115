import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { ChainCache, HashChain } from "./chain.ts";
import { textSpace, tokenSpace } from "./hash.ts";
import { runs } from "../../../test/setup/runs.ts";

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
    const shorter = new Uint32Array(32).fill(1);
    const again = new HashChain(space, "org");
    const long = again.update(new Uint32Array(64).fill(1));
    again.update(shorter);
    again.update(Uint32Array.from([...shorter, ...new Uint32Array(32).fill(3)]));
    expect([...long.hashes.subarray(0, long.blocks * 2)]).toEqual(kept);
  });

  it.each([
    ["tokens", space, tokenSpace("n", 16)],
    ["text", textSpace("m"), textSpace("n")],
  ])("separates salts, spaces and positions of %s, and no two of 400,000 near-equal blocks", (_unit, space, other) => {
    const { blockWords } = space;
    const one = new Uint32Array(blockWords).fill(5);
    const seen = [
      new HashChain(space, "a").update(one),
      new HashChain(space, "b").update(one),
      new HashChain(other, "a").update(one),
    ].map((blocks) => `${blocks.hashes[0]}:${blocks.hashes[1]}`);
    expect(new Set(seen).size).toBe(3);

    const all = new BigUint64Array(400_000);
    let filled = 0;
    for (let variant = 0; variant < 400; variant++) {
      const prompt = new Uint32Array(1000 * blockWords);
      prompt[variant % blockWords] = variant;
      const { hashes } = new HashChain(space, "").update(prompt);
      for (let at = 0; at < 1000; at++) all[filled++] = (BigInt(hashes[at * 2 + 1]!) << 32n) | BigInt(hashes[at * 2]!);
    }
    all.sort();
    let equal = 0;
    for (let at = 1; at < all.length; at++) if (all[at] === all[at - 1]) equal++;
    expect(equal).toBe(0);
  });

  it.each([space, textSpace("m")])("spreads over all bits: each bit is set in about half of the hashes", (space) => {
    const { hashes, blocks } = new HashChain(space, "").update(new Uint32Array(space.blockWords * 4096));
    for (let bit = 0; bit < 64; bit++) {
      let set = 0;
      for (let at = 0; at < blocks; at++) set += (hashes[at * 2 + (bit >> 5)]! >>> (bit & 31)) & 1;
      expect(Math.abs(set / blocks - 0.5)).toBeLessThan(0.05);
    }
  });

  it("hashes text in 256-byte blocks of its UTF-8", () => {
    const text = "Grüße ".repeat(100);
    const { blocks } = new HashChain(textSpace("m"), "").update([Buffer.from(text)]);
    expect(blocks).toBe(Math.floor(Buffer.byteLength(text) / 256));
  });

  it("hashes text alike however it is cut into pieces, and whatever the turn before was", () => {
    const turns = fc.array(
      fc.record({ from: fc.nat(5), length: fc.nat(70_000), cuts: fc.array(fc.nat(70_000), { maxLength: 4 }) }),
      { minLength: 1, maxLength: 5 },
    );
    fc.assert(
      fc.property(turns, (prompts) => {
        const chain = new HashChain(textSpace("m"), "org");
        for (const { from, length, cuts } of prompts) {
          // Half of the turns go on from others.
          const bytes = Buffer.alloc(length, "one turn after the other ");
          if (from < 3 && length > 20_000 * (from + 1)) bytes.fill(`turn ${from}`, 20_000 * (from + 1));
          const places = [0, ...cuts.filter((cut) => cut < length).toSorted((a, b) => a - b), length];
          const pieces = places.slice(1).map((to, place) => bytes.subarray(places[place], to));
          const cut = chain.update(pieces);
          const fresh = new HashChain(textSpace("m"), "org").update([bytes]);
          expect(cut.blocks).toBe(fresh.blocks);
          expect(Buffer.from(cut.hashes.buffer, 0, cut.blocks * 8)).toEqual(
            Buffer.from(fresh.hashes.buffer, 0, cut.blocks * 8),
          );
        }
      }),
      { numRuns: runs(60) },
    );
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
