// Runs as rows: the truth about what each has done and what it waits for. Everything that two activations could do to one run at
// once is one statement here, guarded by the run's fence.
//
//   queued ─▶ running ─┬─▶ completed
//               ▲ │    ├─▶ failed
//               │ ▼    └─▶ stopped (by a person, from any state that is not an end)
//             waiting (until wake_at; without it, until a person decides)
import type { PoolClient } from "pg";
import { usageOfRuns } from "../gateway/index.ts";
import { currencyOf } from "../governance/index.ts";
import { endRunBudget } from "../ledger/index.ts";
import { getBlob, getBlobs, newId, putBlob, type Database } from "../store/index.ts";
import { RunBusyError } from "./errors.ts";
import type { RunStatus, StepRecord } from "./record.ts";
import { claimedOf, closeWaits, insertStep, messageOf, ownerGone, type ClaimedRun, type ClaimRow } from "./runRows.ts";
import type { Published, StepResult } from "./types.ts";

const endings: readonly RunStatus[] = ["completed", "failed", "stopped"];

type ClaimResult =
  | { claimed: ClaimedRun }
  | { ended: true }
  /** Waits; `wakeInMs` is undefined when a person must decide. */
  | { waiting: true; wakeInMs: number | undefined };

interface NewRun {
  organisation: string;
  project: string;
  agent: string;
  version: string;
  key: string;
  idempotencyKey: string | undefined;
  input: unknown;
}

export class Runs {
  readonly #db: Database;
  /** The process that works on the runs which are claimed here: their column `owner`. */
  readonly #owner: number;

  constructor(db: Database, processId: number) {
    this.#db = db;
    this.#owner = processId;
  }

