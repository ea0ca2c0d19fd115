// Real frames of vLLM 0.32 (map form), and messages in array form made here after the published field order: vLLM up to
// 0.20 and SGLang send them so, and no engine of that kind can run where these tests do.
import { readdirSync, readFileSync } from "node:fs";
import { encode } from "@msgpack/msgpack";
import { describe, expect, it } from "vitest";
import { HashChain } from "../../scheduler/prefix/chain.ts";
import { tokenSpace } from "../../scheduler/prefix/hash.ts";
import { PrefixIndex } from "../../scheduler/prefix/prefixIndex.ts";
import type { KvEvent } from "../../scheduler/events.ts";
import { isMalformed, messageSequence, VllmKvDecoder, type VllmMessage } from "./kvWire.ts";

/** The events numbered as a subscriber numbers them (stream.ts). */
function numbered(message: VllmMessage, from: number): KvEvent[] {
  return message.events.map((event, at) => ({ ...event, epoch: "e", sequence: from + at }));
}

const folder = new URL("./fixtures/kvEvents-0.32/", import.meta.url);

function frames(name: string): Uint8Array[] {
  return [0, 1, 2].map((at) => readFileSync(new URL(`${name}.frame${at}.bin`, folder)));
}

/** Array form (vLLM up to 0.20, SGLang): [tag, hashes, parent, tokens, block_size, lora_id, medium, lora_name, extra_keys]. */
function arrayFrames(sequence: number, events: unknown[], rank?: number): Uint8Array[] {
  const number = new Uint8Array(8);
  new DataView(number.buffer).setBigUint64(0, BigInt(sequence));
  const payload = rank === undefined ? [1.5, events] : [1.5, events, rank];
  return [new Uint8Array(), number, encode(payload, { useBigInt64: true })];
}

function storedArray(hashes: unknown[], parent: unknown, tokens: number[], more: unknown[] = [null, "GPU"]): unknown[] {
  return ["BlockStored", hashes, parent, tokens, 4, ...more];
}

describe("vLLM 0.32's frames", () => {
  it("are all here", () => {
    expect(readdirSync(folder)).toHaveLength(12);
  });

  it("decode to stored, removed and cleared with 64-bit hashes", () => {
    const decoder = new VllmKvDecoder();
    const stored = decoder.decode(frames("b32-BlockStored-1"));
    expect(stored).toMatchObject({
      sequence: 0,
      rank: 0,
      skipped: 0,
      events: [{ type: "stored", tier: "device", parent: null, blockTokens: 32 }],
    });
    expect(stored.events[0]!.blocks).toHaveLength(7);
    expect(stored.events[0]!.blocks![0]).toBe(0x03d2312758b9e124n);
    expect(stored.events[0]!.tokens).toHaveLength(7 * 32);
    const next = decoder.decode(frames("b32-BlockStored-2"));
    expect(next).toMatchObject({ sequence: 1, events: [{ parent: 0x872f97754ae35207n }] });
    expect(next.at).toBeGreaterThan(stored.at);
    const cleared = decoder.decode(frames("b32-AllBlocksCleared-1"));
    expect(cleared.events).toMatchObject([{ type: "cleared" }]);
    const removed = decoder.decode(frames("b32-BlockRemoved-1"));
    expect(removed.events.map((event) => event.type)).toContain("removed");
    expect(removed.events.at(-1)!.type).toBe("stored");
  });

  it("fill the index: the second frame continues the first, and clearing empties it", () => {
    const decoder = new VllmKvDecoder();
    const index = new PrefixIndex();
    const space = tokenSpace("smol", 32);
    index.join(0, space.name, 32);
    const tokens: number[] = [];
    for (const [at, name] of ["b32-BlockStored-1", "b32-BlockStored-2"].entries()) {
      for (const event of numbered(decoder.decode(frames(name)), at)) {
        tokens.push(...(event.tokens as number[]));
        expect(index.apply(0, event)).toMatchObject({ outcome: "applied", unplaced: 0 });
      }
    }
    const prompt = new HashChain(space, "").update(Uint32Array.from([...tokens, 1, 2, 3]));
    index.match(prompt, 0);
    expect(index.confirmed.total[0]).toBe(8);
    const [cleared] = numbered(decoder.decode(frames("b32-AllBlocksCleared-1")), 2);
    expect(index.apply(0, cleared!).outcome).toBe("applied");
    index.match(prompt, 0);
    expect(index.confirmed.count).toBe(0);
  });
});

