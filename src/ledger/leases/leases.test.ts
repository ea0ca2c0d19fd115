// The rules of money that the SQL functions of leases keep (DESIGN section 4), each by name.
import { describe, expect, test } from "vitest";
import { newId, StoreUnavailableError, type Database } from "../../store/index.ts";
import { testDatabase } from "../../store/testing.ts";
import { Budgets } from "../budgets.ts";
import { proveLedger } from "../proof/proof.ts";
import { closeEpoch, EpochFencedError, fenceEpoch } from "./leases.ts";
import { beginProcess, makeOrganisation, postBatch, setLedgerClock, takeFrom, type Process } from "./testing.ts";
import type { Scope } from "../types.ts";

const project: Scope = { kind: "project", id: "prj_1" };
const key: Scope = { kind: "key", id: "key_1" };
const run: Scope = { kind: "run", id: "run_1" };

async function opened(): Promise<Database & AsyncDisposable> {
  const db = await testDatabase();
  await makeOrganisation(db);
  return db;
}

/** Sets a budget before any process begins, and answers its id. */
const setBudget = async (
  db: Database,
  scope: Scope,
  limitNano: bigint,
  period: "total" | "month" | "day" = "total",
  fresh = true,
) => (await new Budgets(db).set({ organisation: "org_1", scope, currency: "USD", limitNano, period, fresh })).id;

const figures = async (db: Database, id: string) => {
  const { rows } = await db.query(
    "select spent_nano as spent, leased_nano as leased, lost_nano as lost, pending from budgets where id = $1",
    [id],
  );
  return rows[0];
};

const discrepancies = async (db: Database) => (await proveLedger(db, "whole", undefined)).discrepancies;

/** The name of the budget's current period. */
const periodOf = async (process: Process, scope: Scope) =>
  (await process.leases.budgetsOf([`${scope.kind}:${scope.id}`])).budgets[0]!.period;

describe("takes", () => {
  test("the shares of all scopes are taken in one step or none", async () => {
    await using db = await opened();
    const [wide, narrow] = [await setBudget(db, project, 1_000n), await setBudget(db, key, 50n)];
    const one = await beginProcess(db);
    const refused = await takeFrom(one, [wide, narrow], 60n);
    expect(refused.map(({ budget, state, grantedNano }) => [budget, state, grantedNano])).toEqual(
      [
        [wide, "spared", 0n],
        [narrow, "short", 0n],
      ].toSorted(([a], [b]) => (a! < b! ? -1 : 1)),
    );
    expect(await figures(db, wide)).toMatchObject({ leased: 0n });
    expect((await takeFrom(one, [wide, narrow], 50n)).map(({ grantedNano }) => grantedNano)).toEqual([50n, 50n]);
    expect([await figures(db, wide), await figures(db, narrow)]).toMatchObject([{ leased: 50n }, { leased: 50n }]);
  });

  test("the last cent can be taken, and not one more", async () => {
    await using db = await opened();
    const id = await setBudget(db, project, 100n);
    const one = await beginProcess(db);
    expect(await takeFrom(one, [id], 100n)).toMatchObject([{ state: "granted", grantedNano: 100n, leftNano: 0n }]);
    expect(await takeFrom(one, [id], 1n)).toMatchObject([{ state: "short", leftNano: 0n, facts: { outNano: 100n } }]);
  });

  test("a run's budget is leased whole to the first process that asks for more than its need", async () => {
    await using db = await opened();
    const id = await setBudget(db, run, 1_000n);
    const [one, two] = [await beginProcess(db), await beginProcess(db)];
    expect(await takeFrom(one, [id], 10n, { wantNano: 20n })).toMatchObject([{ grantedNano: 1_000n }]);
    expect(await takeFrom(two, [id], 10n, { wantNano: 20n })).toMatchObject([
      { state: "short", facts: { elsewhereNano: 1_000n } },
    ]);
    await one.leases.giveBack([{ budget: id, period: await periodOf(one, run), amountNano: 900n }]);
    // The first process still has money of it, so the second gets its need and a share.
    expect(await takeFrom(two, [id], 10n, { wantNano: 2_000n })).toMatchObject([{ grantedNano: 225n }]);
  });

  test("leases shrink near the end: below two windows for each process exactly the need is given", async () => {
    await using db = await opened();
    const id = await setBudget(db, project, 1_000n);
    const [one, two] = [await beginProcess(db), await beginProcess(db)];
    expect(await takeFrom(one, [id], 50n, { wantNano: 5_000n })).toMatchObject([{ grantedNano: 250n }]);
    await takeFrom(two, [id], 600n);
    expect(await takeFrom(one, [id], 50n, { wantNano: 5_000n })).toMatchObject([{ grantedNano: 50n, leftNano: 100n }]);
  });
});

