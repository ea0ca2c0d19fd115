// Bodies while they are read: what is counted of their JSON, how much of them is held in memory, and which senders are cut off.
import { EventEmitter } from "node:events";
import type { IncomingMessage } from "node:http";
import { zstdCompressSync } from "node:zlib";
import fc from "fast-check";
import { afterEach, expect, test, vi } from "vitest";
import { JsonBoundError, JsonMeter, Memory } from "../../bounded/index.ts";
import { limits } from "../limits.ts";
import { BodyBudget, readBody } from "./bodies.ts";
import { runs } from "../../../test/setup/runs.ts";

const generous = { depth: 1_000, values: 1e9, numbers: 1e9 };

/** Bound that a text passes, given in pieces of so many bytes. */
function passed(text: string, bounds: Partial<typeof generous>, piece = 1_000): string | undefined {
  const meter = new JsonMeter({ ...generous, ...bounds });
  const bytes = Buffer.from(text);
  try {
    for (let at = 0; at < bytes.length; at += piece) meter.push(bytes.subarray(at, at + piece));
    return undefined;
  } catch (error) {
    return (error as JsonBoundError).bound;
  }
}

/** Values and depth as the meter has them, of a value that was parsed. */
function counted(value: unknown): { depth: number; values: number; numbers: number } {
  const sum = { depth: 0, values: 0, numbers: 0 };
  if (value === null || typeof value !== "object") return sum;
  for (const item of Object.values(value)) {
    if (Array.isArray(value) && typeof item === "number") sum.numbers++;
    else sum.values++;
    const inside = counted(item);
    sum.values += inside.values;
    sum.numbers += inside.numbers;
    sum.depth = Math.max(sum.depth, inside.depth);
  }
  sum.depth++;
  return sum;
}

test("what is counted is what parsing finds, wherever the bytes are cut", () => {
  fc.assert(
    fc.property(fc.json({ maxDepth: 5 }), fc.integer({ min: 1, max: 9 }), (text, piece) => {
      const { depth, values, numbers } = counted(JSON.parse(text));
      expect(passed(text, { depth, values, numbers }, piece)).toBeUndefined();
      if (depth > 0) expect(passed(text, { depth: depth - 1 }, piece)).toBe("depth");
      if (values > 0) expect(passed(text, { values: values - 1 }, piece)).toBe("values");
      if (numbers > 0) expect(passed(text, { numbers: numbers - 1 }, piece)).toBe("numbers");
      new JsonMeter({ depth, values, numbers }).push(Buffer.from(text));
      if (values > 0)
        expect(() => new JsonMeter({ depth, values: values - 1, numbers }).push(Buffer.from(text))).toThrow(
          JsonBoundError,
        );
    }),
    { numRuns: runs(300) },
  );
});

test("what stands in text is text, escaped quotes and backslashes included", () => {
  const text = JSON.stringify([`[[[{{",${"\\".repeat(5)}"[[`, `\\`, `"`, "[,[,["]);
  for (const piece of [1, 2, 3, 5, 100]) expect(passed(text, { depth: 1, values: 4 }, piece)).toBeUndefined();
});

const megabyte = 1024 * 1024;
const per = limits.heldPerBodyByte;

test("a key holds as much as it may, others go on; released memory is there again, and is released once", () => {
  const memory = new Memory((25 * per * megabyte) / 0.7);
  const budget = new BodyBudget({ keyBytes: 10 * per * megabyte, memory });
  const [one, two, other] = [budget.open("a"), budget.open("a"), budget.open("b")];
  one.add(6 * megabyte);
  expect(() => two.add(5 * megabyte)).toThrow(expect.objectContaining({ status: 429, code: "bodies_held" }));
  other.add(9 * megabyte);
  const third = budget.open("c");
  third.add(9 * megabyte);
  const fourth = budget.open("d");
  expect(() => fourth.add(5 * megabyte)).toThrow(
    expect.objectContaining({ status: 503, code: "memory_full", retryAfterSeconds: 5 }),
  );
  one.release();
  one.release();
  two.add(5 * megabyte);
  for (const held of [two, other, third, fourth]) held.release();
  expect(memory.sum).toBe(0);
});

function sender() {
  const request = Object.assign(new EventEmitter(), {
    headers: {},
    complete: false,
    resume: vi.fn(),
    destroy: vi.fn(),
  });
  return request as typeof request & IncomingMessage;
}
const read = (request: IncomingMessage, budget = new BodyBudget(), mostBytes = 100_000) =>
  readBody(request, { mostBytes, json: { depth: 5, values: 10, numbers: 10 }, held: budget.open("a") });
/** When the reader listens: a request sends nothing before. */
const listening = async () => {};

afterEach(() => vi.useRealTimers());

test("a body of the right size is read whole", async () => {
  const request = sender();
  const body = read(request);
  await listening();
  request.emit("data", Buffer.from('{"a":'));
  request.emit("data", Buffer.from("1}"));
  request.emit("end");
  const members = new Map([["a", { start: 5, end: 6, names: 0, cuts: [] }]]);
  expect(await body).toEqual({ bytes: Buffer.from('{"a":1}'), members });
});

const large = Buffer.alloc(600_000, 0x20);
const tooDeep = Buffer.from("[[[[[[");
const tooMany = Buffer.from('["a","b","c","d","e","f","g","h","i","j","k"');

