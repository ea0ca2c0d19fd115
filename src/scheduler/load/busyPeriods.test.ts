import { describe, expect, it } from "vitest";
import { periodCallsMost } from "../limits.ts";
import { BusyPeriods, type PeriodShare, type Shown } from "./busyPeriods.ts";

function record() {
  const seen: { tokens: number; ms: number }[] = [];
  const busy = new BusyPeriods((tokens, ms) => seen.push({ tokens, ms }));
  const shown = (tokens: number, prefillMs: number, more: Partial<Shown> = {}): Shown => {
    return { tokens, attentionMs: 0, prefillMs, readBack: false, ...more };
  };
  return { seen, busy, shown };
}

describe("busy periods", () => {
  it("count prompts that waited for each other by all of their tokens in all of their time", () => {
    const { seen, busy, shown } = record();
    const first = busy.placed(true, 100);
    const second = busy.placed(true, 150);
    busy.prefilled(first, 200);
    const third = busy.placed(true, 250);
    busy.prefilled(second, 300);
    busy.prefilled(third, 400);
    expect(busy.computing).toBe(0);
    // Ends come in any order, and the next period has begun long before.
    const next = busy.placed(true, 500);
    busy.ended(third, shown(1000, 150), 900);
    busy.ended(first, shown(1000, 100), 2000);
    expect(seen).toEqual([]);
    busy.ended(second, shown(1000, 150, { attentionMs: 30 }), 3000);
    expect(seen).toEqual([{ tokens: 3000, ms: 270 }]);
    busy.ended(next, shown(500, 50), 3100);
    expect(seen[1]).toEqual({ tokens: 500, ms: 50 });
  });

  it("teach nothing where a call may have waited for something else, failed, or read KV beside another", () => {
    const cases: [name: string, first: boolean, shown: Shown | undefined][] = [
      ["waited", false, record().shown(1000, 100)],
      ["failed", true, undefined],
      ["read back", true, record().shown(1000, 100, { readBack: true })],
    ];
    for (const [, clean, how] of cases) {
      const { seen, busy, shown } = record();
      const shares = [busy.placed(clean, 0), busy.placed(true, 0)];
      for (const share of shares) busy.prefilled(share, 100);
      busy.ended(shares[0]!, how, 200);
      busy.ended(shares[1]!, shown(1000, 100), 200);
      expect(seen).toEqual([]);
      // The next period is not concerned.
      busy.ended(busy.placed(true, 300), shown(1000, 100), 500);
      expect(seen).toEqual([{ tokens: 1000, ms: 100 }]);
    }
    const { seen, busy, shown } = record();
    busy.ended(busy.placed(true, 0), shown(100, 40, { readBack: true }), 90);
    expect(seen).toEqual([{ tokens: 100, ms: 40 }]);
  });

  it("leave out idle time where a whole answer told only afterwards that its prompt was computed", () => {
    const { seen, busy, shown } = record();
    const first = busy.placed(true, 0);
    const second = busy.placed(true, 400);
    busy.prefilled(first, 500);
    busy.prefilled(second, 600);
    busy.ended(first, shown(1000, 300), 700);
    busy.ended(second, shown(500, 150), 700);
    expect(seen).toEqual([{ tokens: 1500, ms: 450 }]);
  });

  it("are cut where prompts never cease, and the pieces add up to the whole", () => {
    const { seen, busy, shown } = record();
    const line: { share: PeriodShare; atMs: number }[] = [];
    // Each prompt takes 10 ms, and two always wait.
    for (let n = 0; n < 2; n++) line.push({ share: busy.placed(true, 0), atMs: 0 });
    const ends: (() => void)[] = [];
    for (let n = 1; n <= 10 * periodCallsMost; n++) {
      const { share, atMs } = line.shift()!;
      const now = n * 10;
      busy.prefilled(share, now);
      ends.push(() => busy.ended(share, shown(100, now - atMs), 100_000));
      line.push({ share: busy.placed(true, now), atMs: now });
    }
    for (const end of ends) end();
    expect(seen.length).toBeGreaterThanOrEqual(9);
    for (const { tokens, ms } of seen) expect(tokens / ms).toBeCloseTo(10, 6);
  });
});