describe("a connection that breaks while the database works", () => {
  /** The database, whose answers to statements with these words are lost `times` times: `before` they are carried out, or after. */
  function losing(db: Database, words: string, times: number, before = false): Database {
    const query = async (sql: string, values: unknown[]) => {
      const isLost = sql.includes(words) && times-- > 0;
      if (isLost && before) throw new StoreUnavailableError("lost", { sent: true });
      const answer = await db.query(sql, values);
      if (isLost) throw new StoreUnavailableError("lost", { sent: true });
      return answer;
    };
    return { query } as unknown as Database;
  }

  test.each([true, false])(
    "a take whose answer was lost holds no money (lost before it was carried out: %s)",
    async (before) => {
      await using db = await opened();
      const id = await setBudget(db, project, 100n);
      const one = await beginProcess(losing(db, "take_leases", 1, before));
      await expect(takeFrom(one, [id], 70n)).rejects.toBeInstanceOf(StoreUnavailableError);
      // The next one is carried out after the doubtful one is cleared up.
      expect(await takeFrom(one, [id], 60n)).toMatchObject([{ state: "granted", facts: { outNano: 60n } }]);
      expect(await figures(db, id)).toMatchObject({ leased: 60n });
    },
  );

  test.each([true, false])(
    "a return whose answer was lost is made once (lost before it was carried out: %s)",
    async (before) => {
      await using db = await opened();
      const id = await setBudget(db, project, 100n);
      const one = await beginProcess(losing(db, "return_leases", 2, before));
      await takeFrom(one, [id], 70n);
      await one.leases.giveBack([{ budget: id, period: await periodOf(one, project), amountNano: 30n }]);
      expect(await figures(db, id)).toMatchObject({ leased: 40n });
      one.leases.stop();
    },
  );
});

describe("death is suspicion", () => {
  test("a fenced epoch's lease never returns to the budget: it is booked whole to suspense, and late records draw on it once", async () => {
    await using db = await opened();
    const id = await setBudget(db, project, 1_000n);
    const one = await beginProcess(db);
    await takeFrom(one, [id], 400n);
    const period = await periodOf(one, project);
    const items = await fenceEpoch(db, one.epoch);
    expect(items).toMatchObject([{ budget: id, amountNano: 400n, organisation: "org_1" }]);
    expect(await fenceEpoch(db, one.epoch)).toEqual([]);
    expect(await figures(db, id)).toMatchObject({ spent: 0n, leased: 0n, lost: 400n });
    await expect(takeFrom(one, [id], 1n)).rejects.toBeInstanceOf(EpochFencedError);
    const two = await beginProcess(db);
    expect(await takeFrom(two, [id], 601n)).toMatchObject([{ state: "short", leftNano: 600n }]);
    await expect(one.leases.giveBack([{ budget: id, period, amountNano: 1n }])).rejects.toBeInstanceOf(
      EpochFencedError,
    );
    const late = { attempt: "att_1", amountNano: 150n, leases: [{ budget: id, period }] };
    await one.post([late]);
    await one.post([late]);
    expect(await figures(db, id)).toMatchObject({ spent: 150n, leased: 0n, lost: 250n });
    await closeEpoch(db, one.epoch, { [one.spool]: one.position });
    expect(await figures(db, id)).toMatchObject({ spent: 150n, leased: 0n, lost: 250n });
    const { rows } = await db.query("select kind, balance_nano from accounts where subject = $1 order by kind", [id]);
    expect(rows).toEqual([
      { kind: "reserve", balance_nano: -250n },
      { kind: "suspense", balance_nano: 250n },
    ]);
    expect(await discrepancies(db)).toEqual([]);
  });

  test("an epoch ends only when its spool is posted to its end; then its lease goes back", async () => {
    await using db = await opened();
    const id = await setBudget(db, project, 1_000n);
    const one = await beginProcess(db);
    await takeFrom(one, [id], 400n);
    await one.post([
      { attempt: "att_1", amountNano: 150n, leases: [{ budget: id, period: await periodOf(one, project) }] },
    ]);
    await expect(closeEpoch(db, one.epoch, { [one.spool]: 2 })).rejects.toMatchObject({ code: "LS002" });
    await one.leases.close({ [one.spool]: 1 });
    expect(await figures(db, id)).toMatchObject({ spent: 150n, leased: 0n, lost: 0n });
    await expect(takeFrom(one, [id], 1n)).rejects.toBeInstanceOf(EpochFencedError);
  });
});

