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

  it("learns a program's own waits beside everybody's", () => {
    const all = new Waits();
    for (let i = 0; i < 200; i++) all.add(4000);
    const slow = new Waits(all);
    expect(slow.remainingMs(0, 1)).toBe(all.remainingMs(0, 1));
    for (let i = 0; i < 40; i++) slow.add(60_000);
    expect(slow.remainingMs(0, 1)).toBeGreaterThan(50_000);
    // Everybody's have learned them, and are not led by them.
    expect(all.remainingMs(0, 1)).toBeLessThan(5000);
    expect(all.remainingMs(10_000, 1)).toBeGreaterThan(40_000);
  });

  it("one long wait of its own does not speak for all long ones", () => {
    const all = new Waits();
    for (let i = 0; i < 90; i++) all.add(2000);
    for (let i = 0; i < 30; i++) all.add(100_000);
    const own = new Waits(all);
    for (let i = 0; i < 20; i++) own.add(2000);
    own.add(1_000_000);
    expect(own.remainingMs(10_000, 1)).toBeLessThan(100_000);
  });

  it("counts a wait after which nothing was asked for as one that did not come back", () => {
    const waits = new Waits();
    for (let i = 0; i < 60; i++) waits.add(4000);
    for (let i = 0; i < 20; i++) waits.add(64_000, 0);
    for (let i = 0; i < 20; i++) waits.add(3_600_000);
    expect(waits.remainingMs(0, 1)).toBeLessThan(5000);
    expect(waits.remainingMs(10_000, 1)).toBeGreaterThan(3_000_000);
  });
});
