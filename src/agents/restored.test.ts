// Unfinished runs of a restored database wait for a person's word, and processes of its other life can write nothing to them.
import { expect, test } from "vitest";
import { asOwner, tamper, testDatabase } from "../store/testing.ts";
import { Backlog } from "./backlog.ts";
import { Runs } from "./runs.ts";
import { resumeRestoredRuns, takeRestoredRuns } from "./restored.ts";

async function world() {
  const db = await testDatabase();
  await tamper(
    db,
    `insert into organisations (id, name, currency) values ('org', 'one', 'USD');
     insert into projects (id, organisation, name) values ('prj', 'org', 'one');
     insert into agents (id, organisation, project, name) values ('agt', 'org', 'prj', 'a');
     insert into agent_versions (id, agent, number, manifest_ref) values ('ver', 'agt', 1, 'ref')`,
  );
  return db;
}

const states = `insert into runs (id, organisation, project, agent, version, input_ref, status, wake_at, owner, fence, error_code) values
  ('queued', 'org', 'prj', 'agt', 'ver', 'in', 'queued', null, null, 0, null),
  ('running', 'org', 'prj', 'agt', 'ver', 'in', 'running', null, 77, 3, null),
  ('later', 'org', 'prj', 'agt', 'ver', 'in', 'waiting', now() + interval '1 hour', null, 2, 'engine_unreachable'),
  ('asks', 'org', 'prj', 'agt', 'ver', 'in', 'waiting', null, null, 1, 'effect_unknown'),
  ('done', 'org', 'prj', 'agt', 'ver', 'in', 'completed', null, null, 1, null)`;

test("they are paused, each with its reason, and go on when they are told to", async () => {
  await using db = await world();
  await db.query(states);
  await db.query(
    "insert into run_waits (run, step, code, message, open_since) values ('later', 0, 'engine_unreachable', '', now())",
  );
  await using owner = asOwner(db);
  expect(await takeRestoredRuns(owner, { resume: false })).toBe(3);
  const stateOf = async () =>
    (
      await db.query<{ run: string }>(
        "select id || ' ' || status || ' ' || coalesce(error_code, '-') as run from runs order by id",
      )
    ).rows.map(({ run }) => run);
  expect(await stateOf()).toEqual([
    "asks waiting effect_unknown",
    "done completed -",
    "later waiting paused_by_restore",
    "queued waiting paused_by_restore",
    "running waiting paused_by_restore",
  ]);
  const { rows: waits } = await db.query<{ wait: string }>(
    "select run || ' ' || code || ' ' || (open_since is not null) as wait from run_waits order by 1",
  );
  expect(waits.map(({ wait }) => wait)).toEqual([
    "later engine_unreachable false",
    "later paused_by_restore true",
    "queued paused_by_restore true",
    "running paused_by_restore true",
  ]);
  const runs = new Runs(db, 1);
  expect(await new Backlog(db).unfinished()).toEqual([]);
  expect(await runs.claim("queued")).toEqual({ waiting: true, wakeInMs: undefined });
  expect(await resumeRestoredRuns(db, "asks")).toEqual([]);
  expect(await resumeRestoredRuns(db, "later")).toEqual(["later"]);
  expect((await resumeRestoredRuns(db, undefined)).toSorted()).toEqual(["queued", "running"]);
  expect((await new Backlog(db).unfinished()).map(({ id }) => id)).toEqual(["later", "queued", "running"]);
});

test("with resume they go on by themselves", async () => {
  await using db = await world();
  await db.query(states);
  await using owner = asOwner(db);
  expect(await takeRestoredRuns(owner, { resume: true })).toBe(0);
  expect((await new Backlog(db).unfinished()).map(({ id }) => id)).toEqual(["later", "queued", "running"]);
});

test("a process of before holds a fence that no claim here reaches", async () => {
  await using db = await world();
  await db.query(states);
  await using owner = asOwner(db);
  await takeRestoredRuns(owner, { resume: true });
  const { rows } = await db.query<{ owner: number | null; fence: bigint }>(
    "select owner, fence from runs where id = 'running'",
  );
  expect(rows).toEqual([{ owner: null, fence: 1_000_000_003n }]);
  const runs = new Runs(db, 1);
  // Before the restore it was activated four times more.
  await expect(runs.end({ id: "running", fence: 7n }, { status: "failed", code: "x", message: "late" })).resolves.toBe(
    false,
  );
});
