import { LineshaftError } from "../../errors/index.ts";
import { describe, expect, it } from "vitest";
import { WaitingQueue, retryAfterSeconds } from "./queue.ts";

const pace = { secondsPerCall: 2, slots: 8, free: 0 };

describe("the waiting queue", () => {
  it("serves in order of arrival", () => {
    const queue = new WaitingQueue<string>(9);
    for (const name of ["a", "b", "c", "d"]) queue.push(name, pace);
    expect([...queue]).toEqual(["a", "b", "c", "d"]);
    expect(queue.remove("b")).toBe(true);
    expect(queue.remove("b")).toBe(false);
    expect([...queue]).toEqual(["a", "c", "d"]);
  });

  it("refuses with 429 and a time when it is full", () => {
    const queue = new WaitingQueue<number>(32);
    for (let i = 0; i < 32; i++) queue.push(i, pace);
    let refused: unknown;
    try {
      queue.push(99, pace);
    } catch (error) {
      refused = error;
    }
    expect(refused).toBeInstanceOf(LineshaftError);
    expect(refused).toMatchObject({ status: 429, code: "queue_full", retryAfterSeconds: 4 });
    expect(queue.length).toBe(32);
  });

  it("counts those that a free sequence is about to take as not waiting", () => {
    const queue = new WaitingQueue<number>(1);
    for (let i = 0; i < 3; i++) queue.push(i, { ...pace, free: 2 });
    expect(() => queue.push(3, { ...pace, free: 2 })).toThrow(/full/);
  });

  it.each([
    [0, 1, 8, 1],
    [32, 2, 8, 4],
    [128, 30, 1, 60],
  ])("says %i waiting at %i s a call on %i sequences: %i s", (waiting, secondsPerCall, slots, seconds) => {
    expect(retryAfterSeconds(waiting, { secondsPerCall, slots })).toBe(seconds);
  });
});
