// What a process hears of its leases, and which epochs are fenced.
import { expect, test } from "vitest";
import { processGone, Session, type Database } from "../../store/index.ts";
import { testDatabase } from "../../store/testing.ts";
import type { GivenBack } from "../book/types.ts";
import { Budgets } from "../budgets.ts";
import { fenceEpoch, Leases } from "./leases.ts";
import { Liveness } from "./liveness.ts";
import { beginProcess, makeOrganisation, takeFrom } from "./testing.ts";
import type { BudgetChange, LostLease } from "./types.ts";
import { watchLeases } from "./watch.ts";

const set = (db: Database, limitNano: bigint, fresh = false) =>
  new Budgets(db).set({
    organisation: "org_1",
    scope: { kind: "project", id: "prj_1" },
    currency: "USD",
    limitNano,
    period: "total",
    fresh,
  });

/** Everything that a watcher is told. */
class Told {
  changes: BudgetChange[] = [];
  recalls: GivenBack[] = [];
  returns = 0;
  fences = 0;
  /** Rejects the next changes. */
  isBusy = false;

  async onChanges(changes: BudgetChange[]): Promise<void> {
    if (this.isBusy) throw new Error("busy");
    this.changes.push(...changes);
  }
  onRecalled(shares: GivenBack[]): void {
    this.recalls.push(...shares);
  }
  onReturned(): void {
    this.returns++;
  }
  onFenced(): void {
    this.fences++;
  }
}

const watching = (told: Told) => ({
  onChanges: (changes: BudgetChange[]) => told.onChanges(changes),
  onRecalled: (shares: GivenBack[]) => told.onRecalled(shares),
  onReturned: () => told.onReturned(),
  onFenced: () => told.onFenced(),
});

test("changes are told in order and each until it is dealt with, recalls until they are answered, then returns and the fence", async () => {
  await using db = await testDatabase();
  await makeOrganisation(db);
  const { id } = await set(db, 1n, true);
  const session = await Session.open({ url: db.url });
  const [one, two] = [await beginProcess(db), await beginProcess(db)];
  const told = new Told();
  const stop = await watchLeases({ db, session, epoch: one.leases.epoch, ...watching(told) });
  told.isBusy = true;
  await set(db, 100n);
  await set(db, 90n);
  await expect.poll(async () => (await db.query("select from budget_changes")).rowCount).toBe(2);
  expect(told.changes).toEqual([]);
  told.isBusy = false;
  await expect
    .poll(() => told.changes.map(({ seq, scope }) => [seq, scope]))
    .toEqual([
      [1, "project:prj_1"],
      [2, "project:prj_1"],
    ]);
  await takeFrom(one, [id], 90n);
  await takeFrom(two, [id], 30n);
  await expect.poll(() => told.recalls[0]).toMatchObject({ budget: id, amountNano: 30n });
  await one.leases.giveBack([{ ...told.recalls[0]!, amountNano: 40n }]);
  await takeFrom(two, [id], 40n);
  // The second process's money is asked back in turn.
  await takeFrom(one, [id], 5n);
  await two.leases.giveBack([{ ...told.recalls[0]!, amountNano: 20n }]);
  await expect.poll(() => told.returns).toBe(1);
  // It was said again as often as it was looked for before the answer; the answer has ended it.
  expect(new Set(told.recalls.map(({ amountNano }) => amountNano))).toEqual(new Set([30n]));
  const open = "select from leases where epoch = $1 and recall_nano > 0";
  expect((await db.query(open, [one.epoch])).rowCount).toBe(0);
  await fenceEpoch(db, one.epoch);
  await expect.poll(() => told.fences).toBe(1);
  stop();
  await session.close();
});

test("a restore that raised the incarnation fences every epoch of before", async () => {
  await using db = await testDatabase();
  const session = await Session.open({ url: db.url });
  const one = await beginProcess(db);
  const told = new Told();
  const stop = await watchLeases({ db, session, epoch: { ...one.leases.epoch, incarnation: 0 }, ...watching(told) });
  await expect.poll(() => told.fences).toBe(1);
  stop();
  await session.close();
});

test("an epoch whose lock was free in two rounds is fenced; a process that took its lock again is not, nor one that is replayed", async () => {
  await using db = await testDatabase();
  await makeOrganisation(db);
  const { id } = await set(db, 1_000n, true);
  const begin = async (machine: string) => {
    const session = await Session.open({ url: db.url });
    const leases = await Leases.begin({ db, process: session.processId, machine, spool: `spool_${session.processId}` });
    await leases.take([
      { ask: "a", parts: [{ budget: id, leastNano: 1n, needNano: 10n, wantNano: 10n, stuckYoungestMs: undefined }] },
    ]);
    return { session, epoch: leases.epoch.id };
  };
  const [self, back, gone, replayed] = [await begin("m1"), await begin("m1"), await begin("m2"), await begin("m1")];
  const lost: [number, LostLease[]][] = [];
  const liveness = new Liveness({
    db,
    process: self.session.processId,
    machine: "m1",
    isReplayed: async (epoch) => epoch === replayed.epoch,
    onLost: (epoch, items) => lost.push([epoch, items]),
  });
  expect(await liveness.round()).toEqual([]);
  const ended = [back, gone, replayed].map(({ session }) => session);
  for (const session of ended) await session.close();
  // The server notices the end of a session in its own time, and frees the lock then.
  const areGone = `select bool_and(${processGone("id")}) as gone from unnest($1::bigint[]) as id`;
  const ids = ended.map(({ processId }) => processId);
  await expect.poll(async () => (await db.query(areGone, [ids])).rows).toEqual([{ gone: true }]);
  expect(await liveness.round()).toEqual([]);
  const again = await Session.open({ url: db.url, processId: back.session.processId });
  expect(await liveness.round()).toEqual([gone.epoch]);
  expect(lost).toMatchObject([[gone.epoch, [{ budget: id, amountNano: 10n }]]]);
  await again.close();
  await self.session.close();
});
