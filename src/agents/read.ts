// Reading agents, runs and steps. What other rooms own (usage of calls, outcomes, payloads, the currency) is asked of them, for a whole
// page at once. Cost and tokens of a run are the sum of its calls, so what is shown here adds up to what the calls say.
import { costsOfCalls, queuedMsOfRun, usageOfRuns } from "../gateway/index.ts";
import { currencyOf } from "../governance/index.ts";
import { outcomeCounts, outcomesOfRuns } from "../ledger/index.ts";
import { blobFields, getBlob, getBlobs, type Queryable } from "../store/index.ts";
import type {
  AgentDetailRecord,
  AgentRecord,
  EffectRecord,
  EffectState,
  RunDetailRecord,
  RunRecord,
  RunStatus,
  StepDetail,
  StepRecord,
  Viewer,
  WaitRecord,
} from "./record.ts";
import type { Published } from "./types.ts";

interface RunRow {
  [column: string]: unknown;
  id: string;
  organisation: string;
  agent: string;
  agent_name: string;
  version: number;
  status: RunStatus;
  error_code: string | null;
  error_message: string | null;
  wake_at: Date | null;
  next_step: number;
  created_at: Date;
  started_at: Date | null;
  ended_at: Date | null;
  input_ref: string;
  output_ref: string | null;
}

const runSelect = `select r.id, r.organisation, r.agent, a.name as agent_name, v.number as version, r.status, r.error_code,
    r.error_message, r.wake_at, r.next_step, r.created_at, r.started_at, r.ended_at, r.input_ref, r.output_ref
  from runs r join agents a on a.id = r.agent join agent_versions v on v.id = r.version`;

const runById = `${runSelect} where r.id = $1 and r.organisation = $2 and r.project = $3`;

/** A run, or undefined when the viewer's project has none of that id. */
export async function readRun(db: Queryable, viewer: Viewer, id: string): Promise<RunRecord | undefined> {
  const { rows } = await db.query<RunRow>(runById, [id, viewer.organisation, viewer.project]);
  return (await withOthers(db, viewer, rows))[0];
}

/** Newest first; one more than `limit`, so that the caller knows whether there is another page. */
export async function listRuns(
  db: Queryable,
  viewer: Viewer,
  query: { limit: number; cursor?: string; agent?: string; status?: string },
): Promise<RunRecord[]> {
  const { rows } = await db.query<RunRow>(
    `${runSelect} where r.organisation = $1 and r.project = $2 and ($3::text is null or r.id < $3)
       and ($4::text is null or a.name = $4) and ($5::text is null or r.status = $5)
     order by r.id desc limit $6`,
    [
      viewer.organisation,
      viewer.project,
      query.cursor ?? null,
      query.agent ?? null,
      query.status ?? null,
      query.limit + 1,
    ],
  );
  return withOthers(db, viewer, rows);
}

/** The runs with what other rooms know of them. */
async function withOthers(db: Queryable, { organisation }: Viewer, rows: RunRow[]): Promise<RunRecord[]> {
  if (rows.length === 0) return [];
  const ids = rows.map(({ id }) => id);
  const [usage, outcomes, currency] = await Promise.all([
    usageOfRuns(db, ids),
    outcomesOfRuns(db, ids),
    currencyOf(db, organisation),
  ]);
  return rows.map((row) => ({
    id: row.id,
    agent: { id: row.agent, name: row.agent_name },
    version: row.version,
    status: row.status,
    errorCode: row.error_code ?? undefined,
    errorMessage: row.error_message ?? undefined,
    wakesAt: row.status === "waiting" ? (row.wake_at ?? undefined) : undefined,
    steps: row.next_step,
    usage: usage(row.id),
    currency,
    outcome: outcomes.get(row.id),
    createdAt: row.created_at,
    startedAt: row.started_at ?? undefined,
    endedAt: row.ended_at ?? undefined,
  }));
}

/** A run with its payloads and steps. */
export async function readRunDetail(db: Queryable, viewer: Viewer, id: string): Promise<RunDetailRecord | undefined> {
  const { rows } = await db.query<RunRow>(runById, [id, viewer.organisation, viewer.project]);
  const row = rows[0];
  if (!row) return undefined;
  const [[run], payloads, stepList, queuedMs, waits] = await Promise.all([
    withOthers(db, viewer, [row]),
    getBlobs(db, viewer.project, [row.input_ref, row.output_ref]),
    readSteps(db, viewer.project, id),
    queuedMsOfRun(db, id),
    readWaits(db, id),
  ]);
  return { ...run!, input: payloads(row.input_ref), output: payloads(row.output_ref), stepList, queuedMs, waits };
}

interface WaitRow {
  [column: string]: unknown;
  step: number;
  code: string;
  message: string;
  times: number;
  waited_ms: number;
  began_at: Date;
  waiting: boolean;
  until: Date | null;
}

async function readWaits(db: Queryable, run: string): Promise<WaitRecord[]> {
  const { rows } = await db.query<WaitRow>(
    `select step, code, message, times, began_at, open_since is not null as waiting, until,
       (waited_ms + coalesce(extract(epoch from now() - open_since) * 1000, 0))::float8 as waited_ms
     from run_waits where run = $1 order by step, began_at, code`,
    [run],
  );
  return rows.map((row) => ({
    step: row.step,
    code: row.code,
    message: row.message,
    times: row.times,
    waitedMs: row.waited_ms,
    beganAt: row.began_at,
    isWaiting: row.waiting,
    until: row.until ?? undefined,
  }));
}

