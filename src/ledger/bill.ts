// The bill: what results earned and what their tokens cost, per agent, from the ledger alone (never from logs of calls). Attempts count
// by the moment of their hold, as in the periods of budgets, outcomes by their verdict.
import type { Database, Queryable } from "../store/index.ts";
import { readStanding, type Standing } from "./standing.ts";
import { readUsage, type AgentUsage } from "./usage.ts";

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
  /**
   * Everything of the period is posted, or stands in suspense by name: the bill will not change, but by corrections. Never true of a
   * period that has no end yet.
   */
  isClosed: boolean;
  /** What stands out now, and up to when everything is posted. */
  standing: Standing;
}

interface EarningRow {
  [column: string]: unknown;
  agent: string;
  revenue: bigint;
  passed: bigint;
  failed: bigint;
  attested: bigint;
}

const beginning = new Date(0);

/** Of which agent (an id) and project, and when. `from` counts, `to` does not. Without `to` the period ends now. */
export interface BillOf {
  from?: Date;
  to?: Date;
  agent?: string;
  project?: string | undefined;
}

/** Reads a bill in one snapshot of the database. */
export function readBill(db: Database, organisation: string, of: BillOf): Promise<Bill> {
  return db.transaction(async (client) => {
    await client.query("set transaction isolation level repeatable read, read only");
    const from = of.from ?? beginning;
    const period = { organisation, from, to: of.to, agent: of.agent, project: of.project };
    const usage = await readUsage(client, period);
    const earnings = await readEarnings(client, period);
    const suspense = await readSuspense(client, period);
    const standing = await readStanding(client, organisation);
    const lines = linesOf(usage, earnings);
    return {
      from,
      to: of.to ?? (await presentEnd(client)),
      lines,
      total: totalOf(lines),
      suspense,
      isClosed: of.to !== undefined && of.to <= standing.completeThrough,
      standing,
    };
  });
}

interface Period {
  organisation: string;
  from: Date;
  to: Date | undefined;
  agent: string | undefined;
  project: string | undefined;
}

const valuesOf = ({ organisation, from, to, agent, project }: Period) => [
  organisation,
  from,
  to ?? null,
  agent ?? null,
  project ?? null,
];

async function readEarnings(db: Queryable, period: Period): Promise<EarningRow[]> {
  const { rows } = await db.query<EarningRow>(
    `select agent, sum(price_nano) as revenue, count(*) filter (where verdict = 'passed') as passed,
       count(*) filter (where verdict = 'failed') as failed, count(*) filter (where verdict = 'passed' and attested) as attested
     from outcomes
     where organisation = $1 and created_at >= $2 and ($3::timestamptz is null or created_at < $3)
       and ($4::text is null or agent = $4) and ($5::text is null or project = $5)
     group by agent`,
    valuesOf(period),
  );
  return rows;
}

async function readSuspense(db: Queryable, period: Period): Promise<SuspenseLine[]> {
  const { rows } = await db.query<{ model: string; attempts: bigint; amount: bigint }>(
    `select model, count(*) as attempts, sum(suspense_nano) as amount from settlements
     where organisation = $1 and counted_at >= $2 and ($3::timestamptz is null or counted_at < $3) and suspense_nano > 0
       and ($4::text is null or agent = $4) and ($5::text is null or project = $5)
     group by model order by amount desc, model`,
    valuesOf(period),
  );
  return rows.map(({ model, attempts, amount }) => ({ model, attempts: Number(attempts), amountNano: amount }));
}

/** The end of the present millisecond by the database's clock; a `Date` holds milliseconds. */
async function presentEnd(db: Queryable): Promise<Date> {
  const { rows } = await db.query<{ end: Date }>(
    "select date_trunc('milliseconds', now()) + interval '1 millisecond' as end",
  );
  return rows[0]!.end;
}

/** A line for each agent that used tokens or was judged: the largest revenue first, then the largest cost, calls outside runs last. */
function linesOf(usage: AgentUsage[], earnings: EarningRow[]): BillLine[] {
  const used = new Map(usage.map((of) => [of.agent, of]));
  const earned = new Map<string | undefined, EarningRow>(earnings.map((of) => [of.agent, of]));
  const agents = [...new Set([...used.keys(), ...earned.keys()])];
  return agents.map((agent) => lineOf(agent, used.get(agent), earned.get(agent))).toSorted(byRevenue);
}

function byRevenue(one: BillLine, other: BillLine): number {
  if (one.revenueNano !== other.revenueNano) return one.revenueNano > other.revenueNano ? -1 : 1;
  if (one.tokenCostNano !== other.tokenCostNano) return one.tokenCostNano > other.tokenCostNano ? -1 : 1;
  if (one.agent === undefined || other.agent === undefined) return one.agent === undefined ? 1 : -1;
  return one.agent < other.agent ? -1 : 1;
}

function lineOf(agent: string | undefined, used: AgentUsage | undefined, earned: EarningRow | undefined): BillLine {
  return withRatios({
    agent,
    runs: used?.runs ?? 0,
    calls: used?.calls ?? 0,
    promptTokens: used?.promptTokens ?? 0,
    cachedTokens: used?.cachedTokens ?? 0,
    outputTokens: used?.outputTokens ?? 0,
    revenueNano: earned?.revenue ?? 0n,
    tokenCostNano: used?.costNano ?? 0n,
    outcomesPassed: Number(earned?.passed ?? 0),
    outcomesFailed: Number(earned?.failed ?? 0),
    outcomesAttested: Number(earned?.attested ?? 0),
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
