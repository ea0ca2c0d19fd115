import { describe, expect, it } from "vitest";
import { Waits } from "./waits.ts";

describe("waits", () => {
  it("expects as long again until enough have been seen", () => {
    const waits = new Waits();
    for (let i = 0; i < 7; i++) waits.add(4000);
    expect([waits.remainingMs(0, 2000), waits.remainingMs(10_000, 2000)]).toEqual([2000, 10_000]);
  });

  it("answers the median of what is left, of waits that have lasted as long", () => {
    const waits = new Waits();
    for (let i = 0; i < 60; i++) waits.add(4000);
    for (let i = 0; i < 40; i++) waits.add(64_000);
    // Most end after four seconds; one that has lasted ten is of the long ones.
    expect(waits.remainingMs(0, 1)).toBeGreaterThan(3000);
    expect(waits.remainingMs(0, 1)).toBeLessThan(5000);
    expect(waits.remainingMs(10_000, 1)).toBeGreaterThan(44_000);
    expect(waits.remainingMs(10_000, 1)).toBeLessThan(64_000);
    // Beyond all that is known, as long again.
    expect(waits.remainingMs(1_000_000, 1)).toBe(1_000_000);
  });

  it("is never done before it is done", () => {
    const waits = new Waits();
    for (let i = 0; i < 20; i++) waits.add(100);
    expect(waits.remainingMs(0, 1)).toBeGreaterThan(0);
  });
});
