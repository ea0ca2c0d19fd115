// Figures of money over a range, for the overview; their definitions stand in docs/api.md. Money counts by the moment of its hold, outcomes by
// their verdict. `project`: null means all projects of the organisation.
import type { Queryable } from "../store/index.ts";

/** An organisation's or one project's ledger, and a half-open range: `from` counts, `to` does not. */
interface FiguresOf {
  organisation: string;
  project: string | null;
  from: Date;
  to: Date;
}

interface CostFigures {
  costNano: bigint;
  suspenseNano: bigint;
  /** What the cached tokens would have cost more, each at the prices of its hold. */
  savedNano: bigint;
}

/** What a million cached tokens would have cost more: by the tier of the call's prompt, where its card has tiers (pricing.ts). */
const perCachedToken = `coalesce(
  case when r.more ? 'tiers' then (
    select (tier ->> 'input')::numeric - (tier ->> 'cached')::numeric from jsonb_array_elements(r.more -> 'tiers') tier
    where s.prompt_tokens > (tier ->> 'above')::bigint order by (tier ->> 'above')::bigint desc limit 1) end,
  r.input_nano_per_million - r.cached_nano_per_million)`;

/** What attempts were charged. */
export async function costFigures(db: Queryable, of: FiguresOf): Promise<CostFigures> {
  const { rows } = await db.query<Record<"cost" | "suspense" | "saved", bigint>>(
    `select coalesce(sum(s.amount_nano), 0) as cost, coalesce(sum(s.suspense_nano), 0) as suspense,
       -- Numeric, since tokens times a price may pass 64 bits; what is shown is cut to them.
       least(coalesce(sum(s.cached_tokens::numeric * ${perCachedToken}) / 1000000, 0), 9223372036854775807)::bigint as saved
     from settlements s join rate_cards r on r.id = s.rate_card
     where s.organisation = $1 and ($2::text is null or s.project = $2) and s.counted_at >= $3 and s.counted_at < $4`,
    [of.organisation, of.project, of.from, of.to],
  );
  const { cost, suspense, saved } = rows[0]!;
  return { costNano: cost, suspenseNano: suspense, savedNano: saved };
}

interface OutcomeFigures {
  passed: number;
  failed: number;
  revenueNano: bigint;
}

/** Verdicts, and what the passed ones earned. */
export async function outcomeFigures(db: Queryable, of: FiguresOf): Promise<OutcomeFigures> {
  const { rows } = await db.query<Record<"passed" | "failed" | "revenue", bigint>>(
    `select count(*) filter (where verdict = 'passed') as passed, count(*) filter (where verdict = 'failed') as failed,
       coalesce(sum(price_nano) filter (where verdict = 'passed'), 0) as revenue
     from outcomes
     where organisation = $1 and ($2::text is null or project = $2) and created_at >= $3 and created_at < $4`,
    [of.organisation, of.project, of.from, of.to],
  );
  const { passed, failed, revenue } = rows[0]!;
  return { passed: Number(passed), failed: Number(failed), revenueNano: revenue };
}
