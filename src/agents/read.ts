// Agents, runs and steps as the API shows them (contract/), read in one statement each. Cost and tokens of a run are
// the sum of its calls, so what is shown here adds up to what the calls say.
import type {
  AgentDetail,
  AgentSummary,
  OutcomeResource,
  Run,
  RunDetail,
  RunWait,
  StepResource,
} from "../contract/index.ts";
import { getBlob, type Queryable } from "../store/index.ts";
import type { Published } from "./types.ts";

interface RunRow {
  [column: string]: unknown;
  id: string;
  agent: string;
  version: number;
  status: Run["status"];
  error_code: string | null;
  error_message: string | null;
  wake_at: Date | null;
  next_step: number;
  prompt_tokens: bigint;
  cached_tokens: bigint;
  output_tokens: bigint;
  cost: bigint;
  currency: string;
  outcome: string | null;
  contract: string;
  verifier: string;
  verdict: "passed" | "failed";
  reason: string;
  attested: boolean;
  price_nano: bigint;
  outcome_at: Date;
  created_at: Date;
  started_at: Date | null;
  ended_at: Date | null;
}

const runSelect = `select r.id, a.name as agent, v.number as version, r.status, r.error_code, r.error_message, r.wake_at, r.next_step,
    c.prompt_tokens, c.cached_tokens, c.output_tokens, c.cost, org.currency, r.created_at, r.started_at, r.ended_at,
    o.id as outcome, o.contract, o.verifier, o.verdict, o.reason, o.attested, o.price_nano, o.created_at as outcome_at
  from runs r
    join agents a on a.id = r.agent
    join agent_versions v on v.id = r.version
    join organisations org on org.id = r.organisation
    left join outcomes o on o.run = r.id
    cross join lateral (
      select coalesce(sum(prompt_tokens), 0) as prompt_tokens, coalesce(sum(cached_tokens), 0) as cached_tokens,
        coalesce(sum(output_tokens), 0) as output_tokens, coalesce(sum(price_nano), 0) as cost
      from calls where calls.run = r.id) c`;

export interface Viewer {
  organisation: string;
  project: string;
}

/** A run, or undefined when the viewer's project has none of that id. */
export async function readRun(db: Queryable, viewer: Viewer, id: string): Promise<Run | undefined> {
  const { rows } = await db.query<RunRow>(`${runSelect} where r.id = $1 and r.organisation = $2 and r.project = $3`, [
    ...[id, viewer.organisation, viewer.project],
  ]);
  return rows[0] && runOf(rows[0]);
}

/** Newest first; one more than `limit`, so that the caller knows whether there is another page. */
export async function listRuns(
  db: Queryable,
  viewer: Viewer,
  query: { limit: number; cursor?: string; agent?: string; status?: string },
): Promise<Run[]> {
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
  return rows.map(runOf);
}

function runOf(row: RunRow): Run {
  return {
    id: row.id,
    agent: row.agent,
    version: row.version,
    status: row.status,
    error_code: row.error_code,
    error_message: row.error_message,
    wakes_at: row.status === "waiting" ? (row.wake_at?.toISOString() ?? null) : null,
    steps: row.next_step,
    prompt_tokens: Number(row.prompt_tokens),
    cached_tokens: Number(row.cached_tokens),
    output_tokens: Number(row.output_tokens),
    cost_nano: row.cost.toString(),
    currency: row.currency,
    outcome: row.outcome === null ? null : outcomeOf(row),
    created_at: row.created_at.toISOString(),
    started_at: row.started_at?.toISOString() ?? null,
    ended_at: row.ended_at?.toISOString() ?? null,
  };
}

function outcomeOf(row: RunRow): OutcomeResource {
  return {
    id: row.outcome!,
    contract: row.contract,
    verifier: row.verifier,
    verdict: row.verdict,
    reason: row.reason,
    attested: row.attested,
    price_nano: row.price_nano.toString(),
    currency: row.currency,
    created_at: row.outcome_at.toISOString(),
  };
}

/** A run with its payloads and steps. */
export async function readRunDetail(db: Queryable, viewer: Viewer, id: string): Promise<RunDetail | undefined> {
  const run = await readRun(db, viewer, id);
  if (!run) return undefined;
  const { rows } = await db.query<{ input: string; output: string | null }>(
    `select i.body as input, o.body as output from runs r
       join blobs i on i.project = r.project and i.ref = r.input_ref
       left join blobs o on o.project = r.project and o.ref = r.output_ref where r.id = $1`,
    [id],
  );
  const queued = await db.query<{ ms: number }>(
    `select coalesce(sum(${queuedMs}), 0)::float8 as ms from calls c join attempts t on t.call = c.id where c.run = $1`,
    [id],
  );
  return {
    ...run,
    input: parsed(rows[0]!.input),
    output: parsed(rows[0]!.output),
    step_list: await readSteps(db, id),
    queued_ms: Math.round(queued.rows[0]!.ms),
    waits: await readWaits(db, id),
  };
}

/** Of an attempt `t`: milliseconds in the fair queue and inside the engine before its prompt was begun. */
const queuedMs = `(select sum((phase->>'end_ms')::float8 - (phase->>'start_ms')::float8)
    from jsonb_array_elements(t.timings) phase where phase->>'name' in ('queue', 'wait'))`;

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

async function readWaits(db: Queryable, run: string): Promise<RunWait[]> {
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
    waited_ms: Math.round(row.waited_ms),
    began_at: row.began_at.toISOString(),
    waiting: row.waiting,
    until: row.until?.toISOString() ?? null,
  }));
}

