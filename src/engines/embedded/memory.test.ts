import { describe, expect, it } from "vitest";
import { machineMemory, planKv, refusal, stateBytes } from "./memory.ts";

const mib = 1024 ** 2;

describe("planning KV memory", () => {
  // What contexts of 256 and 1,024 cells of SmolLM2-135M reported, and one of 8 x 4,096.
  const plan = planKv({ cells: 256, bytes: 57_410_560 }, { cells: 1024, bytes: 126_617_600 }, 8, 4096);

  it("extends two small contexts to the one asked for", () => {
    expect(plan.bytesPerToken).toBeGreaterThan(23_040);
    expect(plan.neededBytes).toBeGreaterThan(857_999_360);
  });

  it("lets through what fits", () => {
    expect(
      refusal(plan, { slots: 8, contextTokens: 4096 }, { availableBytes: 8192 * mib, totalBytes: 16384 * mib }),
    ).toBeUndefined();
  });

  it("refuses what does not, with the numbers and what would fit", () => {
    const refused = refusal(
      planKv({ cells: 256, bytes: 256 * mib }, { cells: 1024, bytes: 1024 * mib }, 8, 4096),
      { slots: 8, contextTokens: 4096 },
      {
        availableBytes: 8448 * mib,
        totalBytes: 8448 * mib,
      },
    );
    expect(refused?.message).toBe(
      "KV memory for 8 sequences of 4096 tokens needs 32768 MiB, and 8026 MiB of 8448 MiB can be used.",
    );
    expect(refused?.hint).toContain("LINESHAFT_WORKER_CONTEXT=768");
    expect(refused?.hint).toContain("LINESHAFT_WORKER_SLOTS=1");
  });

  it("tells a token's state from what the file says of its layers", () => {
    // SmolLM2-135M, whose states of 1,000 tokens take 23 MB.
    const small = { block_count: 30, embedding_length: 576, attention: { head_count: 9, head_count_kv: 3 } };
    expect(stateBytes(small)).toBe(23_040);
    // Heads of a width of their own, and layers that hold nothing (Gemma 3 270M; a hybrid).
    const wide = { head_count: 4, head_count_kv: 1, key_length: 256, value_length: 256 };
    expect(stateBytes({ block_count: 18, embedding_length: 640, attention: wide })).toBe(18_432);
    const hybrid = { head_count: 8, head_count_kv: [0, 2, 0, 2], key_length: 64, value_length: 64 };
    expect(stateBytes({ block_count: 4, attention: hybrid })).toBe(1_024);
    expect(stateBytes({ block_count: 4 })).toBeUndefined();
    expect(stateBytes({ block_count: 4, attention: {} })).toBeUndefined();
  });

  it("knows the machine", () => {
    const { availableBytes, totalBytes } = machineMemory();
    expect(availableBytes).toBeGreaterThan(0);
    expect(totalBytes).toBeGreaterThanOrEqual(availableBytes);
  });
});
