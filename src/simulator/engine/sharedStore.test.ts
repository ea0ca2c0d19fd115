// The shared store by itself, and below a replica's cache: what each replica finds, which blocks are evicted first, and that no block
// is kept without its prefix.
import { describe, expect, it } from "vitest";
import { Random } from "../random.ts";
import type { SimCall } from "../types.ts";
import { KvCache } from "./kvCache.ts";
import { parentsOf, SharedStore, type StoreWrites } from "./sharedStore.ts";

const blockTokens = 10;
const ids = (...blocks: number[]) => Int32Array.from(blocks);

/** Two conversations with one beginning (0, 1), and one alone. */
const prompts = [ids(0, 1, 2, 3), ids(0, 1, 4, 5), ids(6, 7, 8, 9)];
const callOf = (blocks: Int32Array, outputBlocks?: Int32Array) => ({ blocks, outputBlocks }) as unknown as SimCall;
const parents = parentsOf(
  prompts.map((blocks) => callOf(blocks)),
  20,
);

const storeOf = (blocks: number, writes: StoreWrites = "computed") =>
  new SharedStore({ blockCount: 20, capacityTokens: blocks * blockTokens, blockTokens, writes, parents });
const held = (store: SharedStore) => [...Array(20).keys()].filter((block) => store.has(block));

describe("shared store", () => {
  it("knows the block before each, of prompts and of the outputs behind them", () => {
    expect([...parents.subarray(0, 10)]).toEqual([-1, 0, 1, 2, 1, 4, -1, 6, 7, 8]);
    const behind = parentsOf([callOf(ids(0, 1), ids(2, 3)), callOf(ids(0, 1, 2, 3, 4))], 6);
    expect([...behind]).toEqual([-1, 0, 1, 2, 3, -1]);
  });

  it("keeps a block with all before it, and evicts the least recently used conversation from its end", () => {
    const store = storeOf(6);
    store.save(3);
    expect(held(store)).toEqual([0, 1, 2, 3]);
    store.saveLeading(prompts[2]!, 4);
    expect(held(store)).toEqual([0, 1, 6, 7, 8, 9]);
    store.fetched(prompts[0]!, 2, 20);
    store.save(4);
    expect(held(store)).toEqual([0, 1, 4, 6, 7, 8]);
    expect(store.tokens).toBe(60);
    expect(store.totals).toEqual({ saved: 90, fetched: 20, evicted: 30 });
  });

  it("cuts a conversation that is longer than all of it", () => {
    const store = storeOf(3);
    store.save(9);
    expect(held(store)).toEqual([6, 7, 8]);
    store.save(9);
    expect(held(store)).toEqual([6, 7, 8]);
  });

  it("forgets an ended conversation but for what another goes on from", () => {
    const store = storeOf(10);
    store.save(3);
    store.save(5);
    expect(store.drop(prompts[0]!)).toBe(2);
    expect(held(store)).toEqual([0, 1, 4, 5]);
    expect(store.drop(prompts[1]!)).toBe(4);
    expect(store.tokens).toBe(0);
  });

  it("gives unread outputs their room too, and removes them oldest first like all else", () => {
    const store = storeOf(3);
    for (let i = 0; i < 5000; i++) store.saveOutput();
    expect(store.tokens).toBe(30);
    store.save(7);
    expect(held(store)).toEqual([6, 7]);
    expect(store.tokens).toBe(30);
  });

  it("never keeps more than fits, nor a block without the one before it, whatever is done", () => {
    const random = new Random(3);
    const chains = Array.from({ length: 12 }, (_, c) =>
      Int32Array.from({ length: 8 }, (_, i) => (i < 3 ? i + 8 * (c % 2) : 16 + c * 8 + i)),
    );
    const blockCount = 16 + 12 * 8;
    const all = parentsOf(
      chains.map((blocks) => callOf(blocks)),
      blockCount,
    );
    const present = new Set<number>();
    const store = new SharedStore({
      blockCount,
      capacityTokens: 290,
      blockTokens,
      writes: "evicted",
      parents: all,
      listener: (block, here) => void (here ? present.add(block) : present.delete(block)),
    });
    for (let n = 0; n < 3000; n++) {
      const blocks = chains[random.below(12)]!;
      const what = random.below(6);
      if (what === 0) store.fetched(blocks, 1 + random.below(8), 0);
      else if (what === 1) store.drop(blocks);
      else if (what === 2) store.saveOutput();
      else if (what === 3) store.saveLeading(blocks, 1 + random.below(8));
      else store.save(blocks[random.below(8)]!);
      expect(store.tokens).toBeLessThanOrEqual(290);
      const wrong = [...all.keys()].filter(
        (block) =>
          store.has(block) !== present.has(block) || (store.has(block) && all[block]! >= 0 && !store.has(all[block]!)),
      );
      expect(wrong).toEqual([]);
    }
    expect(store.totals.evicted).toBeGreaterThan(0);
  });
});

