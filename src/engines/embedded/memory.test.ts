import { describe, expect, it } from "vitest";
import { machineMemory, planKv, refusal } from "./memory.ts";

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

  it("knows the machine", () => {
    const { availableBytes, totalBytes } = machineMemory();
    expect(availableBytes).toBeGreaterThan(0);
    expect(totalBytes).toBeGreaterThanOrEqual(availableBytes);
  });
});
