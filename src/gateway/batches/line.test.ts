// When a line whose call failed is tried again.
import { expect, test } from "vitest";
import { limits } from "../limits.ts";
import { whenAgain } from "./line.ts";

test.each<[string, Parameters<typeof whenAgain>[0], number, ReturnType<typeof whenAgain>]>([
  ["a wrong request: never", { code: "invalid_value", status: 400 }, 0, undefined],
  ["a budget that is used up: never", { code: "budget_exceeded", status: 429 }, 0, undefined],
  ["an answer that breaks its schema: never", { code: "output_invalid", status: 502 }, 0, undefined],
  [
    "an engine that is busy: when it says, and the try does not count",
    { code: "engine_busy", status: 429, retryAfterSeconds: 7 },
    99,
    { afterMs: 7_000, isTry: false },
  ],
  [
    "an engine that is busy for long: after the longest wait",
    { code: "engine_busy", status: 429, retryAfterSeconds: 1e6 },
    0,
    { afterMs: limits.lineWaitMostMs, isTry: false },
  ],
  ["a process that stops: at once", { code: "shutting_down", status: 503 }, 0, { afterMs: 0, isTry: false }],
  [
    "an engine that fails: after a wait that doubles",
    { code: "engine_failed", status: 502 },
    2,
    { afterMs: 4 * limits.lineWaitMs, isTry: true },
  ],
  [
    "an engine that fails every time: never",
    { code: "engine_failed", status: 502 },
    limits.lineTriesMost - 1,
    undefined,
  ],
])("%s", (_, failure, before, again) => expect(whenAgain(failure, before)).toEqual(again));