interface StepDetailRow {
  [column: string]: unknown;
  number: number;
  kind: StepRecord["kind"];
  name: string;
  status: StepRecord["status"];
  input_ref: string | null;
  output_ref: string | null;
  call: string | null;
  effect: string | null;
  tool: string | null;
  state: EffectState | null;
  attempts: number | null;
  attested_by: string | null;
  attested_note: string | null;
  attested_at: Date | null;
  error_message: string | null;
  started_at: Date;
  ended_at: Date;
}

/** Steps of a run of this project with payloads and cost; only the step `number`, when given. An effect under way is no step yet. */
export async function readSteps(db: Queryable, project: string, run: string, number?: number): Promise<StepDetail[]> {
  const { rows } = await db.query<StepDetailRow>(
    `select s.number, s.kind, s.name, s.status, s.input_ref, s.output_ref, s.call, s.effect, e.tool, e.state, e.attempts,
       t.author_name as attested_by, t.note as attested_note, t.created_at as attested_at, s.error_message, s.started_at, s.ended_at
     from steps s left join effects e on e.key = s.effect
       left join lateral (
         select author_name, note, created_at from attestations
         where effect = s.effect and happened order by created_at desc, id desc limit 1) t on true
     where s.run = $1 and ($2::int is null or s.number = $2) order by s.number`,
    [run, number ?? null],
  );
  const [payloads, costs] = await Promise.all([
    getBlobs(
      db,
      project,
      rows.flatMap((row) => [row.input_ref, row.output_ref]),
    ),
    costsOfCalls(
      db,
      rows.flatMap(({ call }) => call ?? []),
    ),
  ]);
  return rows.map((row) => ({
    number: row.number,
    kind: row.kind,
    name: row.name,
    status: row.status,
    inputRef: row.input_ref,
    outputRef: row.output_ref,
    input: payloads(row.input_ref),
    output: payloads(row.output_ref),
    ...(row.call !== null && { call: row.call }),
    ...(row.effect !== null && { effect: row.effect }),
    ...(row.error_message !== null && { errorMessage: row.error_message }),
    cost: (row.call === null ? undefined : costs.get(row.call)) ?? { priceNano: 0n, queuedMs: 0 },
    done: row.effect === null ? undefined : effectOf(row, row.effect),
    startedAt: row.started_at,
    endedAt: row.ended_at,
  }));
}

function effectOf(row: StepDetailRow, key: string): EffectRecord {
  return {
    key,
    tool: row.tool!,
    state: row.state!,
    attempts: row.attempts ?? 0,
    attested:
      row.attested_by === null ? undefined : { by: row.attested_by, note: row.attested_note!, at: row.attested_at! },
  };
}

interface AgentRow {
  [column: string]: unknown;
  id: string;
  name: string;
  created_at: Date;
  number: number;
  manifest_ref: string;
  total: bigint;
  running: bigint;
  waiting: bigint;
  failed: bigint;
}

const agentSelect = `select a.id, a.name, a.created_at, v.number, v.manifest_ref, r.total, r.running, r.waiting, r.failed
  from agents a
    join lateral (select number, manifest_ref from agent_versions where agent = a.id order by number desc limit 1) v on true
    cross join lateral (
      select count(*) as total, count(*) filter (where status in ('queued', 'running')) as running,
        count(*) filter (where status = 'waiting') as waiting, count(*) filter (where status = 'failed') as failed
      from runs where agent = a.id) r
  where a.organisation = $1 and a.project = $2`;

/** Newest first; one more than `limit`. */
export async function listAgents(
  db: Queryable,
  viewer: Viewer,
  query: { limit: number; cursor?: string },
): Promise<AgentRecord[]> {
  const { rows } = await db.query<AgentRow>(
    `${agentSelect} and ($3::text is null or a.id < $3) order by a.id desc limit $4`,
    [viewer.organisation, viewer.project, query.cursor ?? null, query.limit + 1],
  );
  return agentsOf(db, viewer.project, rows);
}

/** By name or id. */
export async function readAgent(db: Queryable, viewer: Viewer, name: string): Promise<AgentDetailRecord | undefined> {
  const { rows } = await db.query<AgentRow>(`${agentSelect} and (a.name = $3 or a.id = $3)`, [
    viewer.organisation,
    viewer.project,
    name,
  ]);
  const row = rows[0];
  if (!row) return undefined;
  const published = (await getBlob(db, viewer.project, row.manifest_ref)) as Published;
  const versions = await db.query<{ number: number; id: string; created_at: Date }>(
    "select number, id, created_at from agent_versions where agent = $1 order by number desc",
    [row.id],
  );
  const [agent] = await agentsOf(db, viewer.project, [row]);
  return {
    ...agent!,
    manifest: published.manifest,
    versions: versions.rows.map(({ number, id, created_at: createdAt }) => ({ number, id, createdAt })),
  };
}

async function agentsOf(db: Queryable, project: string, rows: AgentRow[]): Promise<AgentRecord[]> {
  const refs = rows.map((row) => row.manifest_ref);
  const ids = rows.map(({ id }) => id);
  const [models, outcomes] = await Promise.all([
    blobFields(db, project, refs, ["manifest", "model"]),
    outcomeCounts(db, ids),
  ]);
  return rows.map((row) => ({
    id: row.id,
    name: row.name,
    version: row.number,
    // A manifest that an older version published with a NUL character in it cannot be looked into, and must not hide the others.
    model: models.get(row.manifest_ref) ?? "",
    createdAt: row.created_at,
    runs: {
      total: Number(row.total),
      running: Number(row.running),
      waiting: Number(row.waiting),
      failed: Number(row.failed),
    },
    outcomes: outcomes.get(row.id) ?? { passed: 0, failed: 0 },
  }));
}
