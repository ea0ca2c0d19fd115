// Runs after a restore. What happened after the backup is not in it: a run may have ended since, and its effects may have happened. So
// every unfinished run waits for a person's word, as one does whose effect has an unknown end, and goes on only when that is given.
import type { Database, Queryable } from "../store/index.ts";

/** Stands on a run that a restore has paused. */
const pausedByRestore = "paused_by_restore";
const message =
  "The instance was restored from a backup. What this run did after the backup is not known here. Look, then let it go on: npx lineshaft runs resume ID, or all of them: npx lineshaft runs resume --all";

/** Fences of a restored run are beyond any that a process of its other life can hold: more than a run has activations. */
const fenceStep = 1_000_000_000;

/**
 * Takes every unfinished run from the processes of before and, unless `resume`, pauses those that would go on by themselves; answers how
 * many are paused. Runs that wait for a person already keep their reason. To be called as the tables' owner, in the transaction that
 * restores them.
 */
export async function takeRestoredRuns(client: Queryable, { resume }: { resume: boolean }): Promise<number> {
  await client.query(
    `update runs set owner = null, fence = fence + ${fenceStep} where status in ('queued', 'running', 'waiting')`,
  );
  if (resume) return 0;
  const { rowCount } = await client.query(
    `with paused as (
       update runs set status = 'waiting', wake_at = null, error_code = $1, error_message = $2, updated_at = now()
       where status in ('queued', 'running') or (status = 'waiting' and wake_at is not null) returning id, next_step
     ), ended as (
       update run_waits set open_since = null, until = null,
         waited_ms = waited_ms + (extract(epoch from now() - open_since) * 1000)::bigint
       where open_since is not null and run in (select id from paused) and code <> $1
     )
     insert into run_waits (run, step, code, message, open_since) select id, next_step, $1, $2, now() from paused
     on conflict (run, step, code) do update set times = run_waits.times + 1, open_since = excluded.open_since`,
    [pausedByRestore, message],
  );
  return rowCount ?? 0;
}

/** Lets paused runs go on, one or all; answers their ids. The time of the pause does not count against a run's limit. */
export async function resumeRestoredRuns(db: Database, run: string | undefined): Promise<string[]> {
  const { rows } = await db.query<{ id: string }>(
    `update runs set status = 'queued', retries = 0, error_code = null, error_message = null, updated_at = now(),
       paused_ms = paused_ms + (extract(epoch from now() - updated_at) * 1000)::bigint
     where status = 'waiting' and wake_at is null and error_code = $1 and ($2::text is null or id = $2) returning id`,
    [pausedByRestore, run ?? null],
  );
  return rows.map(({ id }) => id);
}
