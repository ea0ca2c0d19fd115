// A tenure's records where the spool cannot take them: a disk that is full, and one that fails.
import { expect, test } from "vitest";
import { newId, newSpoolId, SpoolWriter } from "../../store/index.ts";
import { failingDisk, readWhole, temporaryFolder } from "../../store/spool/testing.ts";
import type { HoldRequest, RateCard } from "../types.ts";
import { Tenure } from "./tenure.ts";

type TenureOptions = ConstructorParameters<typeof Tenure>[0];

const card: RateCard = {
  id: "org_1/small/1",
  model: "small",
  version: 1,
  currency: "USD",
  inputNanoPerMillion: 1_000_000n,
  cachedNanoPerMillion: 1_000_000n,
  outputNanoPerMillion: 1_000_000n,
};

/** A tenure whose scopes have no budgets, on a spool of its own. */
function tenureOnSpool(spool: TenureOptions["spool"]): Tenure {
  const unused = () => Promise.reject(new Error("not asked for"));
  const leases: TenureOptions["leases"] = {
    giveBack: unused,
    take: unused,
    budgetsOf: () => Promise.resolve({ budgets: [], asOf: 0 }),
    acknowledge: unused,
    databaseTimeMs: () => 0,
  };
  return new Tenure({
    leases,
    spool,
    exclusively: (work) => work(),
    posted: () => Promise.resolve(),
    numbers: () => ({}),
    onFenced: () => {},
    clock: () => 0,
  });
}

const holdOf = (more: Partial<HoldRequest> = {}): HoldRequest => ({
  attempt: newId("att"),
  call: newId("call"),
  organisation: newId("org"),
  project: newId("prj"),
  key: newId("key"),
  agent: newId("agt"),
  run: newId("run"),
  rateCard: card,
  promptTokens: 1_000,
  outputTokens: 1_000_000,
  whole: false,
  leastOutputTokens: 16,
  context: { number: 1, endpoint: "chat", stream: true, startedAt: 0, program: "p".repeat(100) },
  signal: new AbortController().signal,
  ...more,
});

const settlementOf = ({ attempt }: HoldRequest, row: unknown = { decision: "d".repeat(2_000) }) => ({
  attempt,
  tokens: { promptTokens: 1_000, cachedTokens: 0, outputTokens: 100 },
  usageSource: "engine" as const,
  row: () => row,
});

const storageFull = expect.objectContaining({ code: "storage_full" });

/** Writes to the spool until the disk has no room for anything new. */
function fill(writer: SpoolWriter): void {
  expect(() => {
    for (;;) writer.append([Buffer.alloc(300, "f")]);
  }).toThrow(storageFull);
}

const recordsIn = async (writer: SpoolWriter) => {
  const texts: string[] = [];
  for (const { path } of writer.trail) texts.push(...(await readWhole(path)).texts);
  return texts.flatMap((text) => (text.startsWith("{") ? [JSON.parse(text) as { k: string }] : []));
};

test("calls under way are marked, extended, settled and recorded on a disk that is full, however many they are", async () => {
  using root = temporaryFolder();
  const disk = failingDisk(2 * 1024 * 1024);
  const writer = SpoolWriter.open({ root: root.path, id: newSpoolId(), epoch: "1", disk });
  const tenure = tenureOnSpool(writer);
  const holds = Array.from({ length: 80 }, () => holdOf());
  await Promise.all(holds.map((hold) => tenure.hold(hold)));
  fill(writer);
  await expect(tenure.hold(holdOf())).rejects.toThrow(storageFull);
  await Promise.all(holds.map(({ attempt }) => tenure.sent(attempt, "vllm")));
  await Promise.all(holds.map(({ attempt }) => tenure.extend(attempt, 768, 256, true)));
  for (const hold of holds) tenure.settle(settlementOf(hold));
  const row = { model: "m".repeat(200), program: "p".repeat(200) };
  await Promise.all(holds.map(({ call }) => tenure.recordCall(call, row)));
  writer.close();
  const kinds = (await recordsIn(writer)).map(({ k }) => k);
  for (const kind of ["hold", "sent", "extend", "settle", "call"])
    expect(kinds.filter((one) => one === kind)).toHaveLength(80);
});

test("an answer that needs extension after extension on a full disk is ended by that, and is settled and recorded", async () => {
  using root = temporaryFolder();
  const disk = failingDisk(1024 * 1024);
  const writer = SpoolWriter.open({ root: root.path, id: newSpoolId(), epoch: "1", disk });
  const tenure = tenureOnSpool(writer);
  const hold = holdOf();
  await tenure.hold(hold);
  await tenure.sent(hold.attempt, "vllm");
  fill(writer);
  const extending = async () => {
    for (let tokens = 257; ; tokens++) await tenure.extend(hold.attempt, tokens, tokens - 1, true);
  };
  await expect(extending()).rejects.toThrow(storageFull);
  tenure.settle(settlementOf(hold));
  await tenure.recordCall(hold.call, { model: "m".repeat(200) });
  writer.close();
  expect((await recordsIn(writer)).slice(-2).map(({ k }) => k)).toEqual(["settle", "call"]);
});

