import { describe, expect, it } from "vitest";
import { EventQueue } from "./events.ts";
import { Random } from "./random.ts";

describe("event queue", () => {
  it("fires in time order and equal times in the order of scheduling, whatever the heap does inside", () => {
    const random = new Random(3);
    const queue = new EventQueue();
    const expected: { at: number; n: number }[] = [];
    for (let n = 0; n < 5000; n++) {
      const at = random.below(200);
      expected.push({ at, n });
      queue.schedule(at, 1, n);
    }
    expected.sort((a, b) => a.at - b.at || a.n - b.n);
    const seen: { at: number; n: number }[] = [];
    while (queue.pop()) seen.push({ at: queue.nowMs, n: queue.target });
    expect(seen).toEqual(expected);
  });

  it("keeps the order when events are scheduled while others fire", () => {
    const random = new Random(4);
    const queue = new EventQueue();
    for (let n = 0; n < 50; n++) queue.schedule(random.next() * 10, 0, n);
    let last = -1;
    let fired = 0;
    while (queue.pop()) {
      expect(queue.nowMs).toBeGreaterThanOrEqual(last);
      last = queue.nowMs;
      if (fired++ < 3000) queue.schedule(queue.nowMs + Math.floor(random.next() * 4), 1, fired);
    }
    expect(fired).toBe(50 + 3000);
    expect(queue.scheduled).toBe(3050);
  });

  it("refuses the past", () => {
    const queue = new EventQueue();
    queue.schedule(5, 0, 0);
    queue.pop();
    expect(() => queue.schedule(4, 0, 0)).toThrow(RangeError);
    expect(() => queue.schedule(NaN, 0, 0)).toThrow(RangeError);
  });
});

describe("random", () => {
  it("is a function of its seed", () => {
    const a = new Random(7);
    const b = new Random(7);
    const c = new Random(8);
    const first = Array.from({ length: 8 }, () => a.next());
    expect(Array.from({ length: 8 }, () => b.next())).toEqual(first);
    expect(Array.from({ length: 8 }, () => c.next())).not.toEqual(first);
  });

  it("has the means that the laws state", () => {
    const random = new Random(11);
    const mean = (draw: () => number, n = 60_000) => {
      let sum = 0;
      for (let i = 0; i < n; i++) sum += draw();
      return sum / n;
    };
    expect(mean(() => random.exponential(3))).toBeCloseTo(3, 1);
    expect(mean(() => random.gamma(0.5, 4))).toBeCloseTo(2, 1);
    expect(mean(() => random.gamma(3, 2))).toBeCloseTo(6, 1);
    expect(mean(() => random.weibull(2, 1))).toBeCloseTo(Math.sqrt(Math.PI) / 2, 1);
    expect(mean(() => random.quantile([0, 0.5, 1], [0, 10, 20]))).toBeCloseTo(10, 0);
  });

  it("shuffles without losing anything", () => {
    const items = Array.from({ length: 100 }, (_, i) => i);
    const shuffled = new Random(1).shuffle([...items]);
    expect(shuffled).not.toEqual(items);
    expect(shuffled.toSorted((a, b) => a - b)).toEqual(items);
  });
});
