// The machine as a table: events in, states and actions out. The hazards are those of routing.md 2.7.
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { PdAction } from "../actions.ts";
import type { PdEvent, PdState } from "../events.ts";
import { PdCalls } from "./calls.ts";
import { billed, type PdCall, reserve, step } from "./states.ts";
import { runs } from "../../../test/setup/runs.ts";

const done: PdEvent = { type: "prefill_done", cachedTokens: 400, computedTokens: 600, leaseUntilMs: 1000 };
const accepted: PdEvent = { type: "decode_accepted" };
const pulledAll: PdEvent = { type: "pulled", tokens: 1000 };
const finished: PdEvent = { type: "decode_done" };
const gone: PdEvent = { type: "client_gone" };
const failedPrefill: PdEvent = { type: "prefill_failed", retryable: true };
const failedDecode: PdEvent = { type: "decode_failed", retryable: true };

/** Actions in short: `abort prefill`, `recompute lease_expired`. */
function short(action: PdAction): string {
  if (action.type === "pd_abort") return `abort ${action.leg}`;
  if (action.type === "pd_recompute") return `recompute ${action.reason}`;
  if (action.type === "pd_fail") return `fail ${action.reason}`;
  return action.type.slice(3);
}

function run(events: [PdEvent, number][]): { states: PdState[]; actions: string[]; last: PdCall } {
  const first = reserve("c", "p", "d", 1000, 50);
  let pd = first.next;
  const states: PdState[] = [pd.state];
  const actions = first.actions.map(short);
  for (const [event, now] of events) {
    const { next, actions: more } = step(pd, event, now);
    pd = next;
    states.push(pd.state);
    actions.push(...more.map(short));
  }
  return { states, actions, last: pd };
}

const rows: [string, [PdEvent, number][], PdState, string[]][] = [
  [
    "the whole way",
    [
      [done, 10],
      [accepted, 20],
      [pulledAll, 60],
      [finished, 900],
    ],
    "released",
    ["prefill", "decode", "release"],
  ],
  [
    "no word of acceptance before the pull",
    [
      [done, 10],
      [pulledAll, 60],
      [finished, 900],
    ],
    "released",
    ["prefill", "decode", "release"],
  ],
  [
    "prefill fails: decode is not left waiting 300 s, it computes",
    [[failedPrefill, 10]],
    "aborted",
    ["prefill", "recompute prefill_failed"],
  ],
  [
    "prefill returns less than the prompt: no garbage",
    [[{ ...done, computedTokens: 500 } as PdEvent, 10]],
    "aborted",
    ["prefill", "abort prefill", "recompute prefill_incomplete"],
  ],
  [
    "decoder got less than the prompt: no garbage",
    [
      [done, 10],
      [accepted, 20],
      [{ type: "pulled", tokens: 992 }, 60],
    ],
    "aborted",
    ["prefill", "decode", "abort prefill", "abort decode", "recompute kv_incomplete"],
  ],
  [
    "lease runs out while decode waits",
    [
      [done, 10],
      [{ type: "tick", now: 999 }, 999],
      [{ type: "tick", now: 1000 }, 1000],
    ],
    "aborted",
    ["prefill", "decode", "abort prefill", "abort decode", "recompute lease_expired"],
  ],
  [
    "lease ran out, yet the decoder says it pulled",
    [
      [done, 10],
      [accepted, 20],
      [pulledAll, 1001],
    ],
    "aborted",
    ["prefill", "decode", "abort prefill", "abort decode", "recompute lease_expired"],
  ],
  [
    "lease too short for the transfer: not even tried",
    [[done, 960]],
    "aborted",
    ["prefill", "abort prefill", "recompute lease_too_short"],
  ],
  ["client leaves during prefill: no stranded blocks", [[gone, 5]], "aborted", ["prefill", "abort prefill"]],
  [
    "client leaves between prefill and decode",
    [
      [done, 10],
      [gone, 11],
    ],
    "aborted",
    ["prefill", "decode", "abort prefill", "abort decode"],
  ],
  [
    "client leaves while decoding",
    [
      [done, 10],
      [accepted, 20],
      [pulledAll, 60],
      [gone, 70],
    ],
    "aborted",
    ["prefill", "decode", "release", "abort decode"],
  ],
  [
    "prefill ends after the client has gone: its KV is released",
    [
      [gone, 5],
      [done, 10],
    ],
    "aborted",
    ["prefill", "abort prefill", "release"],
  ],
  [
    "decode fails before it pulled: the lease is given back",
    [
      [done, 10],
      [failedDecode, 20],
    ],
    "aborted",
    ["prefill", "decode", "abort prefill", "abort decode", "fail decode_failed"],
  ],
  [
    "decode fails while decoding",
    [
      [done, 10],
      [accepted, 20],
      [pulledAll, 60],
      [failedDecode, 70],
    ],
    "aborted",
    ["prefill", "decode", "release", "abort decode", "fail decode_failed"],
  ],
  [
    "a 200 on lost KV is a failure",
    [
      [done, 10],
      [accepted, 20],
      [finished, 70],
    ],
    "aborted",
    ["prefill", "decode", "abort prefill", "abort decode", "fail answered_without_kv"],
  ],
  [
    "everything said twice",
    [
      [done, 10],
      [done, 11],
      [accepted, 20],
      [accepted, 21],
      [pulledAll, 60],
      [pulledAll, 61],
      [finished, 900],
      [finished, 901],
    ],
    "released",
    ["prefill", "decode", "release"],
  ],
];

