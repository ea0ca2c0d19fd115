// The index against a naive model: whatever events come, its matches are exactly those of sets of hashes per holder.
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { seededRng } from "../rng.ts";
import type { KvEvent } from "../events.ts";
import type { PromptBlocks } from "../types.ts";
import { HashChain } from "./chain.ts";
import { tokenSpace } from "./hash.ts";
import { PrefixIndex } from "./prefixIndex.ts";
import { runs } from "../../../test/setup/runs.ts";

const size = 4;
const space = tokenSpace("m", size);

/** Prompts that share prefixes: a path in a small tree, `branch` digits deep. */
function promptOf(path: number[], salt = ""): PromptBlocks {
  const tokens = new Uint32Array(path.length * size);
  path.forEach((digit, at) => tokens.fill(digit * 7 + 1, at * size, (at + 1) * size));
  return new HashChain(space, salt).update(tokens);
}

function tokensOf(path: number[]): number[] {
  return path.flatMap((digit) => Array.from({ length: size }, () => digit * 7 + 1));
}

/** An engine's own names of a path's blocks: unrelated to our hashes, equal for equal prefixes at one engine. */
function engineNames(slot: number, path: number[]): string[] {
  let hash = BigInt(slot + 1) * 0x9e3779b97f4a7c15n;
  return path.map((digit) => {
    hash = ((hash ^ BigInt(digit + 1)) * 0xff51afd7ed558ccdn + 1n) & 0xffff_ffff_ffff_ffffn;
    return hash.toString(16).padStart(16, "0");
  });
}

function engineName(slot: number, path: number[]): string {
  return engineNames(slot, path).at(-1)!;
}

function stored(slot: number, sequence: number, path: number[], from: number, epoch = "e"): KvEvent {
  const names = engineNames(slot, path);
  return {
    type: "stored",
    sequence,
    epoch,
    blocks: names.slice(from),
    parent: from === 0 ? null : names[from - 1]!,
    tokens: tokensOf(path.slice(from)),
  };
}

function matchOf(index: PrefixIndex, prompt: PromptBlocks, slot: number): number {
  index.match(prompt, 0);
  return index.confirmed.total[slot] ?? 0;
}