interface StepResourceRow {
  [column: string]: unknown;
  number: number;
  kind: StepResource["kind"];
  name: string;
  status: "completed" | "failed";
  input: string | null;
  output: string | null;
  call: string | null;
  cost: bigint | null;
  effect: string | null;
  tool: string | null;
  state: "planned" | "claimed" | "done" | "unknown" | null;
  attempts: number | null;
  attested_by: string | null;
  attested_note: string | null;
  attested_at: Date | null;
  error_message: string | null;
  queued_ms: number;
  started_at: Date;
  ended_at: Date;
}

/** Steps of a run with payloads and cost; only the step `number`, when given. An effect under way is not a step yet. */
export async function readSteps(db: Queryable, run: string, number?: number): Promise<StepResource[]> {
  const { rows } = await db.query<StepResourceRow>(
    `select s.number, s.kind, s.name, s.status, i.body as input, o.body as output, s.call, c.price_nano as cost,
       s.effect, e.tool, e.state, e.attempts,
       t.author_name as attested_by, t.note as attested_note, t.created_at as attested_at, s.error_message, s.started_at, s.ended_at, coalesce(q.ms, 0)::float8 as queued_ms
     from steps s join runs r on r.id = s.run
       left join blobs i on i.project = r.project and i.ref = s.input_ref
       left join blobs o on o.project = r.project and o.ref = s.output_ref
       left join calls c on c.id = s.call left join effects e on e.key = s.effect
       left join lateral (
         select author_name, note, created_at from attestations
         where effect = s.effect and happened order by created_at desc, id desc limit 1) t on true
       left join lateral (select sum(${queuedMs}) as ms from attempts t where t.call = s.call) q on true
     where s.run = $1 and ($2::int is null or s.number = $2) order by s.number`,
    [run, number ?? null],
  );
  return rows.map((row) => ({
    number: row.number,
    kind: row.kind,
    name: row.name,
    status: row.status,
    input: parsed(row.input),
    output: parsed(row.output),
    call: row.call,
    cost_nano: (row.cost ?? 0n).toString(),
    effect:
      row.effect === null
        ? null
        : {
            key: row.effect,
            tool: row.tool!,
            state: row.state!,
            attempts: row.attempts ?? 0,
            attested:
              row.attested_by === null
                ? null
                : { by: row.attested_by, note: row.attested_note!, at: row.attested_at!.toISOString() },
          },
    error_message: row.error_message,
    queued_ms: Math.round(row.queued_ms),
    started_at: row.started_at.toISOString(),
    ended_at: row.ended_at.toISOString(),
  }));
}

interface AgentRow {
  [column: string]: unknown;
  id: string;
  project: string;
  name: string;
  created_at: Date;
  number: number;
  manifest_ref: string;
  model: string;
  total: bigint;
  running: bigint;
  waiting: bigint;
  failed: bigint;
  passed: bigint;
  not_passed: bigint;
}

const agentSelect = `select a.id, a.project, a.name, a.created_at, v.number, v.manifest_ref, 
    -- A body that jsonb cannot take (NUL) was published by an older version: it must not hide the other agents.
    case when pg_input_is_valid(b.body, 'jsonb') then b.body::jsonb #>> '{manifest,model}' else '' end as model,
    r.total, r.running, r.waiting, r.failed, o.passed, o.not_passed
  from agents a
    join lateral (select number, manifest_ref from agent_versions where agent = a.id order by number desc limit 1) v on true
    join blobs b on b.project = a.project and b.ref = v.manifest_ref
    cross join lateral (
      select count(*) as total, count(*) filter (where status in ('queued', 'running')) as running,
        count(*) filter (where status = 'waiting') as waiting, count(*) filter (where status = 'failed') as failed
      from runs where agent = a.id) r
    cross join lateral (
      select count(*) filter (where verdict = 'passed') as passed, count(*) filter (where verdict = 'failed') as not_passed
      from outcomes where outcomes.agent = a.id) o
  where a.organisation = $1 and a.project = $2`;

/** Newest first; one more than `limit`. */
export async function listAgents(
  db: Queryable,
  viewer: Viewer,
  query: { limit: number; cursor?: string },
): Promise<AgentSummary[]> {
  const { rows } = await db.query<AgentRow>(
    `${agentSelect} and ($3::text is null or a.id < $3) order by a.id desc limit $4`,
    [viewer.organisation, viewer.project, query.cursor ?? null, query.limit + 1],
  );
  return rows.map(agentOf);
}

/** By name or id. */
export async function readAgent(db: Queryable, viewer: Viewer, name: string): Promise<AgentDetail | undefined> {
  const { rows } = await db.query<AgentRow>(`${agentSelect} and (a.name = $3 or a.id = $3)`, [
    ...[viewer.organisation, viewer.project, name],
  ]);
  const row = rows[0];
  if (!row) return undefined;
  const published = (await getBlob(db, row.project, row.manifest_ref)) as Published;
  const versions = await db.query<{ number: number; id: string; created_at: Date }>(
    "select number, id, created_at from agent_versions where agent = $1 order by number desc",
    [row.id],
  );
  return {
    ...agentOf(row),
    manifest: published.manifest,
    versions: versions.rows.map(({ number, id, created_at }) => ({ number, id, created_at: created_at.toISOString() })),
  };
}

function agentOf(row: AgentRow): AgentSummary {
  return {
    id: row.id,
    name: row.name,
    version: row.number,
    model: row.model,
    created_at: row.created_at.toISOString(),
    runs: {
      total: Number(row.total),
      running: Number(row.running),
      waiting: Number(row.waiting),
      failed: Number(row.failed),
    },
    outcomes: { passed: Number(row.passed), failed: Number(row.not_passed) },
  };
}

function parsed(body: string | null): unknown {
  return body === null ? null : (JSON.parse(body) as unknown);
}