describe("a split call", () => {
  it.each(rows)("%s", (_, events, state, actions) => {
    const result = run(events);
    expect(result.states.at(-1)).toBe(state);
    expect(result.actions).toEqual(actions);
  });

  it("holds no leg open at its end, tells every open leg of it, and answers only on KV that was pulled whole in time", () => {
    const event = fc.constantFrom<PdEvent>(
      done,
      { ...done, computedTokens: 1 } as PdEvent,
      accepted,
      pulledAll,
      { type: "pulled", tokens: 5 },
      finished,
      gone,
      failedPrefill,
      failedDecode,
      { type: "tick", now: 0 },
    );
    fc.assert(
      fc.property(fc.array(fc.tuple(event, fc.nat(500)), { maxLength: 12 }), (events) => {
        let now = 0;
        const timed = events.map(([event, later]): [PdEvent, number] => {
          now += later;
          return [event.type === "tick" ? { type: "tick", now } : event, now];
        });
        const { states, actions, last } = run(timed);
        if (last.state === "released") expect(states).toContain("pulled");
        if (last.state !== "released" && last.state !== "aborted") return;
        expect([last.prefillOpen, last.decodeOpen]).toEqual([false, false]);
        const told = (what: string) => actions.includes(what);
        expect(told("abort prefill") || told("release") || told("recompute prefill_failed")).toBe(true);
        if (told("decode") && last.state === "aborted") expect(told("abort decode")).toBe(true);
      }),
      { numRuns: runs(600) },
    );
  });

  it("is billed by what the prefill leg found cached", () => {
    const usage = { promptTokens: 1000, cachedTokens: 999, outputTokens: 20 };
    const { last } = run([
      [done, 10],
      [accepted, 20],
      [pulledAll, 60],
    ]);
    expect(billed(last, usage).cachedTokens).toBe(400);
    const { last: aborted } = run([[failedPrefill, 10]]);
    expect(billed(aborted, usage).cachedTokens).toBe(999);
  });

  it("is watched for its lease, and forgotten when it has ended", () => {
    const calls = new PdCalls();
    calls.begin("c", "p", "d", 1000, 50);
    calls.apply("c", done, 10);
    expect(calls.expired(500)).toEqual([]);
    expect(calls.expired(1000)).toEqual(["c"]);
    expect(calls.apply("c", { type: "tick", now: 1000 }, 1000).map(short)).toEqual([
      "abort prefill",
      "abort decode",
      "recompute lease_expired",
    ]);
    expect(calls.size).toBe(0);
    expect(calls.apply("unknown", done, 0)).toEqual([]);
  });
});