test.each([
  ["too deep", tooDeep],
  ["too many values", tooMany],
])("a body of the usual size that is %s is refused once it is here", async (_name, bytes) => {
  const request = sender();
  const body = read(request);
  await listening();
  request.emit("data", bytes);
  request.emit("end");
  await expect(body).rejects.toMatchObject({ status: 400 });
});

test.each([
  ["too long", Buffer.alloc(700_001, 0x20), 413],
  ["large and too deep", Buffer.concat([large, tooDeep]), 400],
  ["large and has too many values before", Buffer.concat([tooMany, large]), 400],
])("a body that is %s is refused while it comes, and what comes after is not kept", async (_name, bytes, status) => {
  const request = sender();
  const memory = new Memory(1e9);
  const budget = new BodyBudget({ memory });
  const body = read(request, budget, 700_000);
  await listening();
  request.emit("data", bytes.subarray(0, 1_000));
  request.emit("data", bytes.subarray(1_000));
  await expect(body).rejects.toMatchObject({ status });
  const { sum } = memory;
  request.emit("data", Buffer.alloc(1_000));
  expect(memory.sum).toBe(sum);
  expect(request.destroy).not.toHaveBeenCalled();
  request.emit("data", Buffer.alloc(limits.discardedBytes));
  expect(request.destroy).toHaveBeenCalled();
});

test("a sender that brings nothing in time is cut off, one that brings enough is not", async () => {
  vi.useFakeTimers();
  const [slow, steady] = [sender(), sender()];
  const [cut, read100] = [read(slow), read(steady)];
  await listening();
  const failure = expect(cut).rejects.toMatchObject({ status: 408, code: "body_too_slow" });
  slow.emit("data", Buffer.from(" "));
  steady.emit("data", Buffer.alloc(limits.slowBodyBytes, 0x20));
  await vi.advanceTimersByTimeAsync(limits.slowBodyMs);
  await failure;
  steady.emit("end");
  expect((await read100).bytes.length).toBe(limits.slowBodyBytes);
});

test("a request whose client has gone already is not waited for", async () => {
  vi.useFakeTimers();
  const request = Object.assign(sender(), { destroyed: true });
  await expect(read(request)).rejects.toMatchObject({ code: "client_gone" });
  expect(vi.getTimerCount()).toBe(0);
});

test("a body that is there as a whole is read at once, within the same bounds", async () => {
  const whole = (bytes: Buffer) => Object.assign(sender(), { complete: true, read: () => bytes });
  const budget = new BodyBudget({ memory: new Memory(1e9) });
  expect(await read(whole(Buffer.from('{"a":1}')), budget)).toMatchObject({ bytes: Buffer.from('{"a":1}') });
  await expect(read(whole(Buffer.alloc(100_001, 0x20)), budget)).rejects.toMatchObject({ status: 413 });
  await expect(read(whole(Buffer.from("[[[[[[")), budget)).rejects.toMatchObject({ status: 400 });
});

test("a compressed body is answered decompressed, within the same bounds", async () => {
  const packed = (text: string, complete = false) => {
    const bytes = zstdCompressSync(Buffer.from(text));
    const headers = { "content-encoding": "zstd" };
    const request = Object.assign(sender(), complete ? { headers, complete, read: () => bytes } : { headers });
    return { bytes, request };
  };
  const memory = new Memory(1e9);
  const budget = new BodyBudget({ memory });
  const whole = packed('{"a":1}', true);
  expect(await read(whole.request, budget)).toMatchObject({ bytes: Buffer.from('{"a":1}') });
  const pieces = packed('{"a":2}');
  const reading = read(pieces.request, budget);
  await listening();
  pieces.request.emit("data", pieces.bytes.subarray(0, 5));
  pieces.request.emit("data", pieces.bytes.subarray(5));
  pieces.request.emit("end");
  expect(await reading).toMatchObject({ bytes: Buffer.from('{"a":2}') });
  const before = memory.sum;
  const bomb = packed(" ".repeat(50_000_000), true);
  await expect(read(bomb.request, budget)).rejects.toMatchObject({ status: 413 });
  expect(memory.sum - before).toBeLessThan(limits.heldPerBodyByte * (bomb.bytes.length + 100_000));
  await expect(read(packed("[[[[[[", true).request, budget)).rejects.toMatchObject({ status: 400 });
});

test("an encoding that is not known is refused by name, and a body that says it is plain is read", async () => {
  const packed = Object.assign(sender(), { headers: { "content-encoding": "compress" } });
  await expect(read(packed)).rejects.toMatchObject({ code: "body_encoded", message: /compress/ as never });
  const plain = Object.assign(sender(), { headers: { "content-encoding": "identity" } });
  const reading = read(plain);
  await listening();
  plain.emit("data", Buffer.from("{}"));
  plain.emit("end");
  expect(await reading).toMatchObject({ bytes: Buffer.from("{}") });
});

test("a body whose last byte is here is read although its end was not told yet, and its end is not waited for", async () => {
  const whole = vi.fn(() => Buffer.from('{"a":1}'));
  const headers = { "content-length": "7" };
  const request = Object.assign(sender(), { headers, readableLength: 7, read: whole });
  expect(await read(request)).toMatchObject({ bytes: Buffer.from('{"a":1}') });
  expect(request.resume).toHaveBeenCalled();
  const part = Object.assign(sender(), { headers: { "content-length": "8" }, readableLength: 7, read: whole });
  const reading = read(part);
  await listening();
  part.emit("data", Buffer.from('{"a":1} '));
  part.emit("end");
  expect((await reading).bytes).toHaveLength(8);
});