test("room that a call does not need is given back: calls one after the other need no more than one", async () => {
  using root = temporaryFolder();
  const writer = SpoolWriter.open({ root: root.path, id: newSpoolId(), epoch: "1", disk: failingDisk(1024 * 1024) });
  const tenure = tenureOnSpool(writer);
  let reserved = 0;
  const { reserve, release } = writer;
  writer.reserve = (bytes) => (reserve.call(writer, bytes), void (reserved += bytes));
  writer.release = (bytes) => (release.call(writer, bytes), void (reserved -= bytes));
  const append = writer.append.bind(writer);
  const queue = writer.queue.bind(writer);
  writer.append = (payloads, drawn = 0) => ((reserved -= drawn), append(payloads, drawn));
  writer.queue = (payloads, drawn = 0) => ((reserved -= drawn), queue(payloads, drawn));
  for (let number = 0; number < 20; number++) {
    const first = holdOf();
    const second = holdOf({ call: first.call });
    for (const hold of [first, second]) {
      await tenure.hold(hold);
      await tenure.sent(hold.attempt, "vllm");
      tenure.settle(settlementOf(hold, {}));
    }
    await tenure.recordCall(first.call, {});
    const gone = new AbortController();
    const waiting = tenure.hold(holdOf({ signal: gone.signal }));
    gone.abort(new Error("gone"));
    await expect(waiting).rejects.toThrow("gone");
  }
  writer.close();
  expect(reserved).toBe(0);
});

/** A spool that takes nothing while `broken`. */
function brokenSpool() {
  const kindOf = (payload: Uint8Array) => (JSON.parse(Buffer.from(payload).toString()) as { k: string }).k;
  const spool = {
    broken: false,
    queued: [] as string[],
    records: [] as string[],
    position: () => ({ spool: "s1", number: spool.records.length + spool.queued.length }),
    queue(payloads: Uint8Array[]) {
      if (spool.broken) throw new Error("EIO: i/o error, write");
      spool.queued.push(...payloads.map(kindOf));
      return spool.position();
    },
    append(payloads: Uint8Array[]) {
      spool.queue(payloads);
      spool.records.push(...spool.queued.splice(0));
      return spool.position();
    },
    written() {
      spool.records.push(...spool.queued.splice(0));
      return Promise.resolve();
    },
    reserve() {},
    release() {},
  };
  return spool;
}

test("an attempt whose settlement could not be written still holds, and is settled when it is tried again", async () => {
  const spool = brokenSpool();
  const tenure = tenureOnSpool(spool);
  const hold = holdOf();
  await tenure.hold(hold);
  await tenure.sent(hold.attempt, "vllm");
  spool.broken = true;
  expect(() => tenure.settle(settlementOf(hold))).toThrow("EIO");
  expect(tenure.has(hold.attempt)).toBe(true);
  spool.broken = false;
  tenure.settle(settlementOf(hold));
  expect(tenure.has(hold.attempt)).toBe(false);
  await tenure.recordCall(hold.call, {});
  expect(spool.records).toEqual(["hold", "sent", "settle", "call"]);
});

test("a hold whose record is not written is written before the request leaves, or the request does not leave", async () => {
  const spool = brokenSpool();
  const tenure = tenureOnSpool(spool);
  const hold = holdOf();
  await tenure.hold(hold);
  expect(spool.records).toEqual([]);
  spool.broken = true;
  expect(() => tenure.sent(hold.attempt, "vllm")).toThrow("EIO");
  spool.broken = false;
  await tenure.sent(hold.attempt, "vllm");
  expect(spool.records).toEqual(["hold", "sent"]);
});

test("a hold that cannot be recorded is refused alone: those that were decided with it go on", async () => {
  const tenure = tenureOnSpool(brokenSpool());
  const circle: Record<string, unknown> = {};
  circle.itself = circle;
  const results = await Promise.allSettled([tenure.hold(holdOf({ context: circle })), tenure.hold(holdOf())]);
  expect(results.map(({ status }) => status)).toEqual(["rejected", "fulfilled"]);
});

test("no engine is asked while the hold and its mark lie in memory alone", async () => {
  using root = temporaryFolder();
  const disk = failingDisk(2 * 1024 * 1024);
  const writer = SpoolWriter.open({ root: root.path, id: newSpoolId(), epoch: "1", disk });
  const tenure = tenureOnSpool(writer);
  const hold = holdOf();
  await tenure.hold(hold);
  disk.failWrites = new Error("EIO: i/o error, write");
  await expect(tenure.sent(hold.attempt, "vllm")).rejects.toThrow(storageFull);
  disk.failWrites = undefined;
  // The room that was set aside takes the settlement, which says that nothing was asked.
  tenure.settle(settlementOf(hold));
  expect(tenure.has(hold.attempt)).toBe(false);
  writer.close();
});