describe("changes", () => {
  test("a new or lowered limit is pending until every live epoch has acknowledged it or is fenced", async () => {
    await using db = await opened();
    const [one, two, three] = [await beginProcess(db), await beginProcess(db), await beginProcess(db)];
    const id = await setBudget(db, project, 1_000n, "total", false);
    expect(await figures(db, id)).toMatchObject({ pending: true });
    await Promise.all([one.leases.acknowledge(1, [], {}), two.leases.acknowledge(1, [], {})]);
    expect(await figures(db, id)).toMatchObject({ pending: true });
    await fenceEpoch(db, three.epoch);
    expect(await figures(db, id)).toMatchObject({ pending: false });
    await setBudget(db, project, 2_000n, "total", false);
    expect(await figures(db, id)).toMatchObject({ pending: false });
    await setBudget(db, project, 500n, "total", false);
    expect(await figures(db, id)).toMatchObject({ pending: true });
    await Promise.all([one.leases.acknowledge(3, [], {}), two.leases.acknowledge(3, [], {})]);
    expect(await figures(db, id)).toMatchObject({ pending: false });
  });

  test("another kind of period makes another budget, which is pending and counts what its period has cost", async () => {
    await using db = await opened();
    // No month ends meanwhile.
    const now = new Date("2026-11-15T12:00:00Z");
    await setLedgerClock(db, now);
    const one = await beginProcess(db);
    const id = await setBudget(db, project, 1_000n);
    await takeFrom(one, [id], 400n);
    const leases = [{ budget: id, period: await periodOf(one, project) }];
    await one.post([{ attempt: "att_1", amountNano: 100n, leases, countedAt: now }]);
    const other = await setBudget(db, project, 1_000n, "month", false);
    expect(other).not.toBe(id);
    expect(await figures(db, other)).toMatchObject({ spent: 100n, leased: 0n, pending: true });
    expect((await db.query("select seq, budget from budget_changes order by seq")).rows).toEqual([
      { seq: 1n, budget: id },
      { seq: 2n, budget: other },
    ]);
    expect(await takeFrom(one, [id], 1n)).toMatchObject([{ state: "gone", facts: undefined }]);
    await one.post([{ attempt: "att_2", amountNano: 50n, leases, countedAt: now }]);
    expect(await figures(db, other)).toMatchObject({ spent: 150n, leased: 0n });
    expect(await discrepancies(db)).toEqual([]);
  });

  test("the budget of a new run holds at once, and no process is told", async () => {
    await using db = await opened();
    await beginProcess(db);
    const id = await setBudget(db, run, 1_000n);
    expect(await figures(db, id)).toMatchObject({ pending: false });
    expect((await db.query("select from budget_changes")).rowCount).toBe(0);
  });

  test("what is held under a new budget becomes leased from it, also beyond its limit, and nothing more is granted", async () => {
    await using db = await opened();
    await setLedgerClock(db, new Date("2026-11-15T12:00:00Z"));
    const one = await beginProcess(db);
    const id = await setBudget(db, project, 100n, "month", false);
    const share = { budget: id, period: await periodOf(one, project), amountNano: 150n };
    await one.leases.acknowledge(1, [share], {});
    await one.leases.acknowledge(1, [share], {});
    expect(await figures(db, id)).toMatchObject({ leased: 150n, pending: false });
    expect(await takeFrom(one, [id], 1n)).toMatchObject([{ state: "short", leftNano: -50n }]);
  });
});

