import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { shareOut } from "./batch.ts";
import { batchTokens, chunkTokensBusy } from "./limits.ts";

describe("sharing a batch", () => {
  it("gives a lone prompt everything while no sequence decodes, and one small chunk while one does", () => {
    expect(shareOut([{ id: 1, pending: 900, order: 0 }], 0)).toEqual(new Map([[1, 256]]));
    expect(shareOut([{ id: 1, pending: 900, order: 0 }], 3)).toEqual(new Map([[1, 64]]));
    expect(shareOut([], 3)).toEqual(new Map());
  });

  it("serves the oldest and the one nearest to its first token", () => {
    const calls = [
      { id: 1, pending: 2000, order: 4 },
      { id: 2, pending: 1500, order: 2 },
      { id: 3, pending: 40, order: 9 },
    ];
    expect(shareOut(calls, 1)).toEqual(
      new Map([
        [2, 64],
        [3, 40],
      ]),
    );
  });

  const calls = fc.uniqueArray(
    fc.record({ id: fc.nat(63), pending: fc.integer({ min: 2, max: 4000 }), order: fc.nat() }),
    {
      selector: (call) => call.id,
      maxLength: 16,
    },
  );

  it("lets no stream wait for more than two chunks, and always fits the batch", () => {
    fc.assert(
      fc.property(calls, fc.nat(16), (prefilling, decoding) => {
        const shares = [...shareOut(prefilling, decoding).values()];
        const total = shares.reduce((sum, share) => sum + share, 0);
        if (decoding > 0) expect(total).toBeLessThanOrEqual(2 * chunkTokensBusy);
        expect(total + decoding).toBeLessThanOrEqual(batchTokens);
        expect(shares.length).toBe(Math.min(2, prefilling.length));
      }),
    );
  });

  it("starves no prompt: the oldest always gets a chunk", () => {
    fc.assert(
      fc.property(calls, fc.nat(16), (prefilling, decoding) => {
        fc.pre(prefilling.length > 0);
        const oldest = prefilling.toSorted((a, b) => a.order - b.order)[0]!;
        expect(shareOut(prefilling, decoding).get(oldest.id)).toBeGreaterThan(0);
      }),
    );
  });
});