describe("caches over one store", () => {
  const cachesOf = (store: SharedStore, deviceBlocks: number) =>
    [0, 1].map(
      () =>
        new KvCache(20, { deviceTokens: deviceBlocks * blockTokens, blockTokens, lowerTokens: [] }, undefined, store),
    );
  const serve = (cache: KvCache, blocks: Int32Array) => {
    for (const block of blocks) cache.pin(block);
    cache.computed(blocks, blocks.length);
    cache.release(blocks, blocks.length);
    cache.fit();
  };

  it("written at once: a prompt computed by one is resident at the other, in the store's tier, and stays there when read", () => {
    const store = storeOf(10);
    const [a, b] = cachesOf(store, 10) as [KvCache, KvCache];
    serve(a, prompts[0]!);
    expect([b.match(prompts[0]!), b.matchDevice(prompts[0]!), b.match(prompts[1]!)]).toEqual([4, 0, 2]);
    expect([a.tierOf(3), b.tierOf(3), b.tierOf(4)]).toEqual([1, 2, 0]);
    serve(b, prompts[0]!);
    expect([b.tierOf(3), store.has(3)]).toEqual([1, true]);
  });

  it("written when evicted: the other finds what has left the device, with its whole beginning", () => {
    const store = storeOf(20, "evicted");
    const [a, b] = cachesOf(store, 6) as [KvCache, KvCache];
    serve(a, prompts[0]!);
    expect(b.match(prompts[0]!)).toBe(0);
    serve(a, prompts[2]!);
    // Two blocks had to go, from the end; what lies before them is needed to read them.
    expect([a.matchDevice(prompts[0]!), b.match(prompts[0]!), store.tokens]).toEqual([2, 4, 40]);
    expect(a.demote(prompts[2]!)).toBe(4);
    expect([a.matchDevice(prompts[2]!), b.match(prompts[2]!)]).toEqual([0, 4]);
  });

  it("what is shared may lie in part on the device and in part in the store", () => {
    const store = storeOf(20, "evicted");
    const [a, b] = cachesOf(store, 10) as [KvCache, KvCache];
    serve(a, prompts[0]!);
    a.demote(ids(0, 1));
    expect([a.matchDevice(prompts[0]!), b.match(prompts[0]!)]).toEqual([0, 2]);
    a.share(prompts[0]!);
    expect(b.match(prompts[0]!)).toBe(4);
  });

  it("a replica that dies leaves what it had put there", () => {
    const store = storeOf(20, "evicted");
    const [a, b] = cachesOf(store, 10) as [KvCache, KvCache];
    serve(a, prompts[0]!);
    serve(a, prompts[2]!);
    a.share(prompts[0]!);
    a.clear();
    expect([b.match(prompts[0]!), b.match(prompts[2]!)]).toEqual([4, 0]);
  });
});