describe("prefix index", () => {
  it("matches exactly what a set of prefixes per holder says, through stores and removals", () => {
    const step = fc.record({
      slot: fc.nat(3),
      path: fc.array(fc.nat(2), { minLength: 1, maxLength: 6 }),
      tier: fc.constantFrom("device" as const, "host" as const),
      remove: fc.boolean(),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const index = new PrefixIndex({ maxBytes: 32 << 20 });
        const model = [0, 1, 2, 3].map(() => ({ device: new Set<string>(), host: new Set<string>() }));
        const sequences = [0, 0, 0, 0];
        for (let slot = 0; slot < 4; slot++) index.join(slot, space.name, size);
        for (const { slot, path, tier, remove } of steps) {
          const key = path.join();
          const sequence = sequences[slot]!++;
          if (remove) {
            index.apply(slot, { type: "removed", sequence, epoch: "e", tier, blocks: [engineName(slot, path)] });
            model[slot]![tier].delete(key);
          } else {
            index.apply(slot, { ...stored(slot, sequence, path, 0), tier });
            for (let to = 1; to <= path.length; to++) model[slot]![tier].add(path.slice(0, to).join());
          }
        }
        for (const { path } of steps) {
          index.match(promptOf(path), 0);
          for (let slot = 0; slot < 4; slot++) {
            const counts = { device: 0, host: 0 };
            for (let to = 1; to <= path.length; to++) {
              const key = path.slice(0, to).join();
              if (model[slot]!.device.has(key)) counts.device++;
              else if (model[slot]!.host.has(key)) counts.host++;
              else break;
            }
            const found = index.confirmed;
            expect([found.blocks[slot * 4], found.blocks[slot * 4 + 1]]).toEqual([counts.device, counts.host]);
            expect(found.total[slot]).toBe(counts.device + counts.host);
          }
        }
      }),
      { numRuns: runs(100) },
    );
  });

  it("continues from a parent block that the engine names", () => {
    const index = new PrefixIndex();
    index.join(0, space.name, size);
    index.apply(0, stored(0, 0, [1, 2], 0));
    expect(index.apply(0, stored(0, 1, [1, 2, 0, 1], 2))).toMatchObject({ outcome: "applied", stored: 2 });
    expect(matchOf(index, promptOf([1, 2, 0, 1, 2]), 0)).toBe(4);
  });

  it("keeps projects apart: equal tokens under another salt do not match", () => {
    const index = new PrefixIndex();
    index.join(0, space.name, size);
    index.apply(0, { ...stored(0, 0, [1, 2, 1], 0), salt: "org-a" });
    expect(matchOf(index, promptOf([1, 2, 1], "org-a"), 0)).toBe(3);
    expect(matchOf(index, promptOf([1, 2, 1], "org-b"), 0)).toBe(0);
    expect(matchOf(index, promptOf([1, 2, 1]), 0)).toBe(0);
  });

  it("forgets a rank whose stream has a gap, and goes on from there", () => {
    const index = new PrefixIndex();
    index.join(0, space.name, size);
    index.join(1, space.name, size);
    index.apply(0, stored(0, 0, [1, 2], 0));
    index.apply(1, stored(1, 0, [1, 2], 0));
    expect(index.apply(0, stored(0, 2, [2, 2], 0)).outcome).toBe("gap");
    expect(matchOf(index, promptOf([1, 2]), 0)).toBe(0);
    expect(matchOf(index, promptOf([2, 2]), 0)).toBe(2);
    expect(matchOf(index, promptOf([1, 2]), 1)).toBe(2);
    expect(index.apply(0, stored(0, 1, [0, 0], 0)).outcome).toBe("duplicate");
  });

  it("drops everything of an engine that has restarted", () => {
    const index = new PrefixIndex();
    index.join(0, space.name, size, "first");
    index.apply(0, stored(0, 0, [1, 2], 0, "first"));
    expect(index.apply(0, stored(0, 0, [2], 0, "second")).outcome).toBe("epoch");
    expect(matchOf(index, promptOf([1, 2]), 0)).toBe(0);
    expect(matchOf(index, promptOf([2]), 0)).toBe(1);
  });

  it("takes a replay from the start as the whole truth", () => {
    const index = new PrefixIndex();
    index.join(0, space.name, size);
    index.apply(0, stored(0, 0, [1], 0));
    index.apply(0, stored(0, 1, [2], 0));
    // 2 is lost.
    expect(index.apply(0, stored(0, 3, [3], 0)).outcome).toBe("gap");
    expect(matchOf(index, promptOf([1]), 0)).toBe(0);
    index.apply(0, stored(0, 0, [1], 0));
    index.apply(0, stored(0, 1, [2], 0));
    expect(matchOf(index, promptOf([1]), 0)).toBe(1);
    expect(matchOf(index, promptOf([2]), 0)).toBe(1);
  });

  it("takes a restatement (cleared, then everything) as the truth: when it comes late, after a loss, and as a replay", () => {
    const index = new PrefixIndex();
    index.join(0, space.name, size);
    const cleared = (sequence: number): KvEvent => ({ type: "cleared", sequence, epoch: "e" });
    const depth = (...path: number[]) => matchOf(index, promptOf(path), 0);
    expect(index.apply(0, cleared(40)).outcome).toBe("applied");
    index.apply(0, stored(0, 41, [1, 2], 0));
    expect(depth(1, 2)).toBe(2);
    // 42 is lost. What follows is kept, and so is what a replay brings that begins before it.
    expect(index.apply(0, stored(0, 43, [2], 0)).outcome).toBe("gap");
    expect([depth(1, 2), depth(2)]).toEqual([0, 1]);
    expect(index.apply(0, stored(0, 41, [1, 2], 0)).outcome).toBe("duplicate");
    expect(index.apply(0, cleared(40)).outcome).toBe("applied");
    for (const event of [stored(0, 41, [1, 2], 0), stored(0, 42, [0], 0), stored(0, 43, [2], 0)]) {
      expect(index.apply(0, event).outcome).toBe("applied");
    }
    expect([depth(1, 2), depth(0), depth(2)]).toEqual([2, 1, 1]);
    expect(index.apply(0, cleared(40)).outcome).toBe("duplicate");
    // Lost again, and healed by a newer restatement in the stream itself.
    expect(index.apply(0, cleared(60)).outcome).toBe("applied");
    expect(index.apply(0, stored(0, 61, [1], 0)).outcome).toBe("applied");
    expect([depth(1, 2), depth(2)]).toEqual([1, 0]);
  });

  it("does not place blocks whose parent it does not know", () => {
    const index = new PrefixIndex();
    index.join(0, space.name, size);
    expect(index.apply(0, stored(0, 0, [1, 2, 1], 2))).toMatchObject({ stored: 0, unplaced: 1 });
    expect(index.stats()).toMatchObject({ blocks: 0, unplaced: 1 });
  });

  it("moves known blocks to a lower tier without their tokens", () => {
    const index = new PrefixIndex();
    index.join(0, space.name, size);
    index.apply(0, stored(0, 0, [1, 2], 0));
    const blocks = [engineName(0, [1]), engineName(0, [1, 2])];
    index.apply(0, { type: "stored", sequence: 1, epoch: "e", tier: "host", blocks });
    index.apply(0, { type: "removed", sequence: 2, epoch: "e", tier: "device", blocks: [blocks[1]!] });
    index.match(promptOf([1, 2]), 0);
    expect([...index.confirmed.blocks.slice(0, 4)]).toEqual([1, 1, 0, 0]);
    index.apply(0, { type: "cleared", sequence: 3, epoch: "e", tier: "device" });
    index.match(promptOf([1, 2]), 0);
    expect([...index.confirmed.blocks.slice(0, 4)]).toEqual([0, 2, 0, 0]);
  });

  it("expects what was placed, for at least half of the TTL and at most all of it, apart from what is confirmed", () => {
    const index = new PrefixIndex({ expectedTtlMs: 1000, learnedTtlMs: 10_000 });
    index.join(0, space.name, size);
    index.join(1, space.name, size);
    const prompt = promptOf([1, 2, 1]);
    index.match(prompt, 0);
    index.expect(0, prompt, 400, true);
    index.expect(1, prompt, 400, false);
    const expected = (now: number): number[] => {
      index.match(prompt, now);
      return [index.predicted.total[0]!, index.predicted.total[1]!, index.confirmed.count];
    };
    expect(expected(450)).toEqual([3, 3, 0]);
    expect(expected(899)).toEqual([3, 3, 0]);
    expect(expected(1500)).toEqual([0, 3, 0]);
    expect(expected(20_000)).toEqual([0, 0, 0]);
  });

  it("never takes more memory than its budget, and still answers right for what it kept", () => {
    const maxBytes = 3 << 20;
    const index = new PrefixIndex({ maxBytes });
    const rng = seededRng(7);
    for (let slot = 0; slot < 8; slot++) index.join(slot, space.name, size);
    const sequences = new Array<number>(8).fill(0);
    let last: PromptBlocks = promptOf([0]);
    let lastSlot = 0;
    let mostBytes = 0;
    for (let round = 0; round < 600; round++) {
      const slot = Math.floor(rng() * 8);
      const path = Array.from({ length: 500 }, (_, at) => (at === 0 ? round : at));
      index.apply(slot, stored(slot, sequences[slot]!++, path, 0));
      mostBytes = Math.max(mostBytes, index.budget.usedBytes);
      last = promptOf(path);
      lastSlot = slot;
    }
    expect(mostBytes).toBeLessThanOrEqual(maxBytes);
    expect(index.stats().evictions).toBeGreaterThan(10_000);
    expect(matchOf(index, last, lastSlot)).toBe(500);
  });

  it("forgets under pressure but never claims what a holder does not have", () => {
    const index = new PrefixIndex({ maxBytes: 2 << 20 });
    const rng = seededRng(11);
    const slots = 6;
    const depths = Array.from({ length: slots }, () => new Int32Array(400));
    const sequences = new Array<number>(slots).fill(0);
    for (let slot = 0; slot < slots; slot++) index.join(slot, space.name, size);
    const pathOf = (conversation: number, depth: number): number[] => [
      conversation,
      ...Array.from({ length: depth - 1 }, (_, at) => at % 5),
    ];
    const paths = Array.from({ length: 400 }, (_, conversation) => pathOf(conversation, 300));
    const prompts = paths.map((path) => promptOf(path));
    let claimed = 0;
    let held = 0;
    for (let round = 0; round < 1500; round++) {
      const slot = Math.floor(rng() * slots);
      const conversation = Math.floor(rng() * 400);
      const path = paths[conversation]!;
      const depth = depths[slot]![conversation]!;
      if (rng() < 0.7) {
        const to = Math.min(300, depth + 1 + Math.floor(rng() * 120));
        index.apply(slot, stored(slot, sequences[slot]!++, path.slice(0, to), 0));
        depths[slot]![conversation] = to;
      } else if (depth > 0) {
        const to = Math.floor(rng() * depth);
        const blocks = engineNames(slot, path.slice(0, depth)).slice(to).toReversed();
        index.apply(slot, { type: "removed", sequence: sequences[slot]!++, epoch: "e", blocks });
        depths[slot]![conversation] = to;
      }
      const asked = Math.floor(rng() * 400);
      index.match(prompts[asked]!, 0);
      for (let other = 0; other < slots; other++) {
        const total = index.confirmed.total[other]!;
        if (total > depths[other]![asked]!) expect.fail(`round ${round}: ${total} of ${depths[other]![asked]!} blocks`);
        claimed += total;
        held += depths[other]![asked]!;
      }
    }
    expect(index.stats().evictions).toBeGreaterThan(1000);
    // It still knows a good part of what there is.
    expect(claimed / held).toBeGreaterThan(0.2);
  });

  it("gives memory back when holders leave", () => {
    const index = new PrefixIndex();
    const before = index.budget.usedBytes;
    for (let slot = 0; slot < 4; slot++) {
      index.join(slot, space.name, size);
      index.apply(slot, stored(slot, 0, [1, slot % 3, 2, 1], 0));
    }
    for (let slot = 0; slot < 4; slot++) index.leave(slot);
    expect(index.stats()).toMatchObject({ blocks: 0, sets: 0, held: 0 });
    expect(index.budget.usedBytes - before).toBeLessThan(1 << 20);
  });
});
