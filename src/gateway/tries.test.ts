// What follows a failed attempt, as a table: one row for each class of failure and situation.
import { describe, expect, test } from "vitest";
import { type Failed, type Next, Tries, type TriesPolicy } from "./tries.ts";

const usual: TriesPolicy = { fallbacks: [], mostAtModel: 3, mostInAll: 6, waitMostMs: 0 };
const failed = (more: Partial<Failed>): Failed => ({
  why: "failure",
  retryAfterMs: undefined,
  elsewhere: false,
  restarts: false,
  leftMs: undefined,
  takes: () => true,
  ...more,
});
const elsewhere: Next = { do: "elsewhere" };
const end: Next = { do: "end" };
const again = (afterMs = 0): Next => ({ do: "again", afterMs });
const fallback = (model: string): Next => ({ do: "fallback", model });

/** `after`: attempts that were made, the failed one included; 1 where absent. */
interface Row {
  name: string;
  failed: Partial<Failed>;
  policy?: Partial<TriesPolicy>;
  after?: number;
  next: Next;
}

const table: Row[] = [
  ...(["connect", "timeout", "failure", "garbage", "refused", "rate", "quota", "too_long"] as const).flatMap(
    (why): Row[] => [
      { name: `${why}: another endpoint`, failed: { why, elsewhere: true }, next: elsewhere },
      {
        name: `${why}: another endpoint goes before a fallback`,
        failed: { why, elsewhere: true },
        policy: { fallbacks: ["b"] },
        next: elsewhere,
      },
      {
        name: `${why}: no endpoint is left: the fallback, where a connection was tried twice`,
        failed: { why },
        policy: { fallbacks: ["b"] },
        after: 2,
        next: fallback("b"),
      },
      { name: `${why}: nothing is left`, failed: { why }, after: 2, next: end },
      {
        name: `${why}: the third attempt at a model is its last`,
        failed: { why, elsewhere: true },
        policy: { fallbacks: ["b"] },
        after: 3,
        next: fallback("b"),
      },
      {
        name: `${why}: the sixth attempt is the call's last`,
        failed: { why, elsewhere: true },
        policy: { fallbacks: ["b"], mostAtModel: 9 },
        after: 6,
        next: end,
      },
    ],
  ),
  ...(["filtered", "request"] as const).map((why): Row => ({
    name: `${why}: final, whatever is left`,
    failed: { why, elsewhere: true, retryAfterMs: 1 },
    policy: { fallbacks: ["b"], waitMostMs: 100 },
    next: end,
  })),
  { name: "a broken connection is tried once more", failed: { why: "connect" }, next: again() },
  { name: "a worker is waited for", failed: { why: "connect", restarts: true }, after: 2, next: again() },
  { name: "and not for ever", failed: { why: "connect", restarts: true }, after: 3, next: end },
  {
    name: "a limit is waited for where the policy says so",
    failed: { why: "rate", retryAfterMs: 900 },
    policy: { waitMostMs: 1000, fallbacks: ["b"] },
    next: again(900),
  },
  { name: "by default it is not", failed: { why: "rate", retryAfterMs: 1 }, next: end },
  {
    name: "a longer wait than the policy's goes to the fallback",
    failed: { why: "rate", retryAfterMs: 1001 },
    policy: { waitMostMs: 1000, fallbacks: ["b"] },
    next: fallback("b"),
  },
  {
    name: "so does a wait past the deadline",
    failed: { why: "rate", retryAfterMs: 900, leftMs: 900 },
    policy: { waitMostMs: 1000, fallbacks: ["b"] },
    next: fallback("b"),
  },
  {
    name: "a limit without a time is not waited for",
    failed: { why: "rate" },
    policy: { waitMostMs: 1000 },
    next: end,
  },
  {
    name: "a used up account is not waited for",
    failed: { why: "quota", retryAfterMs: 1 },
    policy: { waitMostMs: 1000 },
    next: end,
  },
  {
    name: "endpoints that are all away are waited for",
    failed: { why: "away", retryAfterMs: 5 },
    policy: { waitMostMs: 10 },
    after: 0,
    next: again(5),
  },
  {
    name: "or passed over for a fallback",
    failed: { why: "away", elsewhere: true },
    policy: { fallbacks: ["b"] },
    after: 0,
    next: fallback("b"),
  },
  {
    name: "a fallback that cannot take the call is passed over",
    failed: { takes: (model) => model === "c" },
    policy: { fallbacks: ["b", "c"] },
    next: fallback("c"),
  },
];

test.each(table)("$name", ({ failed: how, policy, after = 1, next }) => {
  const tries = new Tries({ ...usual, ...policy });
  for (let number = 1; number <= after; number++) expect(tries.attempted()).toBe(number);
  expect(tries.next(failed(how))).toEqual(next);
});

describe("a chain of fallbacks", () => {
  test("each model has its own attempts, and all together are bounded", () => {
    const tries = new Tries({ ...usual, fallbacks: ["b", "c", "d"] });
    const seen: string[] = [];
    for (;;) {
      tries.attempted();
      const next = tries.next(failed({ elsewhere: true }));
      seen.push(next.do === "fallback" ? next.model : next.do);
      if (next.do === "end") break;
    }
    expect(seen).toEqual(["elsewhere", "elsewhere", "b", "elsewhere", "elsewhere", "end"]);
  });

  test("models that cannot take the call now are passed over, and stay while none can", () => {
    const tries = new Tries({ ...usual, fallbacks: ["b", "c", "d"] });
    const only = (one?: string) => failed({ takes: (model) => model === one });
    expect(tries.fallback(only())).toEqual(end);
    expect(tries.fallback(only("c"))).toEqual(fallback("c"));
    expect(tries.fallbacks).toEqual(["d"]);
    expect(tries.fallback(only("b"))).toEqual(end);
  });

  test("no model is tried twice, and waits are as bounded as attempts", () => {
    const tries = new Tries({ ...usual, fallbacks: ["b"], waitMostMs: 10 });
    const away = failed({ why: "away", retryAfterMs: 1 });
    const steps = Array.from({ length: 8 }, () => tries.next(away).do);
    expect(steps).toEqual(["again", "again", "again", "fallback", "again", "again", "again", "end"]);
  });

  test("that no attempt may follow is known while the last one is made", () => {
    const tries = new Tries({ ...usual, fallbacks: ["b"], mostAtModel: 2 });
    tries.attempted();
    tries.attempted();
    expect(tries.isOver).toBe(false);
    expect(tries.next(failed({}))).toEqual(fallback("b"));
    tries.attempted();
    expect(tries.isOver).toBe(false);
    tries.attempted();
    expect(tries.isOver).toBe(true);
  });
});
