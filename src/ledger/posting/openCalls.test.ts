// Which files of a spool stay for the calls that are under way.
import { expect, test } from "vitest";
import { posting as limits } from "../limits.ts";
import { OpenCalls } from "./openCalls.ts";
import type { PostedRecord } from "./decode.ts";

const hold = (attempt: string, call: string) => ({ k: "hold", attempt, call }) as PostedRecord;
const settle = (call: string): PostedRecord => ({
  k: "settle",
  call,
  isFree: false,
  item: Buffer.from("{}"),
  row: undefined,
});
const end = (call: string): PostedRecord => ({ k: "call", call, row: undefined });

test("a file stays until the calls that were first held in it have ended, not only their attempts", () => {
  const open = new OpenCalls();
  expect(open.oldest()).toBe(Infinity);
  open.note(hold("a", "one"), 0, 1);
  open.note(settle("one"), 0, 2);
  open.note(hold("c", "two"), 1, 1);
  open.note(hold("b", "one"), 2, 1);
  expect(open.oldest()).toBe(0);
  open.note(settle("one"), 2, 2);
  expect(open.oldest()).toBe(0);
  open.note(end("one"), 2, 3);
  expect(open.oldest()).toBe(1);
  open.note(settle("two"), 2, 4);
  open.note(end("two"), 2, 5);
  expect(open.oldest()).toBe(Infinity);
});

test("records that are read again change nothing", () => {
  const open = new OpenCalls();
  for (let times = 0; times < 2; times++) {
    open.note(hold("a", "one"), 0, 1);
    open.note(settle("one"), 0, 2);
    open.note(end("one"), 0, 3);
  }
  open.note(hold("a", "one"), 0, 1);
  expect(open.oldest()).toBe(Infinity);
});

test("a call whose record was never written keeps its file for a bounded number of files, an open attempt for as long as it is open", () => {
  const open = new OpenCalls();
  open.note(hold("a", "unrecorded"), 0, 1);
  open.note(settle("unrecorded"), 0, 2);
  open.note(hold("b", "long"), 1, 1);
  open.note(end("other"), limits.callFilesMost, 1);
  expect(open.oldest()).toBe(0);
  open.note(end("other"), limits.callFilesMost + 1, 1);
  expect(open.oldest()).toBe(1);
});

test("a call with a record keeps its file while an attempt of it is open: its settlement could not be written", () => {
  const open = new OpenCalls();
  open.note(hold("a", "one"), 0, 1);
  open.note(end("one"), 0, 2);
  open.note(hold("b", "two"), 1, 1);
  expect(open.oldest()).toBe(0);
});
