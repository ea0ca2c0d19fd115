// Claims and fences: two activations never write the same step, in a real database with the sessions of two processes.
import { afterAll, beforeAll, expect, test } from "vitest";
import { newId, processGone, putBlob, Session, type Queryable } from "../store/index.ts";
import { testDatabase } from "../store/testing.ts";
import { RunBusyError } from "./errors.ts";
import { readRunDetail } from "./read.ts";
import type { StepRecord } from "./record.ts";
import { Backlog } from "./backlog.ts";
import type { ClaimedRun } from "./runRows.ts";
import { Runs } from "./runs.ts";
import { makeTenant, type Tenant } from "./testing/tenant.ts";

let db: Awaited<ReturnType<typeof testDatabase>>;
let tenant: Tenant;
let [here, there] = [{} as Session, {} as Session];
beforeAll(async () => {
  db = await testDatabase();
  tenant = await makeTenant(db);
  [here, there] = await Promise.all([Session.open({ url: db.url }), Session.open({ url: db.url })]);
});
afterAll(async () => {
  await Promise.all([here.close(), there.close()]);
  await db[Symbol.asyncDispose]();
});

async function newRun(): Promise<string> {
  const [agent, version] = [newId("agt"), newId("agv")];
  const ref = await putBlob(db, tenant.project, {});
  await db.query("insert into agents (id, organisation, project, name) values ($1, $2, $3, $1)", [
    ...[agent, tenant.organisation, tenant.project],
  ]);
  await db.query("insert into agent_versions (id, agent, number, manifest_ref) values ($1, $2, 1, $3)", [
    version,
    agent,
    ref,
  ]);
  const run = { ...tenant, agent, version, idempotencyKey: undefined, input: {} };
  return (await new Runs(db, here.processId).create(run)).id;
}

const step = (number: number): StepRecord => ({
  number,
  kind: "model",
  name: "s",
  status: "completed",
  inputRef: null,
  outputRef: null,
  startedAt: new Date(),
});
const claimed = async (runs: Runs, id: string): Promise<ClaimedRun> => {
  const claim = await runs.claim(id);
  if (!("claimed" in claim)) throw new Error(`not claimed: ${JSON.stringify(claim)}`);
  return claim.claimed;
};

test("while one process works on a run, another that asks is told to come back", async () => {
  const id = await newRun();
  const run = await claimed(new Runs(db, here.processId), id);
  await expect(new Runs(db, there.processId).claim(id)).rejects.toBeInstanceOf(RunBusyError);
  await new Runs(db, here.processId).commitStep(run, step(0));
  expect((await claimed(new Runs(db, there.processId), id)).nextStep).toBe(1);
});

test("a process that is gone holds nothing, from that moment on", async () => {
  const id = await newRun();
  const dying = await Session.open({ url: db.url });
  const run = await claimed(new Runs(db, dying.processId), id);
  await expect(new Runs(db, here.processId).claim(id)).rejects.toBeInstanceOf(RunBusyError);
  await dying.close();
  // The server notices the end of a session in its own time, and frees the lock then.
  const isGone = async () =>
    (await db.query<{ gone: boolean }>(`select ${processGone("$1")} as gone`, [dying.processId])).rows[0]!.gone;
  await expect.poll(isGone).toBe(true);
  const taken = await claimed(new Runs(db, here.processId), id);
  expect(taken.fence).toBe(run.fence + 1n);
  // Should it not have been dead after all: what it writes is refused, and nothing of it stays.
  await expect(new Runs(db, dying.processId).commitStep(run, step(0))).rejects.toBeInstanceOf(RunBusyError);
  expect(await new Runs(db, dying.processId).end(run, { status: "failed", code: "x", message: "x" })).toBe(false);
  await new Runs(db, here.processId).commitStep(taken, step(0));
  expect(await new Runs(db, here.processId).steps(id, tenant.project)).toHaveLength(1);
});

test("what belongs to a step is written with it or not at all", async () => {
  const id = await newRun();
  const runs = new Runs(db, here.processId);
  const run = await claimed(runs, id);
  const along = async () => {
    throw new Error("the effect could not be written");
  };
  await expect(runs.commitStep(run, step(0), { along })).rejects.toThrow("the effect");
  expect(await runs.steps(id, tenant.project)).toHaveLength(0);
});