test("periods: a settlement counts in the period of the lease that held it, whenever it is posted", async () => {
  await using db = await opened();
  const at = (iso: string) => setLedgerClock(db, new Date(iso));
  await at("2026-11-27T23:59:00Z");
  const id = await setBudget(db, project, 100n, "day");
  const one = await beginProcess(db);
  await takeFrom(one, [id], 80n);
  const period = await periodOf(one, project);
  await at("2026-11-28T00:01:00Z");
  expect(await takeFrom(one, [id], 100n)).toMatchObject([
    { grantedNano: 100n, facts: { period: "2026-11-28T00:00:00.000Z" } },
  ]);
  const countedAt = new Date("2026-11-27T23:59:30Z");
  await one.post([{ attempt: "att_1", amountNano: 70n, leases: [{ budget: id, period }], countedAt }]);
  expect(await figures(db, id)).toMatchObject({ spent: 0n, leased: 100n });
  const { rows } = await db.query("select spent_nano, leased_nano, lost_nano from budget_periods");
  expect(rows).toEqual([{ spent_nano: 70n, leased_nano: 10n, lost_nano: 0n }]);
  // A clock that goes back begins no period again.
  await at("2026-11-27T23:59:59Z");
  expect(await takeFrom(one, [id], 1n)).toMatchObject([
    { state: "short", facts: { period: "2026-11-28T00:00:00.000Z" } },
  ]);
});

describe("no false refusal", () => {
  test("a refused ask asks other processes' leases back; a holder that does not answer for a second is silent", async () => {
    await using db = await opened();
    await setLedgerClock(db, new Date("2026-11-27T12:00:00Z"));
    const id = await setBudget(db, project, 100n);
    const [one, two] = [await beginProcess(db), await beginProcess(db)];
    await takeFrom(one, [id], 100n);
    expect(await takeFrom(two, [id], 30n)).toMatchObject([{ state: "short", silentElsewhere: false }]);
    const { rows } = await db.query("select epoch, recall_nano from leases where recall_nano > 0");
    expect(rows).toEqual([{ epoch: BigInt(one.epoch), recall_nano: 30n }]);
    await setLedgerClock(db, new Date("2026-11-27T12:00:01.500Z"));
    expect(await takeFrom(two, [id], 30n)).toMatchObject([{ silentElsewhere: true }]);
    await one.leases.giveBack([{ budget: id, period: await periodOf(one, project), amountNano: 0n }]);
    expect(await takeFrom(two, [id], 30n)).toMatchObject([{ silentElsewhere: false }]);
    await one.leases.giveBack([{ budget: id, period: await periodOf(one, project), amountNano: 40n }]);
    expect(await takeFrom(two, [id], 30n)).toMatchObject([{ state: "granted" }]);
  });

  test("no deadlock: when all holders wait for each other, the process with the youngest is told to cut it", async () => {
    await using db = await opened();
    const nowMs = Date.parse("2026-11-27T12:00:00Z");
    await setLedgerClock(db, new Date(nowMs));
    const id = await setBudget(db, project, 100n);
    const clock = () => nowMs;
    const [one, two] = [await beginProcess(db, { clock }), await beginProcess(db, { clock })];
    await takeFrom(one, [id], 50n);
    await takeFrom(two, [id], 50n);
    const stuck = (process: Process, sinceMs: number) =>
      takeFrom(process, [id], 10n, { stuckYoungestMs: nowMs - sinceMs });
    const period = await periodOf(one, project);
    const answer = (process: Process) => process.leases.giveBack([{ budget: id, period, amountNano: 0n }]);
    expect(await stuck(one, 5_000)).toMatchObject([{ cut: false }]);
    // Nothing is cut before each has answered, by giving back what it has free, and is stuck all the same.
    expect(await stuck(two, 9_000)).toMatchObject([{ cut: false }]);
    expect(await stuck(one, 5_000)).toMatchObject([{ cut: false }]);
    await answer(one);
    await answer(two);
    expect(await stuck(two, 9_000)).toMatchObject([{ cut: false }]);
    expect(await stuck(one, 5_000)).toMatchObject([{ cut: true }]);
    // A process that has not said so again for two seconds may have gone on.
    await setLedgerClock(db, new Date(nowMs + 2_500));
    expect(await stuck(one, 5_000)).toMatchObject([{ cut: false }]);
  });
});

