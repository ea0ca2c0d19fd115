// Records of money are read as they were written, and nothing else is taken for one.
import fc from "fast-check";
import { expect, test, vi } from "vitest";
import { anyCard } from "../testing.ts";
import type { Settlement } from "../types.ts";
import { decodePosted, decodeRecord, holdOf, settlementOf } from "./decode.ts";
import { encodeCall, encodeExtend, encodeHold, encodeSent, encodeSettle } from "./encode.ts";
import { RecordError, type HoldRecord } from "./records.ts";
import { runs } from "../../../test/setup/runs.ts";

const nano = fc.bigInt({ min: 0n, max: 2n ** 63n - 1n });
const count = fc.nat();
const id = fc.string({ minLength: 1 });
const shares = fc.array(fc.record({ budget: id, period: id }), { maxLength: 3 });
const heldOf: fc.Arbitrary<HoldRecord["held"]> = fc.record(
  {
    attempt: id,
    call: id,
    organisation: id,
    project: id,
    key: id,
    agent: fc.option(id, { nil: undefined }),
    run: fc.option(id, { nil: undefined }),
    rateCard: anyCard,
    promptTokens: count,
    outputTokens: count,
    units: fc.dictionary(fc.constantFrom("search_units", "image"), count, { minKeys: 1 }),
    context: fc.jsonValue().map((value): unknown => JSON.parse(JSON.stringify(value))),
  },
  {
    requiredKeys: [
      ...(["attempt", "call", "organisation", "project", "key", "agent", "run", "rateCard"] as const),
      ...(["promptTokens", "outputTokens", "context"] as const),
    ],
  },
);
const holds: fc.Arbitrary<HoldRecord> = fc.record({
  held: heldOf,
  amountNano: nano,
  coveredTokens: count,
  shares,
  countedAtMs: fc.nat(),
});

test("a hold comes back as it was, its rate card included", () => {
  fc.assert(
    fc.property(holds, (hold) => {
      const record = decodeRecord(encodeHold(hold));
      expect(decodePosted(encodeHold(hold))).toEqual({ k: "hold", call: hold.held.call });
      expect(record.k === "hold" && holdOf(record)).toEqual(hold);
    }),
    { numRuns: runs(200) },
  );
});

test("a settlement comes back as it was, and says all that its row needs", () => {
  const tokens = fc.record(
    {
      promptTokens: count,
      cachedTokens: count,
      outputTokens: count,
      cacheWriteTokens: count,
      cacheWriteLongTokens: count,
      reasoningTokens: count,
      units: fc.dictionary(fc.constantFrom("image", "second", "row", '"]},"row":{'), count),
    },
    { requiredKeys: ["promptTokens", "cachedTokens", "outputTokens"] },
  );
  fc.assert(
    fc.property(
      holds,
      tokens,
      fc.record({ amountNano: nano, suspenseNano: nano, isClaimed: fc.boolean(), unanswered: fc.boolean() }),
      (hold, used, { isClaimed, unanswered, ...amounts }) => {
        const settlement: Settlement = {
          ...amounts,
          attempt: hold.held.attempt,
          tokens: used,
          claimed: isClaimed ? { promptTokens: 7, cachedTokens: used.cachedTokens, outputTokens: 8 } : undefined,
          usageSource: "counted",
          currency: "USD",
          repeated: false,
        };
        const { held, amountNano: heldNano, shares: of, countedAtMs } = hold;
        const row = unanswered ? undefined : { any: "row", holds: '"]},"row":{}', leases: [], item: { row: 1 } };
        const bytes = encodeSettle({ held, heldNano, shares: of, countedAtMs, settlement, unanswered, row });
        const record = decodeRecord(bytes);
        if (record.k !== "settle") throw new Error(record.k);
        expect(settlementOf(record.item)).toEqual(settlement);
        expect(record.row).toEqual(row);
        const posted = decodePosted(bytes);
        if (posted.k !== "settle") throw new Error(posted.k);
        expect(posted).toMatchObject({ call: record.item.call, isFree: record.item.amount === "0" });
        expect(JSON.parse(posted.item.toString())).toEqual(JSON.parse(JSON.stringify(record.item)));
        expect(posted.row?.toString()).toBe(row && JSON.stringify(row));
        expect(record.item).toMatchObject({
          call: held.call,
          key: held.key,
          model: held.rateCard.model,
          rate_card: held.rateCard.id,
          held: String(heldNano),
          counted_at: new Date(countedAtMs).toISOString(),
          leases: of.map(({ budget, period }) => [budget, period]),
        });
        expect(record.item.unanswered).toBe(unanswered || undefined);
      },
    ),
    { numRuns: runs(200) },
  );
});

