import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { KvEvent } from "../kv.ts";
import { BlockLedger, blockHashes, saltOf } from "./blocks.ts";

const tokens = (length: number, from = 0) => Array.from({ length }, (_, i) => from + i);

describe("block hashes", () => {
  it("name full blocks of 64 tokens, chained and salted by cacheSalt", () => {
    const hashes = blockHashes(saltOf("a"), tokens(200));
    expect(hashes).toHaveLength(3);
    expect(hashes.every((hash) => /^[0-9a-f]{16}$/.test(hash))).toBe(true);
    expect(blockHashes(saltOf("b"), tokens(200))).not.toContain(hashes[0]);
    // The same block behind another is another block.
    const moved = blockHashes(saltOf("a"), [...tokens(64, 500), ...tokens(64)]);
    expect(moved[1]).not.toBe(hashes[0]);
  });

  it("hash only what is new, to the same result", () => {
    const known = blockHashes(saltOf("a"), tokens(128));
    expect(blockHashes(saltOf("a"), tokens(300), known)).toEqual(blockHashes(saltOf("a"), tokens(300)));
  });
});

/** The blocks per tier that a consumer knows after reading the events. */
function replay(events: KvEvent[]): { device: Set<string>; disk: Set<string> } {
  const state = { device: new Set<string>(), disk: new Set<string>() };
  let expected = events[0]?.sequence;
  for (const event of events) {
    expect(event.sequence).toBe(expected!++);
    if (event.type === "cleared") {
      state.device.clear();
      state.disk.clear();
    }
    const tier = state[event.tier as "device" | "disk"];
    for (const block of event.blocks ?? []) {
      if (event.type === "removed") tier.delete(block);
      else {
        expect(event.tokens).toHaveLength(64 * event.blocks!.length);
        const first = event.blocks!.indexOf(block) === 0;
        // The blocks of a chain are stored in order, from its start.
        if (first && event.parent !== null) expect(tier.has(event.parent!)).toBe(true);
        tier.add(block);
      }
    }
  }
  return state;
}

describe("the block ledger", () => {
  it("tells stored by the first holder and removed by the last", () => {
    const ledger = new BlockLedger("e");
    ledger.set("one", "device", "a", tokens(130));
    ledger.set("two", "device", "a", tokens(70));
    ledger.forget("one");
    ledger.forget("two");
    expect(ledger.read().map((event) => [event.type, event.blocks?.length])).toEqual([
      ["stored", 2],
      ["removed", 1],
      ["removed", 1],
    ]);
    expect(ledger.read()[0]).toMatchObject({ salt: "a", parent: null, tier: "device", epoch: "e" });
  });

  it("answers from a number on, and everything for another epoch or a number it does not know", () => {
    const ledger = new BlockLedger("e");
    for (const at of [64, 128, 192]) ledger.set("one", "disk", "a", tokens(at));
    expect(ledger.read({ epoch: "e", sequence: 2 }).map((event) => event.sequence)).toEqual([2]);
    expect(ledger.read({ epoch: "e", sequence: 3 })).toEqual([]);
    expect(ledger.read({ epoch: "other", sequence: 2 })).toHaveLength(3);
    expect(ledger.read({ epoch: "e", sequence: 99 })).toHaveLength(3);
  });

  it("replays without a gap to what is stored, whatever happened and however short the log", () => {
    const change = fc.record({
      holder: fc.constantFrom("s0", "s1", "f0", "f1"),
      cacheSalt: fc.constantFrom("a", "b"),
      length: fc.nat(400),
      from: fc.constantFrom(0, 0, 0, 1000),
    });
    fc.assert(
      fc.property(fc.array(change, { maxLength: 60 }), fc.integer({ min: 2, max: 40 }), (changes, limit) => {
        const ledger = new BlockLedger("e", limit);
        for (const { holder, cacheSalt, length, from } of changes) {
          ledger.set(holder, holder.startsWith("s") ? "device" : "disk", cacheSalt, tokens(length, from));
        }
        const seen = replay(ledger.read());
        expect(seen.device).toEqual(ledger.stored("device"));
        expect(seen.disk).toEqual(ledger.stored("disk"));
      }),
    );
  });
});
