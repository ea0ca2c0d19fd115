// Reading what is recorded of calls, for the rooms above. A record is written a moment after its call has ended: where that moment
// matters, await the gateway's `flushed` first.
import type { Reach } from "../../governance/index.ts";
import type { Queryable } from "../../store/index.ts";
import type { AttemptRecord, BilledTokens, CallRecord } from "./record.ts";
import { attemptOfRow, callOfRow, type AttemptRow, type CallRow } from "./rows.ts";

/** Which calls are listed; absent: all. */
interface CallFilter {
  /** Id of a call: only older ones. */
  cursor?: string | undefined;
  status?: CallRecord["status"] | undefined;
  model?: string | undefined;
  run?: string | undefined;
  batch?: string | undefined;
  /** Ids of agents. */
  agents?: string[] | undefined;
}

/** At most `limit` calls within reach, newest first. */
export async function listCalls(db: Queryable, reach: Reach, filter: CallFilter, limit: number): Promise<CallRecord[]> {
  const { rows } = await db.query<CallRow>(
    `select * from calls
     where organisation = $1 and ($2::text is null or project = $2)
       and ($3::text is null or id < $3) and ($4::text is null or status = $4) and ($5::text is null or model = $5)
       and ($6::text is null or run = $6) and ($7::text[] is null or agent = any($7))
       and ($8::text is null or batch = $8)
     order by id desc limit $9`,
    [
      ...reach,
      filter.cursor ?? null,
      filter.status ?? null,
      filter.model ?? null,
      filter.run ?? null,
      filter.agents ?? null,
      filter.batch ?? null,
      limit,
    ],
  );
  return rows.map(callOfRow);
}

/** At most `limit` calls within reach whose ids begin with `prefix`; oldest first, or newest first when `newest` says so. */
export async function callsBeginning(
  db: Queryable,
  reach: Reach,
  prefix: string,
  { limit, newest = false }: { limit: number; newest?: boolean },
): Promise<CallRecord[]> {
  const { rows } = await db.query<CallRow>(
    `select * from calls
     where organisation = $1 and ($2::text is null or project = $2) and id >= $3 and id < $3 || '~'
     order by id ${newest ? "desc" : "asc"} limit $4`,
    [...reach, prefix, limit],
  );
  return rows.map(callOfRow);
}

/** The attempts of a call, in order. */
export async function attemptsOfCall(db: Queryable, call: string): Promise<AttemptRecord[]> {
  const { rows } = await db.query<AttemptRow>("select * from attempts where call = $1 order by number", [call]);
  return rows.map(attemptOfRow);
}

/** What the calls of each batch have cost, in nano-units; 0 for a batch without calls. */
export async function priceOfBatches(db: Queryable, batches: readonly string[]): Promise<(batch: string) => bigint> {
  const { rows } = await db.query<{ batch: string; price_nano: bigint }>(
    "select batch, price_nano from batch_prices where batch = any($1)",
    [batches],
  );
  const known = new Map(rows.map((row) => [row.batch, row.price_nano]));
  return (batch) => known.get(batch) ?? 0n;
}

/** What calls have used together. */
export interface CallUsage extends BilledTokens {
  priceNano: bigint;
}

interface UsageRow {
  [column: string]: unknown;
  id: string;
  prompt_tokens: bigint;
  cached_tokens: bigint;
  output_tokens: bigint;
  price_nano: bigint;
}

const noUsage: CallUsage = { promptTokens: 0, cachedTokens: 0, outputTokens: 0, priceNano: 0n };

/** What the calls of each run have used; a run without calls has used nothing. */
export async function usageOfRuns(db: Queryable, runs: string[]): Promise<(run: string) => CallUsage> {
  const { rows } = await db.query<UsageRow>(
    `select run as id, sum(prompt_tokens) as prompt_tokens, sum(cached_tokens) as cached_tokens,
       sum(output_tokens) as output_tokens, sum(price_nano) as price_nano
     from calls where run = any($1) group by run`,
    [runs],
  );
  const used = new Map(rows.map((row) => [row.id, usageOf(row)]));
  return (run) => used.get(run) ?? noUsage;
}

function usageOf(row: UsageRow): CallUsage {
  return {
    promptTokens: Number(row.prompt_tokens),
    cachedTokens: Number(row.cached_tokens),
    outputTokens: Number(row.output_tokens),
    priceNano: row.price_nano,
  };
}

/** Price of a call, and for how long it waited in the fair queue and inside engines before its prompt was begun, in milliseconds. */
export interface CallCost {
  priceNano: bigint;
  queuedMs: number;
}

interface CostRow {
  [column: string]: unknown;
  id: string;
  price_nano: bigint;
  queued_ms: number;
}

/** Milliseconds that the attempts of a call `c` waited. */
const queuedMs = `coalesce((select sum((phase->>'end_ms')::float8 - (phase->>'start_ms')::float8)
    from attempts t cross join lateral json_array_elements(t.timings) phase
    where t.call = c.id and phase->>'name' in ('queue', 'wait')), 0)::float8`;

/** Costs of the calls given, by id; a call whose record is not written is not among them. */
export async function costsOfCalls(db: Queryable, calls: string[]): Promise<Map<string, CallCost>> {
  const { rows } = await db.query<CostRow>(
    `select c.id, c.price_nano, ${queuedMs} as queued_ms from calls c where c.id = any($1)`,
    [calls],
  );
  return new Map(rows.map((row) => [row.id, { priceNano: row.price_nano, queuedMs: row.queued_ms }]));
}

/** Milliseconds that all calls of a run waited, those that failed included. */
export async function queuedMsOfRun(db: Queryable, run: string): Promise<number> {
  const { rows } = await db.query<{ ms: number }>(
    `select coalesce(sum(${queuedMs}), 0)::float8 as ms from calls c where c.run = $1`,
    [run],
  );
  return rows[0]!.ms;
}
