// Admission on a real Postgres and real spools: holds, extensions and settlements of processes that share budgets, through to the rows
// that bills are made of.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, test, onTestFinished } from "vitest";
import { newId, Session, type Database } from "../../store/index.ts";
import { testDatabase } from "../../store/testing.ts";
import { Budgets } from "../budgets.ts";
import { makeOrganisation } from "../leases/testing.ts";
import type { PostingAlarm } from "../posting/failures.ts";
import { Replay } from "../posting/replay.ts";
import { rows } from "../posting/testing.ts";
import { proveLedger } from "../proof/proof.ts";
import type { HoldRequest, RateCard, ScopeKind } from "../types.ts";
import { Admission } from "./admission.ts";

/** One nano a prompt token, two an output token. */
const rateCard: RateCard = {
  id: "org_1/small/1",
  model: "small",
  version: 1,
  currency: "USD",
  inputNanoPerMillion: 1_000_000n,
  cachedNanoPerMillion: 1_000_000n,
  outputNanoPerMillion: 2_000_000n,
};

function spoolsFolder(): string {
  const spools = mkdtempSync(join(tmpdir(), "spools-"));
  onTestFinished(() => rmSync(spools, { recursive: true, force: true }));
  return spools;
}

async function process(db: Database, onAlarm: (alarm: PostingAlarm) => void = () => {}, spools = spoolsFolder()) {
  const session = await Session.open({ url: db.url });
  const admission = await Admission.open({
    db,
    session,
    spools,
    machine: "m1",
    rows,
    onSpoolFailure: () => {},
    onAlarm,
    onFenced: () => {},
  });
  onTestFinished(async () => {
    await admission.close();
    await session.close();
  });
  return admission;
}

function holdOf(of: Partial<HoldRequest> = {}): HoldRequest {
  return {
    attempt: newId("att"),
    call: newId("call"),
    organisation: "org_1",
    project: "prj_1",
    key: "key_1",
    agent: undefined,
    run: undefined,
    rateCard,
    promptTokens: 100,
    outputTokens: 32_000,
    whole: false,
    leastOutputTokens: 16,
    context: {},
    signal: new AbortController().signal,
    ...of,
  };
}

async function budget(db: Database, limitNano: bigint, kind: ScopeKind = "organisation", id = "org_1") {
  const scope = { kind, id };
  return new Budgets(db).set({ organisation: "org_1", scope, currency: "USD", limitNano, period: "total" });
}

const settleFor = (admission: Admission, attempt: string, promptTokens: number, outputTokens: number) =>
  admission.settle({
    attempt,
    tokens: { promptTokens, cachedTokens: 0, outputTokens },
    usageSource: "engine",
    row: () => undefined,
  });

async function held(admission: Admission, request: HoldRequest) {
  const result = await admission.hold(request);
  if (!result.admitted) throw new Error(`refused: ${result.why}`);
  return result;
}

/** The process dies with an attempt that was sent and not settled, and its spool is read by the next one. */
async function crashed(admission: Admission, at: { db: Database; spools: string }, attempt: string): Promise<void> {
  const row = () => {
    throw new Error("EIO: i/o error, write");
  };
  const tokens = { promptTokens: 100, cachedTokens: 0, outputTokens: 40 };
  expect(() => admission.settle({ attempt, tokens, usageSource: "engine", row })).toThrow("EIO");
  await admission.close();
  expect(await new Replay({ db: at.db, process: 1, root: at.spools, rows }).round()).toBe(1);
}

async function figures(db: Database) {
  const { rows: all } = await db.query<{ spent: bigint; leased: bigint; lost: bigint }>(
    "select sum(spent_nano) as spent, sum(leased_nano) as leased, sum(lost_nano) as lost from budgets",
  );
  return all[0]!;
}