describe("array form (encoder of this test)", () => {
  it("decodes like the map form, with ranks, bytes as hashes, small integers and salts", () => {
    const decoder = new VllmKvDecoder();
    const digest = Uint8Array.from({ length: 32 }, (_, at) => at);
    const events = [
      storedArray(
        [digest, 7, 0xffff_ffff_ffff_fff0n],
        null,
        [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12],
        [null, "GPU", null, [["org-a"], [], []]],
      ),
      ["BlockRemoved", [7], "CPU_PINNED"],
      ["AllBlocksCleared"],
    ];
    const message = decoder.decode(arrayFrames(0, events, 3));
    expect(message).toMatchObject({ rank: 3, skipped: 0 });
    expect(message.events).toMatchObject([
      {
        type: "stored",
        blocks: [0x18191a1b1c1d1e1fn, 7n, 0xffff_ffff_ffff_fff0n],
        parent: null,
        salt: "org-a",
      },
      { type: "removed", tier: "host", blocks: [7n] },
      { type: "cleared" },
    ]);
  });

  it("finds the salt after the adapter's name and among images", () => {
    const extra = (lora: string | null, keys: unknown[]) => [null, "GPU", lora, [keys, []]];
    const events = [
      storedArray([1], null, [1, 2, 3, 4], extra("tuned", ["tuned", ["image", 0], "org-a"])),
      storedArray([2], null, [1, 2, 3, 4], extra("tuned", ["tuned"])),
      storedArray([3], null, [1, 2, 3, 4], extra(null, [["image", 0]])),
    ];
    const read = new VllmKvDecoder().decode(arrayFrames(0, events)).events;
    expect(read.map(({ salt, lora }) => [salt, lora])).toEqual([
      ["org-a", "tuned"],
      [undefined, "tuned"],
      [undefined, undefined],
    ]);
  });

  it("numbers messages in 64 bits, with or without a topic", () => {
    expect(messageSequence(arrayFrames(2 ** 40, []))).toBe(2 ** 40);
    expect(messageSequence(arrayFrames(3, []).slice(1))).toBe(3);
  });

  it("keeps to one cache group of a hybrid model", () => {
    const decoder = new VllmKvDecoder();
    const group = (hash: number, group: number, kind: string) => ({
      type: "BlockStored",
      block_hashes: [hash],
      parent_block_hash: null,
      token_ids: [1, 2, 3, 4],
      block_size: 4,
      group_idx: group,
      kv_cache_spec_kind: kind,
    });
    const message = decoder.decode(arrayFrames(0, [group(1, 1, "full_attention"), group(1, 0, "sliding_window")]));
    expect(message).toMatchObject({ skipped: 1, events: [{ blocks: [1n] }] });
    const removed = decoder.decode(arrayFrames(1, [{ type: "BlockRemoved", block_hashes: [1], group_idx: 0 }]));
    expect(removed).toMatchObject({ skipped: 1, events: [] });
  });

  it("takes offloaded blocks without tokens, and skips tags that it does not know", () => {
    const decoder = new VllmKvDecoder();
    const message = decoder.decode(arrayFrames(0, [storedArray([5], null, [], [null, "CPU"]), ["Novelty", 1]]));
    expect(message).toMatchObject({ skipped: 1, events: [{ tier: "host" }] });
    expect(message.events[0]!.tokens).toBeUndefined();
  });

  it("says what is wrong with a malformed message", () => {
    const decoder = new VllmKvDecoder();
    const thrown = (frames: Uint8Array[]): unknown => {
      try {
        return decoder.decode(frames);
      } catch (error) {
        return error;
      }
    };
    const error = thrown([new Uint8Array(1)]);
    expect(error).toMatchObject({ code: "kv_wire", retryable: true });
    expect(isMalformed(error)).toBe(true);
    expect(isMalformed(new RangeError("of something else"))).toBe(false);
    expect(() => decoder.decode(arrayFrames(0, [7]))).toThrow(/a map or a list/);
    expect(() => decoder.decode([new Uint8Array(), new Uint8Array(8), Uint8Array.of(0xc1)])).toThrow(/msgpack/);
    expect(() => decoder.decode(arrayFrames(0, [["BlockRemoved", ["x"]]]))).toThrow(/a hash is/);
  });
});