test("a stop takes the run away from the process that works on it", async () => {
  const id = await newRun();
  const runs = new Runs(db, here.processId);
  const run = await claimed(runs, id);
  expect(await runs.stop(tenant.organisation, id, tenant.key)).toBe(true);
  expect(await runs.stop(tenant.organisation, id, tenant.key)).toBe(false);
  await expect(runs.commitStep(run, step(0))).rejects.toBeInstanceOf(RunBusyError);
  expect(await runs.claim(id)).toEqual({ ended: true });
});

test("a run that ends leaves no effect claimed: nothing would ask for it later, so a person is told that its end is unknown", async () => {
  const runs = new Runs(db, here.processId);
  const [stopped, failed, done] = [await newRun(), await newRun(), await newRun()];
  const claims = new Map<string, ClaimedRun>();
  for (const id of [stopped, failed, done]) {
    claims.set(id, await claimed(runs, id));
    await db.query(
      `insert into effects (key, organisation, project, run, step, ordinal, tool, arguments_ref, state)
       values ($1, $2, $3, $1, 0, 0, 'act', 'x', 'claimed')`,
      [id, tenant.organisation, tenant.project],
    );
  }
  await runs.stop(tenant.organisation, stopped, tenant.key);
  const failure = { status: "failed", code: "limit_seconds", message: "late" } as const;
  await runs.end(claims.get(failed)!, failure);
  const along = async (client: Queryable) => {
    await client.query("update effects set state = 'done', result_ref = 'x' where key = $1", [done]);
  };
  await runs.end(claims.get(done)!, { ...failure, along });
  const { rows } = await db.query<{ key: string; state: string }>(
    "select key, state from effects where key = any($1)",
    [[stopped, failed, done]],
  );
  expect(Object.fromEntries(rows.map(({ key, state }) => [key, state]))).toEqual({
    [stopped]: "unknown",
    [failed]: "unknown",
    [done]: "done",
  });
});

test("a waiting run is not claimed before its time; one that waits for a person not at all", async () => {
  const id = await newRun();
  const runs = new Runs(db, here.processId);
  await runs.wait(await claimed(runs, id), { code: "busy", message: "later", wakeInMs: 60_000 });
  expect(await runs.claim(id)).toMatchObject({ waiting: true, wakeInMs: expect.any(Number) });
  expect((await new Backlog(db).unfinished()).find((run) => run.id === id)!.wakeInMs).toBeGreaterThan(50_000);
  await db.query("update runs set wake_at = now() where id = $1", [id]);
  await runs.wait(await claimed(runs, id), { code: "effect_unknown", message: "look", wakeInMs: undefined });
  expect(await runs.claim(id)).toEqual({ waiting: true, wakeInMs: undefined });
  expect((await new Backlog(db).unfinished()).map((run) => run.id)).not.toContain(id);
  expect(await runs.resume(id)).toBe(true);
  expect((await claimed(runs, id)).retries).toBe(0);
});

test("time that a run waits for its turn is not counted against its limit, before a step or in it", async () => {
  const id = await newRun();
  const runs = new Runs(db, here.processId);
  // A house that was busy: nothing happened to the run for ten minutes, or since it was to wake.
  const idle = "update runs set updated_at = now() - interval '10 minutes' where id = $1";
  await db.query(idle, [id]);
  // One that has not begun has no time yet.
  const first = await claimed(runs, id);
  expect(first.pausedMs).toBe(0);
  await runs.commitStep(first, step(0));
  await db.query(idle, [id]);
  const second = await claimed(runs, id);
  expect(Math.round(second.pausedMs / 60_000)).toBe(10);
  await runs.pause(second, 300_000);
  expect(Math.round(second.pausedMs / 60_000)).toBe(15);
  await runs.commitStep(second, step(1), { waitUntil: new Date() });
  // Its own wait is its time; only what came after is not.
  await db.query(idle, [id]);
  await db.query("update runs set wake_at = now() - interval '2 minutes' where id = $1", [id]);
  const third = await claimed(runs, id);
  expect(Math.round(third.pausedMs / 60_000)).toBe(17);
  // Time of a step that was not finished is the run's own.
  await db.query(idle, [id]);
  expect(Math.round((await claimed(runs, id)).pausedMs / 60_000)).toBe(17);
});