describe("one process", () => {
  test("a record that the database refuses raises an alarm, and the money of the others is posted", async () => {
    await using db = await testDatabase();
    await makeOrganisation(db);
    const alarms: PostingAlarm[] = [];
    const admission = await process(db, (alarm) => alarms.push(alarm));
    for (const row of [{ id: "att_without_a_call" }, undefined]) {
      const request = holdOf();
      await held(admission, request);
      admission.settle({
        attempt: request.attempt,
        tokens: { promptTokens: 1, cachedTokens: 0, outputTokens: 1 },
        usageSource: "engine",
        row: () => row,
      });
    }
    await admission.posted(admission.position());
    expect(alarms).toMatchObject([{ code: "record_quarantined", subject: "23502" }]);
    const { rows: settled } = await db.query("select from settlements");
    expect(settled).toHaveLength(1);
  });

  test("an attempt whose settlement could not be written is settled by the next start, also after a clean stop", async () => {
    await using db = await testDatabase();
    await makeOrganisation(db);
    await budget(db, 10_000n);
    const spools = spoolsFolder();
    const admission = await process(db, undefined, spools);
    const request = holdOf();
    await held(admission, request);
    await admission.sent(request.attempt, "engine_1");
    const settlement = {
      attempt: request.attempt,
      tokens: { promptTokens: 100, cachedTokens: 0, outputTokens: 40 },
      usageSource: "engine" as const,
      row: () => {
        throw new Error("EIO: i/o error, write");
      },
    };
    expect(() => admission.settle(settlement)).toThrow("EIO");
    await admission.close();
    expect((await figures(db)).leased).toBeGreaterThanOrEqual(612n);
    expect(await new Replay({ db, process: 1, root: spools, rows }).round()).toBe(1);
    expect(await figures(db)).toEqual({ spent: 612n, leased: 0n, lost: 0n });
    const { rows: calls } = await db.query("select id from calls");
    expect(calls).toEqual([{ id: request.call }]);
    expect((await proveLedger(db, "whole", undefined)).discrepancies).toEqual([]);
  });

  test("a hold covers the prompt and a first window, not the whole limit", async () => {
    await using db = await testDatabase();
    await makeOrganisation(db);
    await budget(db, 10_000n);
    const admission = await process(db);
    const request = holdOf();
    const result = await held(admission, request);
    expect(result.outputTokens).toBe(256);
    expect(result.outputLimit).toBe(32_000);
    expect(result.amountNano).toBe(100n + 2n * 256n);
    const settled = settleFor(admission, request.attempt, 100, 40);
    expect(settled.amountNano).toBe(180n);
    await admission.posted(admission.position());
    expect((await figures(db)).spent).toBe(180n);
    await admission.close();
    expect(await figures(db)).toEqual({ spent: 180n, leased: 0n, lost: 0n });
    expect((await proveLedger(db, "whole", undefined)).discrepancies).toEqual([]);
  });

  test("extensions go to the last token of the budget, then the answer is cut by its name", async () => {
    await using db = await testDatabase();
    await makeOrganisation(db);
    const { id } = await budget(db, 1_000n);
    const admission = await process(db);
    const request = holdOf();
    let { outputTokens } = await held(admission, request);
    let cutBy;
    while (!cutBy) {
      const extended = await admission.extend(request.attempt, outputTokens * 2, outputTokens, true);
      ({ outputTokens, cutBy } = extended);
    }
    expect(outputTokens).toBe(450);
    expect(cutBy.budget).toBe(id);
    expect(settleFor(admission, request.attempt, 100, 450).amountNano).toBe(1_000n);
    expect(await admission.hold(holdOf())).toMatchObject({ admitted: false, why: "spent" });
  });

  test("a prompt that is counted after it was held gives back the rest, first to the older answer that waits", async () => {
    await using db = await testDatabase();
    await makeOrganisation(db);
    await budget(db, 10_000n);
    const admission = await process(db);
    const [older, younger] = [holdOf({ promptTokens: 400 }), holdOf({ promptTokens: 400 })];
    await held(admission, older);
    expect((await held(admission, younger)).amountNano).toBe(912n);
    const allOf = async (tokens: number) => {
      for (let covered = 256; covered < tokens;) {
        const extended = await admission.extend(older.attempt, tokens, covered, true);
        if (extended.cutBy) throw new Error(`cut at ${extended.outputTokens}`);
        covered = extended.outputTokens;
      }
    };
    // 9,200 beside 912 is more than there is.
    const covered = allOf(4_400);
    admission.recount(younger.attempt, 100);
    await covered;
    // It is billed for its count at most.
    expect(settleFor(admission, younger.attempt, 400, 256)).toMatchObject({ amountNano: 612n, suspenseNano: 300n });
    // As many tokens as are held, or more, change nothing.
    admission.recount(older.attempt, 400);
    admission.recount(older.attempt, 500);
    expect(settleFor(admission, older.attempt, 400, 4_400).amountNano).toBe(9_200n);
    await admission.close();
    expect(await figures(db)).toEqual({ spent: 9_812n, leased: 0n, lost: 0n });
    expect((await proveLedger(db, "whole", undefined)).discrepancies).toEqual([]);
  });

  test("after a crash a prompt is billed by its count, also where the hold was by a bound", async () => {
    await using db = await testDatabase();
    await makeOrganisation(db);
    await budget(db, 2_000n);
    const spools = spoolsFolder();
    const admission = await process(db, undefined, spools);
    const request = holdOf({ promptTokens: 400 });
    await held(admission, request);
    await admission.sent(request.attempt, "engine_1");
    admission.recount(request.attempt, 100);
    await crashed(admission, { db, spools }, request.attempt);
    expect(await figures(db)).toEqual({ spent: 612n, leased: 0n, lost: 0n });
    expect((await proveLedger(db, "whole", undefined)).discrepancies).toEqual([]);
  });

  test("a call that cannot be stopped is held for its whole limit, lowered to what there is", async () => {
    await using db = await testDatabase();
    await makeOrganisation(db);
    await budget(db, 1_000n);
    const admission = await process(db);
    const result = await held(admission, holdOf({ whole: true }));
    expect(result.outputLimit).toBe(450);
    expect(result.outputTokens).toBe(450);
  });

  test("its lowered limit covers more where its prompt is counted, from the same money, and after a crash too", async () => {
    await using db = await testDatabase();
    await makeOrganisation(db);
    await budget(db, 1_000n);
    const spools = spoolsFolder();
    const admission = await process(db, undefined, spools);
    const request = holdOf({ whole: true, promptTokens: 400 });
    expect((await held(admission, request)).outputLimit).toBe(300);
    expect(admission.recount(request.attempt, 100)).toBe(450);
    await admission.sent(request.attempt, "engine_1");
    await crashed(admission, { db, spools }, request.attempt);
    expect(await figures(db)).toEqual({ spent: 1_000n, leased: 0n, lost: 0n });
    expect((await proveLedger(db, "whole", undefined)).discrepancies).toEqual([]);
  });

  test("a counted prompt covers no more than the limit, and what is held beyond that is free", async () => {
    await using db = await testDatabase();
    await makeOrganisation(db);
    const { id } = await budget(db, 1_000n);
    const admission = await process(db);
    const request = holdOf({ whole: true, promptTokens: 400, outputTokens: 310 });
    expect((await held(admission, request)).outputLimit).toBe(300);
    expect(admission.recount(request.attempt, 100)).toBe(310);
    expect(admission.standing(id)).toMatchObject({ heldNano: 720n, freeNano: 280n });
  });

  test("a whole limit that is asked for after the hold is cut at the budget's end, although nothing was seen of an answer", async () => {
    await using db = await testDatabase();
    await makeOrganisation(db);
    const { id } = await budget(db, 1_000n);
    const admission = await process(db);
    const request = holdOf();
    await held(admission, request);
    let extended = await admission.extend(request.attempt, 4_096, 0, true);
    while (!extended.cutBy) extended = await admission.extend(request.attempt, 4_096, 0, true);
    expect(extended).toMatchObject({ outputTokens: 450, cutBy: { budget: id, why: "spent" } });
  });

  test("such a call waits for a useful limit while others hold the money", async () => {
    await using db = await testDatabase();
    await makeOrganisation(db);
    await budget(db, 9_000n);
    const admission = await process(db);
    const first = holdOf({ outputTokens: 4_000, whole: true });
    await held(admission, first);
    const waiting = held(admission, holdOf({ whole: true, outputTokens: 4_000 }));
    const pause = new Promise((done) => setTimeout(() => done("waits"), 30));
    expect(await Promise.race([waiting.then(() => "held"), pause])).toBe("waits");
    settleFor(admission, first.attempt, 100, 10);
    expect((await waiting).outputLimit).toBe(4_000);
  });

  test("a call waits for money that others hold, and gets it when they settle", async () => {
    await using db = await testDatabase();
    await makeOrganisation(db);
    await budget(db, 700n);
    const admission = await process(db);
    const first = holdOf();
    await held(admission, first);
    const second = holdOf({ leastOutputTokens: 100 });
    const waiting = held(admission, second);
    const soon = await Promise.race([
      waiting.then(() => "held"),
      new Promise((done) => setTimeout(() => done("waits"), 30)),
    ]);
    expect(soon).toBe("waits");
    settleFor(admission, first.attempt, 100, 10);
    expect((await waiting).outputTokens).toBeGreaterThanOrEqual(100);
  });

  test("a hold that would have to wait is not had at once, and leaves nothing behind", async () => {
    await using db = await testDatabase();
    await makeOrganisation(db);
    const { id } = await budget(db, 1_000n);
    const admission = await process(db);
    // Its scopes are not known yet.
    expect(admission.holdNow(holdOf())).toBeUndefined();
    const first = holdOf({ outputTokens: 400 });
    await admission.hold(first);
    const { freeNano = 0n, heldNano = 0n } = admission.standing(id) ?? {};
    const large = holdOf({ promptTokens: Number(freeNano) + 1 });
    expect(admission.holdNow(large)).toBeUndefined();
    expect(admission.standing(id)).toMatchObject({ heldNano, waiting: 0, holders: 1 });
    const small = holdOf({ promptTokens: 1, outputTokens: 16 });
    const now = freeNano >= 33n ? admission.holdNow(small) : await admission.hold(small);
    expect(now).toMatchObject({ admitted: true });
    for (const { attempt } of [first, small]) settleFor(admission, attempt, 1, 1);
    expect(admission.holdNow(holdOf({ promptTokens: 5_000 }))).toBeUndefined();
    await expect(admission.hold(holdOf({ promptTokens: 5_000 }))).resolves.toMatchObject({ why: "spent" });
  });

  test("a whole limit is had at once, or not at all at once", async () => {
    await using db = await testDatabase();
    await makeOrganisation(db);
    const { id } = await budget(db, 1_000n);
    const admission = await process(db);
    const first = holdOf({ promptTokens: 1, outputTokens: 16 });
    await admission.hold(first);
    const whole = holdOf({ promptTokens: 1, outputTokens: 300, leastOutputTokens: 16, whole: true });
    // Of a budget of 1,000 a second of these has room for a part of its limit.
    const { freeNano = 0n } = admission.standing(id) ?? {};
    const now = admission.holdNow(whole);
    expect(now?.admitted ?? false).toBe(freeNano >= 301n * 2n);
    if (now?.admitted) expect(now.outputTokens).toBe(300);
    expect(admission.holdNow(holdOf({ promptTokens: 1, outputTokens: 600, whole: true }))).toBeUndefined();
    expect(admission.standing(id)).toMatchObject({ waiting: 0 });
  });

  test("a call that is cancelled while it waits leaves the queue", async () => {
    await using db = await testDatabase();
    await makeOrganisation(db);
    await budget(db, 700n);
    const admission = await process(db);
    const first = holdOf();
    await held(admission, first);
    const gone = new AbortController();
    const waiting = admission.hold(holdOf({ leastOutputTokens: 100, signal: gone.signal }));
    setTimeout(() => gone.abort(new Error("gone")), 10);
    await expect(waiting).rejects.toThrow("gone");
    settleFor(admission, first.attempt, 100, 10);
    await held(admission, holdOf());
  });

  test("a budget that is set while a call runs counts what the call holds, and is in force at once", async () => {
    await using db = await testDatabase();
    await makeOrganisation(db);
    const admission = await process(db);
    const request = holdOf();
    await held(admission, request);
    const set = await budget(db, 1_000n);
    await expect.poll(async () => (await new Budgets(db).list("org_1"))[0]!.pending).toBe(false);
    expect(admission.standing(set.id)).toMatchObject({ heldNano: 612n });
    settleFor(admission, request.attempt, 100, 5);
    await admission.posted(admission.position());
    await admission.close();
    expect((await figures(db)).leased).toBe(0n);
  });
});

