// Real frames of vLLM 0.32 (map form), and messages in array form made here after the published field order: vLLM up to
// 0.20 and SGLang send them so, and no engine of that kind can run where these tests do.
import { readdirSync, readFileSync } from "node:fs";
import { encode } from "@msgpack/msgpack";
import { describe, expect, it } from "vitest";
import { HashChain } from "../prefix/chain.ts";
import { tokenSpace } from "../prefix/hash.ts";
import { PrefixIndex } from "../prefix/prefixIndex.ts";
import { KvWireError, VllmKvStream } from "./vllm.ts";

const folder = new URL("../data/vllm-0.32-kv-events/", import.meta.url);

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
    const stream = new VllmKvStream("local");
    const stored = stream.decode(frames("b32-BlockStored-1"));
    expect(stored).toMatchObject({
      rank: 0,
      skipped: 0,
      events: [{ type: "stored", sequence: 0, tier: "device", parent: null }],
    });
    expect(stored.events[0]!.blocks).toHaveLength(7);
    expect(stored.events[0]!.blocks![0]).toBe(0x03d2312758b9e124n);
    expect(stored.events[0]!.tokens).toHaveLength(7 * 32);
    const next = stream.decode(frames("b32-BlockStored-2"));
    expect(next.events[0]).toMatchObject({ sequence: 1, parent: 0x872f97754ae35207n });
    const cleared = stream.decode(frames("b32-AllBlocksCleared-1"));
    expect(cleared.events).toMatchObject([{ type: "cleared" }]);
    const removed = stream.decode(frames("b32-BlockRemoved-1"));
    expect(removed.events.map((event) => event.type)).toContain("removed");
    expect(removed.events.at(-1)!.type).toBe("stored");
  });

  it("fill the index: the second frame continues the first, and clearing empties it", () => {
    const stream = new VllmKvStream("local");
    const index = new PrefixIndex();
    const space = tokenSpace("smol", 32);
    index.join(0, space.name, 32);
    const tokens: number[] = [];
    for (const name of ["b32-BlockStored-1", "b32-BlockStored-2"]) {
      for (const event of stream.decode(frames(name)).events) {
        tokens.push(...(event.tokens as number[]));
        expect(index.apply(0, event)).toMatchObject({ outcome: "applied", unplaced: 0 });
      }
    }
    const prompt = new HashChain(space, "").update(Uint32Array.from([...tokens, 1, 2, 3]));
    index.match(prompt, 0);
    expect(index.confirmed.total[0]).toBe(8);
    const [cleared] = stream.decode(frames("b32-AllBlocksCleared-1")).events;
    // Message 2 is not among the frames; a clearing says all there is to say, whatever was lost before it.
    expect(cleared!.sequence).toBe(3);
    expect(index.apply(0, cleared!).outcome).toBe("applied");
    index.match(prompt, 0);
    expect(index.confirmed.count).toBe(0);
  });
});

describe("array form (encoder of this test)", () => {
  it("decodes like the map form, with ranks, bytes as hashes, small integers and salts", () => {
    const stream = new VllmKvStream("old");
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
    const message = stream.decode(arrayFrames(0, events, 3));
    expect(message).toMatchObject({ rank: 3, skipped: 0 });
    expect(message.events).toMatchObject([
      {
        type: "stored",
        sequence: 0,
        blocks: [0x18191a1b1c1d1e1fn, 7n, 0xffff_ffff_ffff_fff0n],
        parent: null,
        salt: "org-a",
      },
      { type: "removed", sequence: 1, tier: "host", blocks: [7n] },
      { type: "cleared", sequence: 2 },
    ]);
  });

  it("numbers events without holes while messages follow each other, and leaves a hole where one is lost", () => {
    const stream = new VllmKvStream("old");
    const numbers = [0, 1, 3].map(
      (sequence) =>
        stream.decode(arrayFrames(sequence, [storedArray([sequence + 1], null, [1, 2, 3, 4])])).events[0]!.sequence,
    );
    expect(numbers).toEqual([0, 1, 3]);
  });

  it("begins a new epoch when the engine counts from the start again", () => {
    const stream = new VllmKvStream("old");
    const epochOf = (sequence: number) => stream.decode(arrayFrames(sequence, [["AllBlocksCleared"]])).events[0]!;
    const first = epochOf(0);
    expect(epochOf(1).epoch).toBe(first.epoch);
    expect(epochOf(0)).toMatchObject({ sequence: 0 });
    expect(stream.epoch).not.toBe(first.epoch);
  });

  it("keeps to one cache group of a hybrid model", () => {
    const stream = new VllmKvStream("hybrid");
    const group = (hash: number, group: number, kind: string) => ({
      type: "BlockStored",
      block_hashes: [hash],
      parent_block_hash: null,
      token_ids: [1, 2, 3, 4],
      block_size: 4,
      group_idx: group,
      kv_cache_spec_kind: kind,
    });
    const message = stream.decode(arrayFrames(0, [group(1, 1, "full_attention"), group(1, 0, "sliding_window")]));
    expect(message).toMatchObject({ skipped: 1, events: [{ blocks: [1n] }] });
    const removed = stream.decode(arrayFrames(1, [{ type: "BlockRemoved", block_hashes: [1], group_idx: 0 }]));
    expect(removed).toMatchObject({ skipped: 1, events: [] });
  });

  it("takes offloaded blocks without tokens, and skips tags that it does not know", () => {
    const stream = new VllmKvStream("old");
    const message = stream.decode(arrayFrames(0, [storedArray([5], null, [], [null, "CPU"]), ["Novelty", 1]]));
    expect(message).toMatchObject({ skipped: 1, events: [{ tier: "host", tokens: undefined }] });
  });

  it("says what is wrong with a malformed message", () => {
    const stream = new VllmKvStream("bad");
    expect(() => stream.decode([new Uint8Array(1)])).toThrow(KvWireError);
    expect(() => stream.decode(arrayFrames(0, [7]))).toThrow(/a map or a list/);
    expect(() => stream.decode([new Uint8Array(), new Uint8Array(8), Uint8Array.of(0xc1)])).toThrow(/msgpack/);
    expect(() => stream.decode(arrayFrames(0, [["BlockRemoved", ["x"]]]))).toThrow(/a hash is/);
  });
});