  /** Makes a run, or answers the one that was made with the same idempotency key (`sameRequest`: for the same work). */
  async create(run: NewRun): Promise<{ id: string; created: boolean; sameRequest: boolean }> {
    const inputRef = await putBlob(this.#db, run.project, run.input);
    const { rows } = await this.#db.query<{ id: string }>(
      `insert into runs (id, organisation, project, agent, version, key, idempotency_key, input_ref, status)
       values ($1, $2, $3, $4, $5, $6, $7, $8, 'queued') on conflict (project, idempotency_key) do nothing returning id`,
      [
        newId("run"),
        run.organisation,
        run.project,
        run.agent,
        run.version,
        run.key,
        run.idempotencyKey ?? null,
        inputRef,
      ],
    );
    if (rows[0]) return { id: rows[0].id, created: true, sameRequest: true };
    const earlier = await this.#db.query<{ id: string; agent: string; input_ref: string }>(
      "select id, agent, input_ref from runs where project = $1 and idempotency_key = $2",
      [run.project, run.idempotencyKey],
    );
    const first = earlier.rows[0]!;
    return { id: first.id, created: false, sameRequest: first.agent === run.agent && first.input_ref === inputRef };
  }

  /** Takes a run for one activation. Throws RunBusyError while another process that lives works on it. */
  async claim(id: string): Promise<ClaimResult> {
    const { rows } = await this.#db.query<ClaimRow>(
      `with claimed as (
       update runs set fence = fence + 1, owner = $2, status = 'running', wake_at = null, error_code = null,
         error_message = null, started_at = coalesce(runs.started_at, now()), updated_at = now(),
         paused_ms = paused_ms + ${turnWaitedMs}
       from agent_versions v
       where runs.id = $1 and v.id = runs.version
         and (status in ('queued', 'running') or (status = 'waiting' and wake_at <= now()))
         and (owner is null or owner = $2 or ${ownerGone})
       returning runs.id, runs.organisation, runs.project, runs.agent, runs.version, v.manifest_ref, runs.key, runs.input_ref,
         runs.next_step, runs.retries, runs.started_at, runs.paused_ms, runs.fence
       ), ended as (${endWaits} and exists (select from claimed))
       select * from claimed`,
      [id, this.#owner],
    );
    if (rows[0]) {
      const currency = await currencyOf(this.#db, rows[0].organisation);
      return { claimed: { ...claimedOf(rows[0]), currency } };
    }
    const { rows: states } = await this.#db.query<{ status: RunStatus; wake_in_ms: number | null }>(
      "select status, (extract(epoch from wake_at - now()) * 1000)::float8 as wake_in_ms from runs where id = $1",
      [id],
    );
    const state = states[0];
    if (!state || endings.includes(state.status)) return { ended: true };
    if (state.status !== "waiting") throw new RunBusyError(id);
    return { waiting: true, wakeInMs: state.wake_in_ms === null ? undefined : Math.max(0, state.wake_in_ms) };
  }

  /** Steps of a run with their outputs, in order. */
  async steps(run: string, project: string): Promise<StepResult[]> {
    const { rows } = await this.#db.query<{
      number: number;
      kind: StepResult["kind"];
      name: string;
      status: "completed" | "failed";
      error_message: string | null;
      output_ref: string | null;
    }>("select number, kind, name, status, error_message, output_ref from steps where run = $1 order by number", [run]);
    const refs = rows.map((row) => row.output_ref);
    const payloads = await getBlobs(this.#db, project, refs);
    return rows.map(({ output_ref, error_message, ...step }) => ({
      ...step,
      output: payloads(output_ref),
      ...(error_message !== null && { errorMessage: error_message }),
    }));
  }

  async published(run: ClaimedRun): Promise<Published> {
    const published = (await getBlob(this.#db, run.project, run.manifestRef)) as Published;
    // Versions that were published before there were kinds of tools.
    for (const tool of published.tools) tool.kind ??= "mcp";
    return published;
  }

  input(run: ClaimedRun): Promise<unknown> {
    return getBlob(this.#db, run.project, run.inputRef);
  }

  async tokensUsed(run: string): Promise<number> {
    const { promptTokens, outputTokens } = (await usageOfRuns(this.#db, [run]))(run);
    return promptTokens + outputTokens;
  }

  /**
   * Writes a step, and with it whatever belongs to it (`along`: its effect), in one transaction; the run is free for the next
   * activation afterwards. Throws RunBusyError, having written nothing, when the fence is not the newest any more.
   */
  async commitStep(
    run: ClaimedRun,
    step: StepRecord,
    options: { along?: (client: PoolClient) => Promise<void>; waitUntil?: Date } = {},
  ): Promise<void> {
    await this.#db.transaction(async (client) => {
      const { rowCount } = await client.query(
        `update runs set next_step = $4, retries = 0, owner = null, updated_at = now(),
           status = case when $5::timestamptz is null then status else 'waiting' end, wake_at = $5
         where id = $1 and fence = $2 and next_step = $3 and status = 'running'`,
        [run.id, run.fence, step.number, step.number + 1, options.waitUntil ?? null],
      );
      if (rowCount !== 1) throw new RunBusyError(run.id);
      await insertStep(client, run.id, step);
      await options.along?.(client);
    });
  }

  /** Ends a run; with `step`, its last step is written in the same transaction. False when it had ended already. */
  async end(
    run: Pick<ClaimedRun, "id" | "fence">,
    ending:
      | { status: "completed"; outputRef: string }
      | {
          status: "failed";
          code: string;
          message: string;
          step?: StepRecord;
          along?: (client: PoolClient) => Promise<void>;
        },
  ): Promise<boolean> {
    return this.#db.transaction(async (client) => {
      const failed = ending.status === "failed" ? ending : undefined;
      const { rowCount } = await client.query(
        `update runs set status = $3, output_ref = $4, error_code = $5, error_message = $6, owner = null, wake_at = null,
           next_step = next_step + $7, ended_at = now(), updated_at = now()
         where id = $1 and fence = $2 and status = 'running'`,
        [
          run.id,
          run.fence,
          ending.status,
          ending.status === "completed" ? ending.outputRef : null,
          failed?.code ?? null,
          failed ? messageOf(failed.message) : null,
          failed?.step ? 1 : 0,
        ],
      );
      if (rowCount !== 1) return false;
      if (failed?.step) await insertStep(client, run.id, failed.step);
      await failed?.along?.(client);
      await client.query(leaveEffects, [run.id]);
      await endRunBudget(client, run.id);
      return true;
    });
  }

  /**
   * Lets a run wait: until a time after a failure that may pass, or (`wakeInMs` undefined) for a person. The reason is kept with
   * the run (run_waits), because the run's own error is forgotten when it goes on.
   */
  async wait(
    run: Pick<ClaimedRun, "id" | "fence">,
    why: { code: string; message: string; wakeInMs: number | undefined },
  ): Promise<boolean> {
    const { rowCount } = await this.#db.query(
      `with waiting as (
         update runs set status = 'waiting', retries = retries + 1, owner = null, error_code = $3, error_message = $4,
           wake_at = now() + $5::float8 * interval '1 millisecond', updated_at = now()
         where id = $1 and fence = $2 and status = 'running' returning id, next_step, wake_at)
       insert into run_waits (run, step, code, message, open_since, until)
         select id, next_step, $3, $4, now(), wake_at from waiting
       on conflict (run, step, code) do update set times = run_waits.times + 1, message = excluded.message,
         open_since = excluded.open_since, until = excluded.until`,
      [run.id, run.fence, why.code, messageOf(why.message), why.wakeInMs ?? null],
    );
    return rowCount === 1;
  }

  /** Adds time in which the claimed run waited for its turn, which does not count against its limit. */
  async pause(run: ClaimedRun, waitedMs: number): Promise<void> {
    run.pausedMs += waitedMs;
    await this.#db.query("update runs set paused_ms = paused_ms + $3 where id = $1 and fence = $2", [
      run.id,
      run.fence,
      waitedMs,
    ]);
  }

  /** Frees a run and changes nothing else: the process that held it ends. */
  async release(run: Pick<ClaimedRun, "id" | "fence">): Promise<void> {
    await this.#db.query("update runs set owner = null where id = $1 and fence = $2", [run.id, run.fence]);
  }

  /** Ends a run because a person stops it. True when it had not ended before. */
  async stop(organisation: string, id: string, by: string): Promise<boolean> {
    return this.#db.transaction(async (client) => {
      const { rowCount } = await client.query(
        `with stopped as (
         update runs set status = 'stopped', error_code = 'stopped', error_message = $3, fence = fence + 1, owner = null,
           wake_at = null, ended_at = now(), updated_at = now()
         where id = $1 and organisation = $2 and status in ('queued', 'running', 'waiting') returning id
       ), ended as (${endWaits} and exists (select from stopped)
       ), left_over as (${leaveEffects} and exists (select from stopped))
       select id from stopped`,
        [id, organisation, `Stopped with key ${by}.`],
      );
      if (rowCount !== 1) return false;
      await endRunBudget(client, id);
      return true;
    });
  }

  /** A run that waited for a person goes on. */
  async resume(id: string): Promise<boolean> {
    const { rowCount } = await this.#db.query(
      `update runs set status = 'queued', retries = 0, error_code = null, error_message = null, updated_at = now(),
         paused_ms = paused_ms + (extract(epoch from now() - updated_at) * 1000)::bigint
       where id = $1 and status = 'waiting' and wake_at is null`,
      [id],
    );
    return rowCount === 1;
  }
}

/** How long a run that had begun was free and ready when it is claimed: time in which it waited for its turn. */
const turnWaitedMs = `case when runs.owner is null and runs.started_at is not null
           then greatest(0, extract(epoch from now() - greatest(runs.updated_at, runs.wake_at)) * 1000)::bigint else 0 end`;

/** Of the run $1, which is going on or has ended. */
const endWaits = `${closeWaits} where run = $1 and open_since is not null`;

/** Effects of the run $1, which has ended, that may have happened: it does not ask for them any more, so their end is unknown. */
const leaveEffects = `update effects set state = 'unknown', updated_at = now() where run = $1 and state = 'claimed'`;