test("why a run waited is kept after it went on: one row for a step and a reason, however often", async () => {
  const id = await newRun();
  const runs = new Runs(db, here.processId);
  const waits = async () => (await readRunDetail(db, tenant, id))!.waits;
  const later = { code: "tool_unreachable", message: "The server of tool order is away.", wakeInMs: 60_000 };
  const wake = (ms: number) =>
    db.query(
      `with due as (update runs set wake_at = now() where id = $1)
       update run_waits set open_since = now() - $2::float8 * interval '1 millisecond' where run = $1 and open_since is not null`,
      [id, ms],
    );
  await runs.wait(await claimed(runs, id), later);
  expect(await waits()).toMatchObject([{ step: 0, code: "tool_unreachable", times: 1, isWaiting: true }]);
  expect((await waits())[0]!.until).toBeDefined();
  await wake(2_000);
  await runs.wait(await claimed(runs, id), { ...later, message: "Still away." });
  await wake(3_000);
  await runs.wait(await claimed(runs, id), { code: "queue_full", message: "Too many.", wakeInMs: 60_000 });
  await wake(1_000);
  await runs.commitStep(await claimed(runs, id), step(0));
  const [away, full, ...others] = await waits();
  expect(others).toEqual([]);
  expect(away).toMatchObject({ times: 2, message: "Still away.", isWaiting: false, until: undefined });
  expect(full).toMatchObject({ code: "queue_full", times: 1, isWaiting: false });
  expect(away!.waitedMs).toBeGreaterThanOrEqual(5_000);
  expect(full!.waitedMs).toBeGreaterThanOrEqual(1_000);
  // A run that is stopped waits for nothing any more.
  await runs.wait(await claimed(runs, id), { code: "effect_unknown", message: "look", wakeInMs: undefined });
  expect((await waits())[2]).toMatchObject({ step: 1, isWaiting: true, until: undefined });
  await runs.stop(tenant.organisation, id, tenant.key);
  expect((await waits())[2]).toMatchObject({ isWaiting: false });
});

test("a copied database gives up every unfinished run, and what works on one finds that out", async () => {
  const runs = new Runs(db, here.processId);
  const [worked, waiting, ended] = [await newRun(), await newRun(), await newRun()];
  const run = await claimed(runs, worked);
  await runs.wait(await claimed(runs, waiting), { code: "x", message: "x", wakeInMs: undefined });
  await runs.stop(tenant.organisation, ended, "key_1");
  await new Backlog(db).disown();
  expect(await new Backlog(db).unfinished()).toEqual([]);
  await expect(runs.commitStep(run, step(0))).rejects.toBeInstanceOf(RunBusyError);
  const { rows } = await db.query<{ id: string; status: string; error_code: string }>(
    "select id, status, error_code from runs where id = any($1)",
    [[worked, waiting, ended]],
  );
  expect(Object.fromEntries(rows.map(({ id, error_code }) => [id, error_code]))).toEqual({
    [worked]: "home_copied",
    [waiting]: "home_copied",
    [ended]: "stopped",
  });
  // What the copy's runs waited for is over with them.
  const detail = await readRunDetail(db, tenant, waiting);
  expect(detail!.waits).toMatchObject([{ code: "x", isWaiting: false, until: undefined }]);
});

/** Gives a run a budget, and answers when it was archived. */
async function budgeted(id: string): Promise<() => Promise<Date | null>> {
  await db.query("select set_budget($1, $2, 'run', $3, 'USD', 1000, 'total', true)", [
    newId("bud"),
    tenant.organisation,
    id,
  ]);
  return async () => {
    const { rows } = await db.query<{ ended_at: Date | null }>("select ended_at from budgets where scope = $1", [
      `run:${id}`,
    ]);
    return rows[0]!.ended_at;
  };
}

test("a run's budget is archived in the transaction that ends the run", async () => {
  const runs = new Runs(db, here.processId);
  const [ended, stopped, failing] = [await newRun(), await newRun(), await newRun()];
  const [ofEnded, ofStopped, ofFailing] = [await budgeted(ended), await budgeted(stopped), await budgeted(failing)];
  expect(await ofEnded()).toBeNull();
  await runs.end(await claimed(runs, ended), { status: "failed", code: "x", message: "x" });
  expect(await ofEnded()).not.toBeNull();
  await runs.stop(tenant.organisation, stopped, "key");
  expect(await ofStopped()).not.toBeNull();
  const along = () => Promise.reject(new Error("the transaction is rolled back"));
  const end = runs.end(await claimed(runs, failing), { status: "failed", code: "x", message: "x", along });
  await expect(end).rejects.toThrow("rolled back");
  expect(await ofFailing()).toBeNull();
});