describe("two processes", () => {
  test("money that one has idle is recalled for the other, to the last nano", async () => {
    await using db = await testDatabase();
    await makeOrganisation(db);
    await budget(db, 2_000n);
    const [one, other] = await Promise.all([process(db), process(db)]);
    const first = holdOf();
    await held(one, first);
    settleFor(one, first.attempt, 100, 0);
    // The other needs more than what the first has left in the budget.
    const request = holdOf({ whole: true, outputTokens: 900, leastOutputTokens: 900 });
    const result = await held(other, request);
    expect(result.amountNano).toBe(1_900n);
    settleFor(other, request.attempt, 100, 900);
    expect(await one.hold(holdOf())).toMatchObject({ admitted: false, why: "spent" });
  });

  test("many calls on five scopes, from two processes at once: nothing over, nothing left, the proof is clean", async () => {
    await using db = await testDatabase();
    await makeOrganisation(db);
    const limits: Record<string, bigint> = {
      org_1: 60_000n,
      prj_1: 45_000n,
      key_1: 40_000n,
      agt_1: 38_000n,
      run_1: 36_000n,
    };
    const kinds = ["organisation", "project", "key", "agent", "run"] as const;
    for (const [at, [id, limit]] of Object.entries(limits).entries()) await budget(db, limit, kinds[at]!, id);
    const both = await Promise.all([process(db), process(db)]);
    const outcomes = await Promise.all(
      Array.from({ length: 200 }, async (_, at) => {
        const admission = both[at % 2]!;
        const request = holdOf({ agent: "agt_1", run: "run_1", outputTokens: 100 + ((at * 37) % 500) });
        const result = await admission.hold(request);
        if (!result.admitted) return 0;
        let { outputTokens } = result;
        while (outputTokens < request.outputTokens) {
          const extended = await admission.extend(request.attempt, outputTokens * 2, outputTokens, true);
          ({ outputTokens } = extended);
          if (extended.cutBy) break;
        }
        await new Promise((done) => setTimeout(done, at % 7));
        return Number(settleFor(admission, request.attempt, 100, outputTokens).amountNano);
      }),
    );
    await Promise.all(both.map((admission) => admission.posted(admission.position())));
    const charged = outcomes.reduce((total, amount) => total + amount, 0);
    const { rows: spent } = await db.query<{ spent_nano: bigint; limit_nano: bigint }>(
      "select spent_nano, limit_nano from budgets",
    );
    for (const row of spent) {
      expect(Number(row.spent_nano)).toBe(charged);
      expect(row.spent_nano <= row.limit_nano).toBe(true);
    }
    expect(charged).toBeGreaterThan(35_700);
    await Promise.all(both.map((admission) => admission.close()));
    expect((await figures(db)).leased).toBe(0n);
    expect((await proveLedger(db, "whole", undefined)).discrepancies).toEqual([]);
  });
});
