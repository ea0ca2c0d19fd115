// What is billed of an attempt that a crash ended: nothing before it was sent, its last recorded progress after, else its hold. Each attempt
// and each call is ended once.
import { expect, test } from "vitest";
import type { Settlement } from "../types.ts";
import { Unended } from "./crash.ts";
import { decodeRecord } from "./decode.ts";
import { encodeCall, encodeExtend, encodeHold, encodeSent, encodeSettle } from "./encode.ts";
import type { WrittenRecord } from "./records.ts";
import { card } from "./testing.ts";

const shares = [{ budget: "bud_1", period: "2026-01-01T00:00:00.000Z" }];
const held = (attempt: string, call = "call_1") => ({
  attempt,
  call,
  organisation: "org_1",
  project: "prj_1",
  key: "key_1",
  agent: undefined,
  run: "run_1",
  rateCard: card,
  promptTokens: 100,
  outputTokens: 1000,
  context: { number: 1 },
});
const hold = (attempt: string, call?: string) =>
  encodeHold({ held: held(attempt, call), amountNano: 356n, coveredTokens: 256, shares, countedAtMs: 1000 });
const sent = (attempt: string) => encodeSent({ attempt, engine: "e" });
const moved = [{ budget: "bud_1", period: "2026-02-01T00:00:00.000Z" }];
const progress = (attempt: string, seenTokens: number) =>
  encodeExtend({ attempt, amountNano: 612n, coveredTokens: 512, seenTokens, shares: moved, countedAtMs: 2000 });
const recounted = (attempt: string) =>
  encodeExtend({
    attempt,
    amountNano: 296n,
    coveredTokens: 256,
    seenTokens: 0,
    shares,
    countedAtMs: 1000,
    promptTokens: 40,
  });
const extend = (attempt: string) => progress(attempt, 230);
const settlement = (attempt: string): Settlement => ({
  attempt,
  amountNano: 110n,
  suspenseNano: 0n,
  tokens: { promptTokens: 100, cachedTokens: 0, outputTokens: 10 },
  claimed: undefined,
  usageSource: "engine",
  currency: "USD",
  repeated: false,
});
const settle = (attempt: string, call?: string) =>
  encodeSettle({
    held: held(attempt, call),
    heldNano: 356n,
    shares,
    countedAtMs: 1000,
    settlement: settlement(attempt),
    unanswered: false,
    row: { id: attempt },
  });
const call = (id: string) => encodeCall({ call: id, row: { id } });

interface Asked {
  attempt: string;
  amountNano: bigint;
  sentTo: string | undefined;
  others?: [string, bigint][];
}

/** The records that end what these records leave open, and what the rows were asked for. */
function endings(...records: Buffer[]): { written: WrittenRecord[]; asked: Asked[] } {
  const unended = new Unended();
  for (const record of records) unended.note(decodeRecord(record));
  const asked: Asked[] = [];
  const ends = [
    ...unended.endings({
      isRedone: ({ attempt }) => attempt === "again",
      ofCrash(of, { amountNano }, sentTo, settlements) {
        const others = [...settlements].map(([attempt, one]): [string, bigint] => [attempt, one.amountNano]);
        asked.push({ attempt: of.attempt, amountNano, sentTo, ...(others.length > 0 && { others }) });
        return { attempt: sentTo && { id: of.attempt }, call: { id: of.call, last: of.attempt } };
      },
    }),
  ];
  return { written: ends.flat().map(decodeRecord), asked };
}