describe("spool", () => {
  const chain = (at: number) => at + 1_000;

  test("position and rows commit together: a batch that is posted already changes nothing", async () => {
    await using db = await opened();
    const one = await beginProcess(db);
    const batch = [{ attempt: "att_1", amountNano: 5n }];
    expect(await postBatch(db, one.spool, 0, batch)).toBe("posted");
    expect(await postBatch(db, one.spool, 0, batch)).toBe("already");
    expect(await postBatch(db, one.spool, 4, batch)).toBe("gap");
    expect(await postBatch(db, one.spool, 1, [{ attempt: "att_2", amountNano: 5n }])).toBe("posted");
    expect(await postBatch(db, one.spool, 0, batch)).toBe("elsewhere");
    expect((await db.query("select attempt from settlements order by 1")).rows).toEqual([
      { attempt: "att_1" },
      { attempt: "att_2" },
    ]);
    expect(await discrepancies(db)).toEqual([]);
  });

  test("the same number with another checksum stops the spool", async () => {
    await using db = await opened();
    const one = await beginProcess(db);
    const batch = [{ attempt: newId("att"), amountNano: 5n }];
    expect(await postBatch(db, one.spool, 0, batch)).toBe("posted");
    expect(await postBatch(db, one.spool, 0, batch, (at) => (at === 0 ? 0 : chain(at)))).toBe("forked");
    expect(await postBatch(db, one.spool, 1, batch)).toBe("stopped");
  });

  test("what Postgres refuses goes to quarantine, its amount to suspense, and the spool goes on", async () => {
    await using db = await opened();
    const id = await setBudget(db, project, 100n);
    const one = await beginProcess(db);
    await takeFrom(one, [id], 60n);
    const period = await periodOf(one, project);
    const item = {
      attempt: "att_1",
      organisation: "org_1",
      model: "small",
      currency: "USD",
      amount: "40",
      leases: [[id, period]],
    };
    const put = (number: number, of: unknown) =>
      db.query<{ outcome: string }>("select outcome from quarantine_record($1, $2, $3, $4, now(), $5, '22001', $6)", [
        one.spool,
        number,
        number - 1,
        number,
        JSON.stringify({ bad: true }),
        of === null ? null : JSON.stringify(of),
      ]);
    expect((await put(1, item)).rows).toEqual([{ outcome: "posted" }]);
    expect(await figures(db, id)).toMatchObject({ spent: 0n, leased: 20n, lost: 40n });
    await put(2, { ...item, organisation: "org_none" });
    await put(3, null);
    expect(await figures(db, id)).toMatchObject({ leased: 0n, lost: 60n });
    expect(await postBatch(db, one.spool, 3, [{ attempt: "att_2", amountNano: 5n }])).toBe("posted");
    const { rows } = await db.query("select number, amount_nano from quarantine order by 1");
    expect(rows).toEqual([1n, 2n, 3n].map((number) => ({ number, amount_nano: number < 3n ? 40n : 0n })));
    const { rows: accounts } = await db.query(
      "select kind, subject, balance_nano from accounts where kind = 'suspense' order by 3",
    );
    expect(accounts).toEqual([
      { kind: "suspense", subject: "small", balance_nano: 40n },
      { kind: "suspense", subject: id, balance_nano: 60n },
    ]);
    expect(await discrepancies(db)).toEqual([]);
  });
});
