// The rows of runs and steps: what a claim answers, how a step is written, and the SQL that several statements share.
import { processGone, storable, type Queryable } from "../store/index.ts";
import { limits } from "./limits.ts";
import type { StepRecord } from "./record.ts";

/** An activation's hold on a run: what it needs to work, and the fence that it writes with. */
export interface ClaimedRun {
  id: string;
  organisation: string;
  project: string;
  currency: string;
  agent: string;
  version: string;
  manifestRef: string;
  key: string | null;
  inputRef: string;
  nextStep: number;
  retries: number;
  startedAt: Date;
  /** Time that it waited for a person, or for its turn: not counted against its limit. */
  pausedMs: number;
  fence: bigint;
}

export interface ClaimRow {
  [column: string]: unknown;
  id: string;
  organisation: string;
  project: string;
  agent: string;
  version: string;
  manifest_ref: string;
  key: string | null;
  input_ref: string;
  next_step: number;
  retries: number;
  started_at: Date;
  paused_ms: bigint;
  fence: bigint;
}

/** True in SQL when the process that owns a run has gone: the run is free at once. */
export const ownerGone = processGone("runs.owner");

/** Closes what runs waited for, and adds the time. */
export const closeWaits = `update run_waits set open_since = null, until = null,
           waited_ms = waited_ms + (extract(epoch from now() - open_since) * 1000)::bigint`;

/** Messages repeat what models, tools and engines said: they are bounded and storable from here on. */
export const messageOf = (text: string): string => storable(text, limits.messageCharacters);

/** Writes a step in its transaction. */
export async function insertStep(client: Queryable, run: string, step: StepRecord): Promise<void> {
  await client.query(
    `insert into steps (run, number, kind, name, status, input_ref, output_ref, call, effect, error_message, started_at, ended_at)
     values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, coalesce($12, now()))`,
    [
      // A model chooses the name of the tool that it calls, also of one that does not exist.
      run,
      step.number,
      step.kind,
      storable(step.name, limits.nameCharacters),
      step.status,
      step.inputRef,
      step.outputRef,
      step.call ?? null,
      step.effect ?? null,
      step.errorMessage === undefined ? null : messageOf(step.errorMessage),
      step.startedAt,
      step.endedAt ?? null,
    ],
  );
}

/** What a claim's row says, without the currency, which is the organisation's. */
export function claimedOf(row: ClaimRow): Omit<ClaimedRun, "currency"> {
  return {
    id: row.id,
    organisation: row.organisation,
    project: row.project,
    agent: row.agent,
    version: row.version,
    manifestRef: row.manifest_ref,
    key: row.key,
    inputRef: row.input_ref,
    nextStep: row.next_step,
    retries: row.retries,
    startedAt: row.started_at,
    pausedMs: Number(row.paused_ms),
    fence: row.fence,
  };
}