test("a usual settlement is posted as it stands, without being parsed, and no other passes for one", () => {
  const item =
    '{"attempt":"att_1","call":"call_1","organisation":"o","project":"p","key":"k","agent":"a","model":"m","rate_card":"r",' +
    '"currency":"USD","held":"9","counted_at":"2026-01-01T00:00:00.000Z","amount":"0","prompt":1,"cached":0,"output":2,' +
    '"source":"engine","suspense":"3","claimed_prompt":7,"claimed_output":8,"leases":[["b","total"],["c","total"]]}';
  const parse = vi.spyOn(JSON, "parse");
  const posted = (of: string, rest = ',"row":{"id":"att_1"}') =>
    decodePosted(Buffer.from(`{"v":1,"k":"settle","item":${of}${rest}}`));
  const read = { k: "settle", call: "call_1", isFree: true, item: Buffer.from(item) };
  expect(posted(item)).toEqual({ ...read, row: Buffer.from('{"id":"att_1"}') });
  expect(posted(item, "")).toEqual({ ...read, row: undefined });
  expect(parse).not.toHaveBeenCalled();
  parse.mockRestore();
  for (const [from, to] of [
    ['"amount":"0"', '"amount":0'],
    ['"amount":"0"', '"amount":"-1"'],
    ['"prompt":1', '"prompt":1.5'],
    ['"prompt":1', '"prompt":"1"'],
    ['"source":"engine"', '"source":"other"'],
    ['"call":"call_1",', ""],
    ['"key":"k"', '"key":"k","more":1'],
    ['["b","total"]', '["b"]'],
  ] as const)
    expect(() => posted(item.replace(from, to)), to).toThrow(RecordError);
});

test("the small records come back", () => {
  expect(decodeRecord(encodeSent({ attempt: "a", engine: "e" }))).toMatchObject({ k: "sent", engine: "e" });
  const extend = { attempt: "a", amountNano: 9n, coveredTokens: 5, seenTokens: 4, shares: [], countedAtMs: 1 };
  expect(decodeRecord(encodeExtend(extend))).toMatchObject({ k: "extend", amount: "9", covered: 5, seen: 4 });
  expect(decodeRecord(encodeCall({ call: "c", row: { id: "c" } }))).toMatchObject({ call: "c", row: { id: "c" } });
});

test("what is no record is refused by name: other bytes, other fields, amounts that are none", () => {
  const sent = { v: 1, k: "sent", attempt: "a", engine: "e" };
  const refused = (value: unknown) => () =>
    decodeRecord(Buffer.isBuffer(value) ? value : Buffer.from(JSON.stringify(value)));
  for (const value of [
    Buffer.from([0xff, 0xfe]),
    Buffer.from("{"),
    null,
    [],
    { ...sent, engine: 1 },
    { ...sent, more: 1 },
    { ...sent, k: "other" },
    { v: 1, k: "extend", attempt: "a", amount: "-1", covered: 1, seen: 1, shares: [], at: 1 },
    { v: 1, k: "extend", attempt: "a", amount: "1e9", covered: 1, seen: 1, shares: [], at: 1 },
  ])
    expect(refused(value)).toThrow(expect.objectContaining({ code: "record_invalid" }));
  expect(refused({ ...sent, v: 2 })).toThrow(expect.objectContaining({ code: "record_version" }));
});

test("posting reads of a light record its kind alone, and of a hold its call", () => {
  expect(decodePosted(encodeSent({ attempt: "a", engine: "e" }))).toEqual({ k: "sent" });
  const extend = { attempt: "a", amountNano: 9n, coveredTokens: 5, seenTokens: 4, shares: [], countedAtMs: 1 };
  expect(decodePosted(encodeExtend(extend))).toEqual({ k: "extend" });
  expect(decodePosted(encodeCall({ call: "c", row: { id: "c" } }))).toEqual({
    k: "call",
    call: "c",
    row: Buffer.from('{"id":"c"}'),
  });
  expect(decodePosted(encodeCall({ call: "c", row: undefined }))).toEqual({ k: "call", call: "c", row: undefined });
  const begun = '{"v":1,"k":"hold","attempt":"att_1","call":"call_1","not":"read"}';
  expect(decodePosted(Buffer.from(begun))).toEqual({ k: "hold", call: "call_1" });
  const settle = '{"v":1,"k":"settle","item":{"attempt":"a","leases":[]},"row":{}}';
  expect(() => decodePosted(Buffer.from(settle))).toThrow(RecordError);
  for (const bad of ['{"v":1,"k":"hold","call":7}', '{"v":1,"k":"hold",', '{"v":1,"k":"other"}', "no record"])
    expect(() => decodePosted(Buffer.from(bad))).toThrow(RecordError);
  expect(() => decodePosted(Buffer.from('{"v":2,"k":"sent"}'))).toThrow(/version 2/);
});
