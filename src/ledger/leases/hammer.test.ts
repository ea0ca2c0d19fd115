// Many processes at once on the same budgets, in every order, while limits are raised and processes are fenced: nothing waits for ever, no
// budget is passed at any moment, and the sums agree at the end.
import { expect, test } from "vitest";
import { testDatabase } from "../../store/testing.ts";
import { Budgets } from "../budgets.ts";
import type { GivenBack } from "../book/types.ts";
import { proveLedger } from "../proof/proof.ts";
import type { Scope } from "../types.ts";
import { fenceEpoch } from "./leases.ts";
import { beginProcess, makeOrganisation, randomFrom, takeFrom, type Process, type Settled } from "./testing.ts";

const scopes: Scope[] = [
  { kind: "organisation", id: "org_1" },
  ...["prj_1", "prj_2"].map((id): Scope => ({ kind: "project", id })),
  ...["agt_1", "agt_2", "agt_3"].map((id): Scope => ({ kind: "agent", id })),
];
const rounds = 25;
const processCount = 6;

test("six processes, six budgets: no deadlock, no budget passed, and equal sums", async () => {
  await using db = await testDatabase();
  await makeOrganisation(db);
  const budgets = new Budgets(db);
  const set = (scope: Scope, limitNano: bigint, fresh: boolean) =>
    budgets.set({ organisation: "org_1", scope, currency: "USD", limitNano, period: "total", fresh });
  for (const [place, scope] of scopes.entries()) await set(scope, 4_000n + 500n * BigInt(place), true);
  const ids = new Map((await budgets.list("org_1")).map(({ id, scope }) => [scope.id, id]));
  const processes = await Promise.all(Array.from({ length: processCount }, () => beginProcess(db)));
  let passed = 0;
  const done = new AbortController();
  const watching = (async () => {
    while (!done.signal.aborted) {
      const { rows } = await db.query("select from budgets where spent_nano + leased_nano + lost_nano > limit_nano");
      passed += rows.length;
    }
  })();
  const raising = (async () => {
    for (let step = 0; step < 8; step++)
      for (const scope of scopes) await set(scope, 10_000n + 100n * BigInt(step), false);
  })();
  await Promise.all([...processes.map((process, seed) => work(process, seed, ids)), raising]);
  done.abort();
  await watching;
  expect(passed).toBe(0);
  // The last process loses what it still has; the others end well.
  await fenceEpoch(db, processes.at(-1)!.epoch);
  for (const process of processes.slice(0, -1)) await process.leases.close({ [process.spool]: process.position });
  const { rows } = await db.query("select from budgets where leased_nano <> 0");
  expect(rows).toEqual([]);
  const { rows: lost } = await db.query(
    `select from budgets b where lost_nano <> (select coalesce(sum(amount_nano - drawn_nano), 0) from suspense s where s.budget = b.id)`,
  );
  expect(lost).toEqual([]);
  expect((await proveLedger(db, "whole", undefined)).discrepancies).toEqual([]);
});

test("changes that are acknowledged and processes that are fenced amid the traffic never wait for each other", async () => {
  await using db = await testDatabase();
  await makeOrganisation(db);
  const budgets = new Budgets(db);
  const set = (scope: Scope, limitNano: bigint, fresh = false) =>
    budgets.set({ organisation: "org_1", scope, currency: "USD", limitNano, period: "total", fresh });
  for (const scope of scopes) await set(scope, 100_000n, true);
  const ids = new Map((await budgets.list("org_1")).map(({ id, scope }) => [scope.id, id]));
  const processes = await Promise.all(Array.from({ length: processCount }, () => beginProcess(db)));
  const done = new AbortController();
  const random = randomFrom(99);
  const changing = (async () => {
    while (!done.signal.aborted)
      await set(scopes[Math.floor(random() * scopes.length)]!, 100_000n - BigInt(Math.floor(random() * 9_000)));
  })();
  // Each process acknowledges everything again and again, with a little that it holds of some budgets.
  const acknowledging = processes.map(async ({ leases }, place) => {
    const own = randomFrom(1_000 + place);
    while (!done.signal.aborted) {
      const { rows } = await db.query<{ seq: bigint }>("select coalesce(max(seq), 0) as seq from budget_changes");
      const held = [...ids.values()]
        .filter(() => own() < 0.3)
        .toSorted(() => own() - 0.5)
        .map((budget): GivenBack => ({ budget, period: new Date(0).toISOString(), amountNano: 1n }));
      await leases.acknowledge(Number(rows[0]!.seq), held, {});
    }
  });
  const fencing = (async () => {
    while (!done.signal.aborted) {
      const doomed = await beginProcess(db);
      await takeFrom(doomed, [...ids.values()], 10n);
      await fenceEpoch(db, doomed.epoch);
    }
  })();
  await Promise.all(processes.map((process, seed) => work(process, 100 + seed, ids)));
  done.abort();
  await Promise.all([changing, ...acknowledging, fencing]);
  for (const process of processes) await process.leases.close({ [process.spool]: process.position });
  const { rows } = await db.query("select from budgets where leased_nano <> 0 or pending");
  expect(rows).toEqual([]);
  expect((await proveLedger(db, "whole", undefined)).discrepancies).toEqual([]);
});

test("of six processes that ask for the last money at once, one gets it", async () => {
  await using db = await testDatabase();
  await makeOrganisation(db);
  const budgets = new Budgets(db);
  const processes = await Promise.all(Array.from({ length: processCount }, () => beginProcess(db)));
  for (let round = 0; round < rounds; round++) {
    const scope: Scope = { kind: "run", id: `run_${round}` };
    const { id } = await budgets.set({
      organisation: "org_1",
      scope,
      currency: "USD",
      limitNano: 100n,
      period: "total",
      fresh: true,
    });
    const answers = await Promise.all(processes.map((process) => takeFrom(process, [id], 60n)));
    expect(
      answers
        .flat()
        .map(({ grantedNano }) => grantedNano)
        .toSorted(),
    ).toEqual([0n, 0n, 0n, 0n, 0n, 60n]);
  }
});

/** Takes, settles a part, gives a part back and keeps the rest, in random sizes and orders. */
async function work(process: Process, seed: number, ids: ReadonlyMap<string, string>): Promise<void> {
  const random = randomFrom(seed);
  const below = (most: number) => Math.floor(random() * most);
  const period = new Date(0).toISOString();
  for (let round = 0; round < rounds; round++) {
    const [project, agent] = [`prj_${1 + below(2)}`, `agt_${1 + below(3)}`];
    const parts = ["org_1", project, agent]
      .map((id) => ids.get(id)!)
      .toSorted(() => random() - 0.5)
      .map((budget) => ({
        budget,
        leastNano: 20n,
        needNano: 20n,
        wantNano: BigInt(20 + below(3) * 40),
        stuckYoungestMs: undefined,
      }));
    const granted = (await process.leases.take([{ ask: "ask", parts }])).filter(({ grantedNano }) => grantedNano > 0n);
    if (granted.length === 0) continue;
    const amountNano = BigInt(below(21));
    const shares = granted.map(({ budget, grantedNano }): GivenBack => ({ budget, period, amountNano: grantedNano }));
    const attempt = `att_${seed}_${round}`;
    const leases = shares.map(({ budget }) => ({ budget, period }));
    const settled: Settled = { attempt, amountNano, project, agent, leases };
    await process.post([settled]);
    const back = shares.map((share) => ({
      ...share,
      amountNano: (share.amountNano - amountNano) / BigInt(1 + below(2)),
    }));
    await process.leases.giveBack(back);
  }
}
