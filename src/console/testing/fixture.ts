// A plausible instance as data: a month of calls, three agents with their runs, keys and budgets, all made from one seed and one
// moment. The amounts, tokens and phases of a call agree with each other, so that sums on a screen are right. fixture.test.ts checks
// everything here against the schemas of contract/.
import type {
  AgentDetail,
  BatchResource,
  BudgetResource,
  Call,
  CallDetail,
  EngineResource,
  KeyResource,
  LimitResource,
  ModelRouteResource,
  RunDetail,
  Status,
} from "../../contract/index.ts";
import { seeded, type Random } from "./random.ts";
import { minute, hour, day, currency, embedded, remote, idOf, iso } from "./fixtureWords.ts";
import { agentsAt, countRuns } from "./fixtureAgents.ts";
import { batchesAt } from "./fixtureBatches.ts";
import { makeCall } from "./fixtureCalls.ts";
import { makeRun } from "./fixtureRuns.ts";
import { enginesAt, routesAt, statusAt } from "./fixtureStatus.ts";

export interface Fixture {
  now: number;
  status: Status;
  /** Newest first. */
  calls: CallDetail[];
  runs: RunDetail[];
  agents: AgentDetail[];
  keys: KeyResource[];
  budgets: BudgetResource[];
  limits: LimitResource[];
  engines: EngineResource[];
  routes: ModelRouteResource[];
  /** Newest first. */
  batches: BatchResource[];
}

/** Makes the instance as it stands at `now` (milliseconds since 1970). `calls` is the number of calls outside runs. */
export function makeFixture(options: { seed?: number; now?: number; calls?: number; runs?: number } = {}): Fixture {
  const random = seeded(options.seed ?? 7);
  const now = options.now ?? Date.now();
  const started = now - 2 * day - 3 * hour;
  const keys: KeyResource[] = [
    {
      id: idOf(random, "key", now - 33 * day),
      name: "first owner",
      role: "owner",
      project: "default",
      created_at: iso(now - 33 * day),
      revoked_at: null,
    },
    {
      id: idOf(random, "key", now - 31 * day),
      name: "shop floor",
      role: "member",
      project: "default",
      created_at: iso(now - 31 * day),
      revoked_at: null,
    },
    {
      id: idOf(random, "key", now - 20 * day),
      name: "notebook of Mira",
      role: "member",
      project: "default",
      created_at: iso(now - 20 * day),
      revoked_at: null,
    },
    {
      id: idOf(random, "key", now - 28 * day),
      name: "trial",
      role: "member",
      project: "default",
      created_at: iso(now - 28 * day),
      revoked_at: iso(now - 12 * day),
    },
  ];
  const agents = agentsAt(random, now);
  const calls: CallDetail[] = [];
  const runs: RunDetail[] = [];

  const runCount = options.runs ?? 320;
  for (let index = 0; index < runCount; index++) {
    const at = index < 3 ? now - random.between(4_000, 40_000) : now - spread(random, 30 * day) - minute;
    const made = makeRun(
      random,
      agents[random.chance(0.68) ? 0 : random.chance(0.6) ? 1 : 2]!,
      at,
      keys[1]!.id,
      index < 3 ? (index === 2 ? "waiting" : "running") : undefined,
    );
    runs.push(made.run);
    calls.push(...made.calls);
  }
  for (let index = 0; index < (options.calls ?? 9_000); index++) {
    const at = now - spread(random, 30 * day) - 5_000;
    calls.push(
      makeCall(random, {
        at,
        model: random.chance(0.72) ? embedded : remote,
        key: random.pick(keys).id,
        program: random.chance(0.5) ? idOf(random, "prog", at - minute) : null,
      }),
    );
  }
  calls.sort((a, b) => (a.started_at < b.started_at ? 1 : -1));
  runs.sort((a, b) => (a.created_at < b.created_at ? 1 : -1));
  for (const agent of agents) countRuns(agent, runs);

  return {
    now,
    status: statusAt(random, now, started),
    calls,
    runs,
    agents,
    keys,
    budgets: budgetsOf(calls, keys, agents, now),
    limits: limitsOf(keys),
    engines: enginesAt(now),
    routes: routesAt(now),
    batches: batchesAt(random, now, keys[1]!.id),
  };
}

/** A random age in milliseconds, up to `over`. Ages are denser in working hours and towards the present. */
function spread(random: Random, over: number): number {
  for (let tries = 0; ; tries++) {
    const age = over * random.next() ** 1.25;
    const hourOfDay = (24 - ((age / hour) % 24) + 15) % 24;
    if (tries > 6 || random.chance(0.18 + 0.82 * Math.max(0, Math.sin(((hourOfDay - 6) / 14) * Math.PI)))) return age;
  }
}

function limitsOf(keys: KeyResource[]): LimitResource[] {
  const project = { kind: "project" as const, id: "prj_1", name: "default", model: null };
  const notebook = { kind: "key" as const, id: keys[2]!.id, name: keys[2]!.name, model: embedded };
  return [
    { id: "lim_1", scope: project, dimension: "requests_per_minute", amount: 600, used: 41 },
    { id: "lim_2", scope: project, dimension: "tokens_per_day", amount: 10_000_000, used: 8_412_031 },
    { id: "lim_3", scope: notebook, dimension: "concurrent_calls", amount: 4, used: 4 },
    { id: "lim_4", scope: notebook, dimension: "bytes_in_flight", amount: 64_000_000, used: 12_400 },
  ];
}

function budgetsOf(calls: Call[], keys: KeyResource[], agents: AgentDetail[], now: number): BudgetResource[] {
  const month = new Date(now);
  const monthStart = Date.UTC(month.getUTCFullYear(), month.getUTCMonth(), 1);
  const next = iso(Date.UTC(month.getUTCFullYear(), month.getUTCMonth() + 1, 1));
  const spent = (fits: (call: Call) => boolean) =>
    calls
      .filter((call) => Date.parse(call.started_at) >= monthStart && fits(call))
      .reduce((sum, call) => sum + BigInt(call.price_nano), 0n);
  const budget = (
    id: string,
    scope: BudgetResource["scope"],
    used: bigint,
    limit: bigint,
    held: bigint,
  ): BudgetResource => ({
    id,
    scope,
    currency,
    period: "month",
    limit_nano: String(limit),
    spent_nano: String(used),
    leased_nano: String(held),
    lost_nano: "0",
    left_nano: String(limit - used - held),
    pending: false,
    resets_at: next,
    ended_at: null,
  });
  const all = spent(() => true);
  const notebook = spent((call) => call.key === keys[2]!.id);
  return [
    budget("bud_1", { kind: "project", id: "prj_1", name: "default" }, all, all * 2n + 1_000_000_000n, 412_000n),
    budget(
      "bud_2",
      { kind: "key", id: keys[2]!.id, name: "notebook of Mira" },
      notebook,
      (notebook * 108n) / 100n + 1n,
      0n,
    ),
    budget(
      "bud_3",
      { kind: "agent", id: agents[0]!.id, name: agents[0]!.name },
      spent((call) => call.agent === agents[0]!.name),
      500_000_000n,
      38_000n,
    ),
  ];
}
