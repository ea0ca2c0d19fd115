// The bill: what results earned and what their tokens cost, per agent, from the ledger alone (never from logs of calls).
import type { Database } from "../store/index.ts";

export interface BillLine {
  /** Id of the agent; undefined for calls outside runs, and in a total. */
  agent: string | undefined;
  runs: number;
  calls: number;
  promptTokens: number;
  cachedTokens: number;
  outputTokens: number;
  revenueNano: bigint;
  tokenCostNano: bigint;
  marginNano: bigint;
  outcomesPassed: number;
  outcomesFailed: number;
  /** Of those that passed: how many rest on a person's word about an effect. */
  outcomesAttested: number;
  /** Passed of judged outcomes; undefined while none was judged. The same for the next two. */
  passRate: number | undefined;
  /** Token cost of the line, that of failed runs included, by passed outcomes. In a total: of the lines with judged outcomes. */
  costPerVerifiedOutcomeNano: bigint | undefined;
  /** Passed outcomes per million prompt and output tokens. */
  verifiedOutcomesPerMillionTokens: number | undefined;
}

/** What an engine claimed beyond what was held: no cost until it is compared with the provider's bill. */
interface SuspenseLine {
  model: string;
  attempts: number;
  amountNano: bigint;
}

export interface Bill {
  from: Date;
  to: Date;
  lines: BillLine[];
  total: BillLine;
  /** By model, largest first. Empty when no engine claimed more than was held. */
  suspense: SuspenseLine[];
}

interface LineRow {
  [column: string]: unknown;
  agent: string | null;
  runs: bigint;
  calls: bigint;
  prompt_tokens: bigint;
  cached_tokens: bigint;
  output_tokens: bigint;
  cost: bigint;
  revenue: bigint;
  passed: bigint;
  failed: bigint;
  attested: bigint;
}

const beginning = new Date(0);

/** `agent` is an id. The period is half open: `from` counts, `to` does not. Without `to` it ends now. */
export async function readBill(
  db: Database,
  organisation: string,
  period: { from?: Date; to?: Date; agent?: string; project?: string | undefined },
): Promise<Bill> {
  const from = period.from ?? beginning;
  const to = period.to ?? (await presentEnd(db));
  const { rows } = await db.query<LineRow>(
    `with spending as (
       select h.agent, count(distinct h.run) as runs, count(distinct h.call) as calls,
         sum(s.prompt_tokens) as prompt_tokens, sum(s.cached_tokens) as cached_tokens,
         sum(s.output_tokens) as output_tokens, sum(s.amount_nano) as cost
       from settlements s join holds h using (attempt)
       where s.organisation = $1 and s.created_at >= $2 and s.created_at < $3 and ($5::text is null or h.project = $5)
       group by h.agent
     ), earning as (
       select agent, sum(price_nano) as revenue,
         count(*) filter (where verdict = 'passed') as passed, count(*) filter (where verdict = 'failed') as failed,
         count(*) filter (where verdict = 'passed' and attested) as attested
       from outcomes where organisation = $1 and created_at >= $2 and created_at < $3 and ($5::text is null or project = $5)
       group by agent
     )
     select coalesce(s.agent, e.agent) as agent, coalesce(runs, 0) as runs, coalesce(calls, 0) as calls,
       coalesce(prompt_tokens, 0) as prompt_tokens, coalesce(cached_tokens, 0) as cached_tokens,
       coalesce(output_tokens, 0) as output_tokens, coalesce(cost, 0) as cost, coalesce(revenue, 0) as revenue,
       coalesce(passed, 0) as passed, coalesce(failed, 0) as failed, coalesce(attested, 0) as attested
     from spending s full join earning e on s.agent = e.agent
     where $4::text is null or coalesce(s.agent, e.agent) = $4
     order by revenue desc, cost desc, 1`,
    [organisation, from, to, period.agent ?? null, period.project ?? null],
  );
  const lines = rows.map(lineOf);
  return {
    from,
    to,
    lines,
    total: totalOf(lines),
    suspense: await readSuspense(db, organisation, from, to, period),
  };
}

