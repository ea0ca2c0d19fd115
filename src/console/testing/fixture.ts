// A plausible instance as data: some weeks of calls, three agents with their runs, keys and budgets, all from one seed and
// one moment. The amounts, tokens and phases of a call agree with each other, so that screens which add them up come out
// right. Tests check everything here against the API's own schemas.
import type {
  AgentDetail,
  BudgetResource,
  Call,
  CallDetail,
  ComponentStatus,
  EndpointStatus,
  EngineResource,
  KeyResource,
  RunDetail,
  Status,
} from "../../contract/index.ts";
import { seeded, type Random } from "./random.ts";
import { minute, hour, day, currency, embedded, remote, cards, idOf, iso } from "./fixtureWords.ts";
import { makeCall } from "./fixtureCalls.ts";
import { makeRun, agentsAt, countRuns } from "./fixtureRuns.ts";

export interface Fixture {
  now: number;
  status: Status;
  /** Newest first. */
  calls: CallDetail[];
  runs: RunDetail[];
  agents: AgentDetail[];
  keys: KeyResource[];
  budgets: BudgetResource[];
  engines: EngineResource[];
}

/** Makes the instance as it stands at `now`. `calls` is about how many calls lie outside runs. */
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
    engines: enginesAt(now),
  };
}

/** Ages with working hours in them: denser by day and towards the present. */
function spread(random: Random, over: number): number {
  for (let tries = 0; ; tries++) {
    const age = over * random.next() ** 1.25;
    const hourOfDay = (24 - ((age / hour) % 24) + 15) % 24;
    if (tries > 6 || random.chance(0.18 + 0.82 * Math.max(0, Math.sin(((hourOfDay - 6) / 14) * Math.PI)))) return age;
  }
}

function statusAt(random: Random, now: number, started: number): Status {
  const component = (name: string, rss: number, more: Partial<ComponentStatus> = {}): ComponentStatus => ({
    name,
    state: "ready",
    pid: random.whole(900, 32_000),
    restarts: 0,
    started_at: iso(started),
    rss_bytes: rss,
    ...more,
  });
  return {
    version: "0.1.0",
    address: "http://localhost:4070",
    started_at: iso(started),
    healthy: true,
    troubles: [],
    alarms: [],
    components: [
      component("gateway", 148_200_000),
      component("postgres", 96_400_000),
      component("restate", 131_700_000),
      component("worker-0", 561_900_000, {
        restarts: 1,
        started_at: iso(now - 5 * hour),
        last_error: "Ended with signal SIGKILL; started again after 1 s.",
      }),
      component("worker-1", 561_900_000),
    ],
    deployments: [
      {
        name: embedded,
        engine: "embedded",
        state: "ready",
        placement: "two-tier",
        disk: { used_bytes: 1_311_000_000, budget_bytes: 4_000_000_000, files: 61 },
        endpoints: [
          workerAt(random, now, { name: "worker-0", role: "prefill", running: 1, idle: 1, share: 0.7 }),
          workerAt(random, now, { name: "worker-1", role: "decode", running: 3, idle: 3, share: 0.3 }),
        ],
      },
      {
        name: remote,
        engine: "openai",
        state: "partial",
        endpoints: [
          { endpoint: `${remote}-0`, role: "both", state: "ready", context_tokens: 131_072, running: 1 },
          {
            ...{ endpoint: `${remote}-1`, role: "both", state: "down", context_tokens: 131_072, running: 0 },
            error: "The engine at http://10.20.0.15:8000 does not answer.",
          },
        ],
      },
    ],
    memory: { total_rss_bytes: 938_200_000 },
    storage: { state: "ok", free_bytes: 24_000_000_000 },
    organisation: { id: "org_1", name: "northmill", currency },
    project: { id: "prj_1", name: "default" },
    role: "owner",
  };
}

interface WorkerWords {
  name: string;
  role: EndpointStatus["role"];
  /** Sequences in these states; the others of eight are free. */
  running: number;
  idle: number;
  /** Of the deployment's prompt tokens. */
  share: number;
}

function workerAt(random: Random, now: number, { name, role, running, idle, share }: WorkerWords): EndpointStatus {
  const of = (total: number) => Math.round(total * share);
  return {
    endpoint: name,
    role,
    state: "ready",
    threads: 1,
    context_tokens: 8_192,
    slots: 8,
    running,
    waiting: 0,
    memory: { rss_bytes: 561_900_000, model_bytes: 101_500_000, kv_bytes: 377_487_360 },
    sequences: Array.from({ length: 8 }, (_, id) => {
      const state = id < running ? "running" : id < running + idle ? "idle" : "free";
      if (state === "free") return { id, state, tokens: 0 };
      const program = idOf(random, state === "running" ? "run" : "prog", now - random.between(0, hour));
      return { id, state, tokens: random.whole(400, 5_200), program };
    }),
    totals: {
      calls: of(6_804),
      prompt_tokens: of(6_120_448),
      computed_tokens: of(2_311_296),
      cached_device_tokens: of(3_204_672),
      cached_disk_tokens: of(604_480),
      output_tokens: role === "prefill" ? 0 : 498_120,
      parks: of(912),
      restores: of(701),
    },
  };
}

function enginesAt(now: number): EngineResource[] {
  const price = (model: string) => {
    const [input, cached, output] = cards[model]!;
    return {
      currency,
      input_nano_per_million: String(input),
      cached_nano_per_million: String(cached),
      output_nano_per_million: String(output),
    };
  };
  return [
    {
      name: embedded,
      kind: "embedded",
      urls: [],
      endpoints: [{ endpoint: "worker-0", state: "ready" }],
      model: "SmolLM2-135M-Instruct Q4_1",
      key_env: null,
      allow_fields: [],
      price: price(embedded),
      created_at: null,
    },
    {
      name: remote,
      kind: "openai",
      urls: ["http://10.20.0.14:8000/v1", "http://10.20.0.15:8000/v1"],
      endpoints: [{ endpoint: "added-0", state: "ready" }],
      model: "Qwen/Qwen3-32B",
      key_env: "VLLM_KEY",
      allow_fields: [],
      price: price(remote),
      created_at: iso(now - 19 * day),
    },
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
    held_nano: String(held),
    left_nano: String(limit - used - held),
    resets_at: next,
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
