import { LineshaftError } from "../../errors/index.ts";
import { describe, expect, it } from "vitest";
import { WaitingQueue, retryAfterSeconds } from "./queue.ts";

const pace = { secondsPerCall: 2, slots: 8, free: 0 };

describe("the waiting queue", () => {
  it("serves higher priority first, then in order of arrival", () => {
    const queue = new WaitingQueue<string>(9);
    queue.push("a", 0, pace);
    queue.push("b", 5, pace);
    queue.push("c", 0, pace);
    queue.push("d", 5, pace);
    expect([...queue]).toEqual(["b", "d", "a", "c"]);
    expect(queue.remove("d")).toBe(true);
    expect(queue.remove("d")).toBe(false);
    expect([...queue]).toEqual(["b", "a", "c"]);
  });

  it("refuses with 429 and a time when it is full", () => {
    const queue = new WaitingQueue<number>(32);
    for (let i = 0; i < 32; i++) queue.push(i, 0, pace);
    let refused: unknown;
    try {
      queue.push(99, 1, pace);
    } catch (error) {
      refused = error;
    }
    expect(refused).toBeInstanceOf(LineshaftError);
    expect(refused).toMatchObject({ status: 429, code: "queue_full", retryAfterSeconds: 4 });
    expect(queue.length).toBe(32);
  });

  it("counts those that a free sequence is about to take as not waiting", () => {
    const queue = new WaitingQueue<number>(1);
    for (let i = 0; i < 3; i++) queue.push(i, 0, { ...pace, free: 2 });
    expect(() => queue.push(3, 0, { ...pace, free: 2 })).toThrow(/full/);
  });

  it.each([
    [0, 1, 8, 1],
    [32, 2, 8, 4],
    [128, 30, 1, 60],
  ])("says %i waiting at %i s a call on %i sequences: %i s", (waiting, secondsPerCall, slots, seconds) => {
    expect(retryAfterSeconds(waiting, { secondsPerCall, slots })).toBe(seconds);
  });
});
