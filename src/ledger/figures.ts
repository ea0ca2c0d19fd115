// Figures of money over a range, for the overview; their definitions stand in docs/api.md. Money counts by the moment of its hold, outcomes
// by their verdict. `project`: null means all projects of the organisation.
import type { Queryable } from "../store/index.ts";
import { dateOf, partsOf } from "./usage.ts";

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

/** What attempts were charged: whole days from the rollup and the rest of the range from its settlements, as the bill (usage.ts). */
export async function costFigures(db: Queryable, { organisation, project, from, to }: FiguresOf): Promise<CostFigures> {
  const { first, last, edges } = partsOf(from.getTime(), to.getTime());
  const { rows } = await db.query<Record<"cost" | "suspense" | "saved", bigint>>(
    `with parts as (
       select amount_nano, suspense_nano, saved_nano_millionths as saved from usage_days
       where organisation = $1 and ($2::text is null or project = $2) and day >= $3::date and day < $4::date
       union all
       select s.amount_nano, s.suspense_nano, cache_saving(s.cached_tokens, s.prompt_tokens, r)
       from unnest($5::timestamptz[], $6::timestamptz[]) as range(since, until)
       join settlements s on s.organisation = $1 and s.counted_at >= since and s.counted_at < until
       left join rate_cards r on r.id = s.rate_card
       where $2::text is null or s.project = $2)
     select coalesce(sum(amount_nano), 0)::numeric as cost, coalesce(sum(suspense_nano), 0)::numeric as suspense,
       -- Tokens times a price may pass 64 bits; what is shown is cut to them.
       least(coalesce(sum(saved) / 1000000, 0), 9223372036854775807)::bigint as saved
     from parts`,
    [
      organisation,
      project,
      dateOf(first),
      dateOf(last!),
      edges.map((edge) => new Date(edge.from)),
      edges.map((edge) => new Date(edge.to)),
    ],
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