async function readSuspense(
  db: Database,
  organisation: string,
  from: Date,
  to: Date,
  { agent, project }: { agent?: string; project?: string | undefined },
): Promise<SuspenseLine[]> {
  const { rows } = await db.query<{ model: string; attempts: bigint; amount: bigint }>(
    `select h.model, count(*) as attempts, sum(s.suspense_nano) as amount
     from settlements s join holds h using (attempt)
     where s.organisation = $1 and s.created_at >= $2 and s.created_at < $3 and s.suspense_nano > 0
       and ($4::text is null or h.agent = $4) and ($5::text is null or h.project = $5)
     group by h.model order by amount desc, h.model`,
    [organisation, from, to, agent ?? null, project ?? null],
  );
  return rows.map(({ model, attempts, amount }) => ({ model, attempts: Number(attempts), amountNano: amount }));
}

/** The end of the present millisecond by the database's clock, which dates settlements; a `Date` holds milliseconds. */
async function presentEnd(db: Database): Promise<Date> {
  const { rows } = await db.query<{ end: Date }>(
    "select date_trunc('milliseconds', now()) + interval '1 millisecond' as end",
  );
  return rows[0]!.end;
}

function lineOf(row: LineRow): BillLine {
  return withRatios({
    agent: row.agent ?? undefined,
    runs: Number(row.runs),
    calls: Number(row.calls),
    promptTokens: Number(row.prompt_tokens),
    cachedTokens: Number(row.cached_tokens),
    outputTokens: Number(row.output_tokens),
    revenueNano: row.revenue,
    tokenCostNano: row.cost,
    outcomesPassed: Number(row.passed),
    outcomesFailed: Number(row.failed),
    outcomesAttested: Number(row.attested),
  });
}

type Sums = Omit<
  BillLine,
  "marginNano" | "passRate" | "costPerVerifiedOutcomeNano" | "verifiedOutcomesPerMillionTokens"
>;

/** Tokens and their cost that were spent for judged outcomes, whether these passed or not. */
type JudgedWork = Pick<Sums, "promptTokens" | "outputTokens" | "tokenCostNano">;

/** The sums with their ratios, undefined where the divisor is 0. `work` is what the outcomes cost: all of a line, part of a total. */
function withRatios(sums: Sums, work: JudgedWork = sums): BillLine {
  const judged = sums.outcomesPassed + sums.outcomesFailed;
  const tokens = work.promptTokens + work.outputTokens;
  const passed = BigInt(sums.outcomesPassed);
  return {
    ...sums,
    marginNano: sums.revenueNano - sums.tokenCostNano,
    passRate: judged === 0 ? undefined : sums.outcomesPassed / judged,
    costPerVerifiedOutcomeNano: passed === 0n ? undefined : (work.tokenCostNano + passed / 2n) / passed,
    verifiedOutcomesPerMillionTokens: judged === 0 || tokens === 0 ? undefined : (sums.outcomesPassed * 1e6) / tokens,
  };
}

/**
 * The total of all lines. A verified outcome costs what the agents with judged outcomes spent: calls outside runs, and agents
 * without a contract, produce none, so their cost is left out.
 */
function totalOf(lines: BillLine[]): BillLine {
  const judged = lines.filter((line) => line.outcomesPassed + line.outcomesFailed > 0);
  return withRatios(sumsOf(lines), sumsOf(judged));
}

function sumsOf(lines: BillLine[]): Sums {
  const sum = (of: (line: BillLine) => number) => lines.reduce((total, line) => total + of(line), 0);
  return {
    agent: undefined,
    runs: sum((line) => line.runs),
    calls: sum((line) => line.calls),
    promptTokens: sum((line) => line.promptTokens),
    cachedTokens: sum((line) => line.cachedTokens),
    outputTokens: sum((line) => line.outputTokens),
    revenueNano: lines.reduce((total, line) => total + line.revenueNano, 0n),
    tokenCostNano: lines.reduce((total, line) => total + line.tokenCostNano, 0n),
    outcomesPassed: sum((line) => line.outcomesPassed),
    outcomesFailed: sum((line) => line.outcomesFailed),
    outcomesAttested: sum((line) => line.outcomesAttested),
  };
}