test.each<[string, Buffer[], Record<string, unknown>]>([
  ["not sent: nothing", [hold("a")], { amount: "0", prompt: 0, output: 0, source: "counted", held: "356" }],
  [
    "sent, and done again: nothing, its hold in suspense",
    [hold("again"), sent("again")],
    { attempt: "again", amount: "0", prompt: 0, output: 0, held: "356", suspense: "356", unanswered: true },
  ],
  ["not sent, and done again: nothing", [hold("again")], { attempt: "again", amount: "0", held: "356" }],
  ["sent: its hold", [hold("a"), sent("a")], { amount: "356", prompt: 100, output: 256, source: "estimated" }],
  [
    "sent, with progress: the prompt and what was seen, from the shares of the extension",
    [hold("a"), sent("a"), extend("a")],
    {
      amount: "330",
      prompt: 100,
      output: 230,
      held: "612",
      counted_at: "1970-01-01T00:00:02.000Z",
      leases: [["bud_1", "2026-02-01T00:00:00.000Z"]],
    },
  ],
  [
    "sent, and its prompt counted afterwards: what was held from then on",
    [hold("a"), sent("a"), recounted("a")],
    { amount: "296", prompt: 40, output: 256, held: "296" },
  ],
  [
    "sent, its prompt counted, and with progress: the count and what was seen",
    [hold("a"), sent("a"), recounted("a"), extend("a")],
    { amount: "270", prompt: 40, output: 230, held: "612" },
  ],
  // An engine that cannot be stopped is paid for to its limit before it is sent, and says nothing of its progress.
  [
    "held whole by an extension before it was sent: all of that",
    [hold("a"), progress("a", 0), sent("a")],
    { amount: "612", prompt: 100, output: 512, held: "612" },
  ],
  [
    "sent, and a budget that was set meanwhile: its hold, since nothing was seen of its answer",
    [hold("a"), sent("a"), progress("a", 0)],
    { amount: "612", prompt: 100, output: 512, held: "612" },
  ],
  [
    "sent, with progress, and a budget that was set after it: what was seen",
    [hold("a"), sent("a"), progress("a", 230), progress("a", 230)],
    { amount: "330", prompt: 100, output: 230, held: "612" },
  ],
])("%s", (_, records, item) => {
  const { written } = endings(...records);
  expect(written).toMatchObject([
    { k: "settle", item: { attempt: "a", call: "call_1", key: "key_1", run: "run_1", ...item } },
    { k: "call", call: "call_1" },
  ]);
});

test("an attempt that was not sent has no row, and its call has", () => {
  const { written } = endings(hold("a"));
  expect(written[0]).not.toHaveProperty("row");
  expect(written[1]).toMatchObject({ row: { id: "call_1" } });
});

test("a settled attempt stays as it is, and its call gets the row that it lacks", () => {
  const { written, asked } = endings(hold("a"), sent("a"), settle("a"));
  expect(written).toMatchObject([{ k: "call", call: "call_1", row: { last: "a" } }]);
  expect(asked).toEqual([{ attempt: "a", amountNano: 110n, sentTo: "e" }]);
});

test("of several attempts of a call the last one's row of the call counts", () => {
  const { written } = endings(hold("a"), sent("a"), settle("a"), hold("b"), sent("b"));
  expect(written).toMatchObject([
    { k: "settle", item: { attempt: "b" } },
    { k: "call", row: { last: "b" } },
  ]);
});

test("an attempt is told what the attempts before it were settled for, those that had not ended included", () => {
  const { asked } = endings(hold("a"), sent("a"), hold("b"), sent("b"));
  expect(asked).toEqual([
    { attempt: "a", amountNano: 356n, sentTo: "e" },
    { attempt: "b", amountNano: 356n, sentTo: "e", others: [["a", 356n]] },
  ]);
});

test("calls that ended leave nothing, and records without their hold change nothing", () => {
  expect(endings(hold("a"), sent("a"), settle("a"), call("call_1")).written).toEqual([]);
  expect(endings(sent("x"), extend("x"), settle("x"), call("call_x")).written).toEqual([]);
});

test("an attempt whose settlement was not written is ended, although its call has a record", () => {
  const { written } = endings(hold("a"), sent("a"), settle("a"), hold("b"), sent("b"), call("call_1"));
  expect(written).toMatchObject([
    { k: "settle", item: { attempt: "b", amount: "356" } },
    { k: "call", call: "call_1" },
  ]);
});

test("the endings themselves are an end: replayed once more, nothing is open", () => {
  const records = [hold("a"), sent("a"), hold("b", "call_2"), hold("c", "call_3"), sent("c"), settle("c", "call_3")];
  const { written } = endings(...records);
  const again = written.map((record) => Buffer.from(JSON.stringify(record)));
  expect(written.length).toBe(5);
  expect(endings(...records, ...again).written).toEqual([]);
});

test("units that a hold covered are billed of an attempt that was sent, and not of one that was not", () => {
  const searched = {
    ...held("a"),
    rateCard: { ...card, unitsNano: { search_units: 50n } },
    units: { search_units: 2 },
  };
  const opened = encodeHold({ held: searched, amountNano: 10_000n, coveredTokens: 0, shares, countedAtMs: 1000 });
  const [before, after] = [endings(opened), endings(opened, sent("a"))].map(({ asked }) => asked[0]!.amountNano);
  expect(before).toBe(0n);
  const plain = endings(
    encodeHold({ held: held("a"), amountNano: 10_000n, coveredTokens: 0, shares, countedAtMs: 1000 }),
    sent("a"),
  );
  expect(after).toBe(plain.asked[0]!.amountNano + 100n);
});
