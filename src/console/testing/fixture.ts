// A plausible instance as data: some weeks of calls, three agents with their runs, keys and budgets, all from one seed and
// one moment. The amounts, tokens and phases of a call agree with each other, so that screens which add them up come out
// right. Tests check everything here against the API's own schemas.
import { newId, type IdPrefix } from "../../store/ids.ts";
import type {
  AgentDetail,
  AttemptResource,
  Bill,
  BillLine,
  BudgetResource,
  Call,
  CallDetail,
  ComponentStatus,
  EngineResource,
  KeyResource,
  Overview,
  Run,
  RunDetail,
  Status,
  StepResource,
} from "../../gateway/api/schemas.ts";
import { seeded, type Random } from "./random.ts";

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

const minute = 60_000;
const hour = 60 * minute;
const day = 24 * hour;
export const currency = "USD";
const contractPriceNano = 50_000_000n;

const embedded = "smollm2-135m-instruct";
const remote = "qwen3-32b";
/** Nano per million tokens: input, cached, output. */
const cards: Record<string, [bigint, bigint, bigint]> = {
  [embedded]: [20_000_000n, 5_000_000n, 60_000_000n],
  [remote]: [180_000_000n, 45_000_000n, 700_000_000n],
};

export const priceOf = (model: string, prompt: number, cached: number, output: number): bigint => {
  const [input, hit, out] = cards[model] ?? [0n, 0n, 0n];
  return (BigInt(prompt - cached) * input + BigInt(cached) * hit + BigInt(output) * out) / 1_000_000n;
};

const idOf = (random: Random, prefix: IdPrefix, at: number): string =>
  newId(prefix, Math.floor(at), Buffer.from(Array.from({ length: 11 }, () => random.whole(0, 255))));
const iso = (at: number) => new Date(at).toISOString();
const tenth = (value: number) => Math.round(value * 10) / 10;

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

interface CallWish {
  at: number;
  model: string;
  key: string | null;
  agent?: string;
  run?: string;
  program?: string | null;
  status?: Call["status"];
  prompt?: number;
  output?: number;
}

export function makeCall(random: Random, wish: CallWish): CallDetail {
  const roll = random.next();
  const status =
    wish.status ?? (roll < 0.955 ? "completed" : roll < 0.972 ? "cancelled" : roll < 0.987 ? "failed" : "refused");
  const small = wish.model === embedded;
  const prompt = wish.prompt ?? Math.round(Math.min(small ? 7_800 : 30_000, random.tail(small ? 640 : 2_600, 0.8)));
  const cached =
    status === "refused" || random.chance(0.2)
      ? 0
      : Math.min(prompt - 1, Math.floor((prompt * random.between(0.45, 0.97)) / 64) * 64);
  const planned = wish.output ?? Math.round(Math.min(1_024, random.tail(small ? 58 : 190, 0.8)) + 1);
  const output = status === "completed" ? planned : status === "cancelled" ? Math.ceil(planned * random.next()) : 0;
  const id = idOf(random, "call", wish.at);
  const attempts: AttemptResource[] = [];
  let cursor = 0;
  const take = (ms: number) => [tenth(cursor), tenth((cursor += ms))] as const;
  if (status !== "refused") {
    const failsFirst = !small && (status === "failed" || random.chance(0.03));
    if (failsFirst) {
      const phases = phasesOf(
        [
          ["admit", random.between(0.4, 1.6)],
          ["place", 0.2],
          ["connect", random.between(200, 900)],
        ],
        take,
      );
      attempts.push({
        id: idOf(random, "att", wish.at),
        number: 1,
        engine: wish.model,
        status: "failed",
        error_code: "engine_unreachable",
        decision: null,
        cached_by_tier: null,
        phases,
        prompt_tokens: 0,
        cached_tokens: 0,
        output_tokens: 0,
        price_nano: "0",
      });
    }
    if (!failsFirst || status !== "failed") {
      const speed = small ? 1_450 : 5_200;
      const disk = small && cached > 0 && random.chance(0.25) ? cached : 0;
      const queued = random.chance(0.22) ? random.tail(90, 1.1) : random.between(0.05, 0.6);
      const phases = phasesOf(
        [
          ["admit", random.between(0.5, 2.4)],
          ["queue", queued],
          ["place", random.between(0.04, 0.3)],
          ["connect", small ? random.between(0.3, 1.2) : random.between(8, 40)],
          ...(disk > 0 ? [["restore", 4 + disk * 0.006] as [Phase, number]] : []),
          ["prefill", 6 + ((prompt - cached) / speed) * 1_000],
          ["decode", status === "failed" ? 0.4 : output * random.between(small ? 7 : 14, small ? 15 : 26)],
          ["settle", random.between(0.6, 3)],
        ],
        take,
      );
      attempts.push({
        id: idOf(random, "att", wish.at + 1),
        number: attempts.length + 1,
        engine: wish.model,
        status: status === "completed" ? "completed" : status,
        error_code: status === "failed" ? "engine_failed" : null,
        decision: decisionFor(random, wish.model, prompt, cached),
        cached_by_tier: cached === 0 ? null : disk > 0 ? { disk } : { device: cached },
        phases,
        prompt_tokens: prompt,
        cached_tokens: cached,
        output_tokens: output,
        price_nano: String(priceOf(wish.model, prompt, cached, output)),
      });
    }
  }
  const served = attempts.at(-1)?.prompt_tokens === 0 ? undefined : attempts.at(-1);
  const decode = served?.phases.find((phase) => phase.name === "decode");
  return {
    id,
    endpoint: random.chance(0.94) ? "chat" : "completions",
    model: wish.model,
    stream: wish.run === undefined && random.chance(0.8),
    status,
    error_code:
      status === "refused"
        ? random.pick(["budget_exceeded", "context_length_exceeded"])
        : status === "failed"
          ? (attempts.at(-1)?.error_code ?? null)
          : null,
    finish_reason: status === "completed" ? (random.chance(0.93) ? "stop" : "length") : null,
    key: wish.key,
    agent: wish.agent ?? null,
    run: wish.run ?? null,
    program: wish.run ?? wish.program ?? null,
    prompt_tokens: served === undefined ? 0 : prompt,
    cached_tokens: served === undefined ? 0 : cached,
    output_tokens: output,
    price_nano: String(attempts.reduce((sum, attempt) => sum + BigInt(attempt.price_nano), 0n)),
    currency,
    started_at: iso(wish.at),
    first_token_ms: output > 0 && decode !== undefined ? tenth(decode.start_ms + 4) : null,
    duration_ms: status === "refused" ? tenth(random.between(0.6, 2)) : tenth(cursor),
    attempts,
  };
}

type Phase = AttemptResource["phases"][number]["name"];
const phasesOf = (list: [Phase, number][], take: (ms: number) => readonly [number, number]) =>
  list.map(([name, ms]) => {
    const [start_ms, end_ms] = take(ms);
    return { name, start_ms, end_ms };
  });

function decisionFor(random: Random, model: string, prompt: number, cached: number): AttemptResource["decision"] {
  const candidate = (endpoint: string, matched: number) => {
    const waiting = Math.round(random.between(0, 1_400));
    const wait = tenth(waiting / 1.45);
    const prefill = tenth((prompt - matched) / 1.45);
    return {
      endpoint,
      score: tenth(wait + prefill),
      numbers: {
        matched_tokens: matched,
        uncached_tokens: prompt - matched,
        waiting_tokens: waiting,
        expected_first_token_ms: tenth(wait + prefill),
        kv_free_tokens: random.whole(8_000, 60_000),
      },
    };
  };
  const chosen = candidate(model === embedded ? "worker-0" : `${model}/a`, cached);
  if (model === embedded)
    return {
      policy: "least-first-token",
      chosen,
      runner_up: null,
      reason: "The only endpoint that serves this model.",
    };
  let runnerUp = candidate(`${model}/b`, Math.floor((cached * random.between(0, 0.5)) / 64) * 64);
  if (runnerUp.score <= chosen.score) {
    const longer = Math.ceil((chosen.score - runnerUp.score) * 1.45) + random.whole(60, 700);
    const waiting = runnerUp.numbers.waiting_tokens + longer;
    const score = tenth(waiting / 1.45 + runnerUp.numbers.uncached_tokens / 1.45);
    runnerUp = {
      ...runnerUp,
      score,
      numbers: { ...runnerUp.numbers, waiting_tokens: waiting, expected_first_token_ms: score },
    };
  }
  return {
    policy: "least-first-token",
    chosen,
    runner_up: runnerUp,
    reason: `Holds ${cached} of ${prompt} prompt tokens; first token expected ${tenth(runnerUp.score - chosen.score)} ms sooner than at the next best endpoint.`,
  };
}

// ------------------------------------------------------------------------------------------------------------- runs

const modes = [
  {
    mode: "heat_dissipation",
    reason: "Air and process temperature differ by 8.1 K (limit 8.6 K) at 1,332 rpm (limit 1,380 rpm).",
    limits: ["temperature_difference", "speed"],
  },
  { mode: "tool_wear", reason: "The tool has run 221 min, past the limit of 200 min.", limits: ["tool_wear"] },
  {
    mode: "overstrain",
    reason: "Wear times torque is 12,480 min Nm, past 11,000 min Nm for type L.",
    limits: ["strain"],
  },
  { mode: "power", reason: "Power is 2,914 W, below the limit of 3,500 W.", limits: ["power"] },
  { mode: "none", reason: "No limit is exceeded.", limits: [] },
];

function makeRun(
  random: Random,
  agent: AgentDetail,
  at: number,
  key: string,
  alive: "running" | "waiting" | undefined,
) {
  const id = idOf(random, "run", at);
  const machine = `M-${random.whole(1, 40).toString().padStart(3, "0")}`;
  const truth = random.pick(modes);
  const seen = random.chance(0.93) ? truth : random.pick(modes);
  const dies = alive === undefined && random.chance(0.03);
  const stopped = alive === undefined && !dies && random.chance(0.012);
  const calls: CallDetail[] = [];
  const steps: StepResource[] = [];
  let clock = at + random.between(20, 120);
  const step = (part: Partial<StepResource> & Pick<StepResource, "kind" | "name">, ms: number): StepResource => {
    const made: StepResource = {
      number: steps.length + 1,
      status: "completed",
      input: null,
      output: null,
      call: null,
      cost_nano: "0",
      effect: null,
      error_message: null,
      started_at: iso(clock),
      ended_at: iso((clock += ms)),
      ...part,
    };
    steps.push(made);
    clock += random.between(3, 25);
    return made;
  };
  const model = (prompt: number, output: number, messages: unknown[], answer: unknown) => {
    const call = makeCall(random, {
      at: clock,
      model: agent.model,
      key,
      agent: agent.name,
      run: id,
      status: "completed",
      prompt,
      output,
    });
    calls.push(call);
    step(
      {
        kind: "model",
        name: agent.model,
        input: { model: agent.model, messages, temperature: 0, max_tokens: 160 },
        output: answer,
        call: call.id,
        cost_nano: call.price_nano,
      },
      call.duration_ms,
    );
  };
  const system = { role: "system", content: String((agent.manifest as { instructions?: string }).instructions) };
  const readings = {
    machine,
    type: random.pick(["L", "M", "H"]),
    air_temperature_k: tenth(random.between(295, 304)),
    process_temperature_k: tenth(random.between(305, 314)),
    rotational_speed_rpm: random.whole(1_180, 2_400),
    torque_nm: tenth(random.between(10, 70)),
    tool_wear_min: random.whole(0, 240),
    exceeded: truth.limits,
  };
  const base = random.whole(760, 860);
  model(base, 24, [system, { role: "user", content: `Inspect machine ${machine}.` }], {
    role: "assistant",
    content: null,
    tool_calls: [
      { id: "call_1", type: "function", function: { name: "read_machine", arguments: JSON.stringify({ machine }) } },
    ],
  });
  step({ kind: "tool", name: "read_machine", input: { machine }, output: readings }, random.between(4, 18));
  if (alive !== "waiting" || !random.chance(0)) {
    if (random.chance(0.15) || alive === "waiting")
      step(
        { kind: "wait", name: "cool-down timer", input: { seconds: 30 }, output: null },
        random.between(8_000, 31_000),
      );
    model(
      base + 140,
      random.whole(38, 64),
      [
        system,
        { role: "user", content: `Inspect machine ${machine}.` },
        { role: "tool", content: JSON.stringify(readings, null, 2) },
      ],
      { failure_mode: seen.mode, reason: seen.reason },
    );
  }
  let outcome: Run["outcome"] = null;
  if (alive === undefined && !dies && !stopped) {
    const order = {
      order: `WO-${random.whole(10_000, 99_999)}`,
      machine,
      failure_mode: seen.mode,
      reason: seen.reason,
    };
    step(
      {
        kind: "tool",
        name: "open_work_order",
        input: { machine, failure_mode: seen.mode, reason: seen.reason },
        output: order,
        effect: {
          key: `org_1:${id}:${steps.length + 1}:0`,
          tool: "open_work_order",
          state: "done",
          attempts: random.chance(0.06) ? 2 : 1,
        },
      },
      random.between(6, 40),
    );
    const passed = seen.mode === truth.mode;
    const reason = passed
      ? `Work order ${order.order} names ${truth.mode}, which the readings of ${machine} show.`
      : `The readings of ${machine} show ${truth.mode}; work order ${order.order} names ${seen.mode}.`;
    step(
      {
        kind: "verify",
        name: "ai4i-physics",
        input: { work_order: order, readings },
        output: { verdict: passed ? "passed" : "failed", reason },
      },
      random.between(0.4, 2),
    );
    outcome = {
      id: `out_${id.slice(4)}`,
      contract: "failure-mode-named",
      verifier: "ai4i-physics@1",
      verdict: passed ? "passed" : "failed",
      reason,
      price_nano: passed ? String(contractPriceNano) : "0",
      currency,
      created_at: iso(clock),
    };
  } else if (dies) {
    step(
      {
        kind: "tool",
        name: "open_work_order",
        status: "failed",
        input: { machine, failure_mode: seen.mode, reason: seen.reason },
        error_message: "The MCP server closed the connection before it answered (3 attempts).",
        effect: { key: `org_1:${id}:${steps.length + 1}:0`, tool: "open_work_order", state: "unknown", attempts: 3 },
      },
      random.between(900, 4_000),
    );
  }
  const sum = (pick: (call: CallDetail) => number) => calls.reduce((total, call) => total + pick(call), 0);
  const run: RunDetail = {
    id,
    agent: agent.name,
    version: agent.version,
    status: alive ?? (dies ? "failed" : stopped ? "stopped" : "completed"),
    error_code: dies ? "effect_unknown" : stopped ? "stopped" : null,
    error_message: dies
      ? "Whether open_work_order took place is not known. Look at the tool's own records, then settle the effect by hand."
      : stopped
        ? "Stopped by key first owner."
        : null,
    steps: steps.length,
    prompt_tokens: sum((call) => call.prompt_tokens),
    cached_tokens: sum((call) => call.cached_tokens),
    output_tokens: sum((call) => call.output_tokens),
    cost_nano: String(calls.reduce((total, call) => total + BigInt(call.price_nano), 0n)),
    currency,
    outcome,
    created_at: iso(at),
    started_at: iso(Date.parse(steps[0]!.started_at) - 12),
    ended_at: alive === undefined ? iso(clock) : null,
    input: { machine, readings: `readings/${machine}.json` },
    output: outcome === null ? null : { failure_mode: seen.mode, reason: seen.reason },
    step_list: steps,
  };
  return { run, calls };
}

function agentsAt(random: Random, now: number): AgentDetail[] {
  const agent = (
    name: string,
    model: string,
    versions: number,
    age: number,
    manifest: Record<string, unknown>,
  ): AgentDetail => ({
    id: `agent_${idOf(random, "run", now - age).slice(4)}`,
    name,
    version: versions,
    model,
    created_at: iso(now - age),
    runs: { total: 0, running: 0, waiting: 0, failed: 0 },
    outcomes: { passed: 0, failed: 0 },
    manifest: { kind: "Agent", name, model, ...manifest },
    versions: Array.from({ length: versions }, (_, index) => ({
      number: versions - index,
      id: idOf(random, "agv", now - age + (versions - 1 - index) * 3 * day),
      created_at: iso(now - age + (versions - 1 - index) * 3 * day),
    })),
  });
  const tools = (url: string, effects: string[]) => [{ mcp: { name: "plant", url }, effects }];
  return [
    agent("maintenance-inspector", embedded, 4, 29 * day, {
      instructions:
        "You inspect milling machines. Read the machine, decide which failure mode its readings show, then open a work order with the failure mode and the reason.",
      tools: tools("http://127.0.0.1:4180/mcp", ["open_work_order"]),
      limits: { steps: 8, tokens: 20_000, money: "0.01 USD", time: "2m" },
      examples: [{ input: "exceeded: [tool_wear]", output: { failure_mode: "tool_wear" } }],
      outcome: { contract: "failure-mode-named", verifier: "ai4i-physics", price: "0.05 USD" },
    }),
    agent("invoice-reader", remote, 2, 17 * day, {
      instructions:
        "You read supplier invoices and enter them into the books. Amounts must add up; when they do not, say so instead of entering.",
      tools: tools("http://127.0.0.1:4190/mcp", ["enter_invoice"]),
      limits: { steps: 12, tokens: 60_000, money: "0.10 USD", time: "5m" },
      outcome: { contract: "invoice-entered", verifier: "sums-agree", price: "0.05 USD" },
    }),
    agent("ticket-triage", embedded, 1, 6 * day, {
      instructions: "You sort incoming tickets into queues.",
      tools: [],
      limits: { steps: 4, tokens: 8_000, money: "0.005 USD", time: "30s" },
      outcome: { contract: "queue-agreed", verifier: "desk-review", price: "0.05 USD" },
    }),
  ];
}

export function countRuns(agent: AgentDetail, runs: Run[]): void {
  const own = runs.filter((run) => run.agent === agent.name);
  const count = (status: Run["status"]) => own.filter((run) => run.status === status).length;
  agent.runs = {
    total: own.length,
    running: count("running") + count("queued"),
    waiting: count("waiting"),
    failed: count("failed"),
  };
  agent.outcomes = {
    passed: own.filter((run) => run.outcome?.verdict === "passed").length,
    failed: own.filter((run) => run.outcome?.verdict === "failed").length,
  };
}

// ------------------------------------------------------------------------------------------- status, budgets, engines

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
    components: [
      component("gateway", 148_200_000),
      component("postgres", 96_400_000),
      component("restate", 131_700_000),
      component("worker-0", 561_900_000, {
        restarts: 1,
        started_at: iso(now - 5 * hour),
        last_error: "Ended with signal SIGKILL; started again after 1 s.",
      }),
    ],
    deployments: [
      {
        name: embedded,
        engine: "embedded",
        state: "ready",
        context_tokens: 8_192,
        slots: 8,
        running: 3,
        waiting: 0,
        memory: { rss_bytes: 561_900_000, model_bytes: 101_500_000, kv_bytes: 377_487_360 },
        disk: { used_bytes: 1_311_000_000, budget_bytes: 4_000_000_000, files: 61 },
        sequences: Array.from({ length: 8 }, (_, id) => {
          const state = id < 3 ? "running" : id < 6 ? "idle" : "free";
          return {
            id,
            state,
            tokens: state === "free" ? 0 : random.whole(400, 5_200),
            ...(state === "free"
              ? {}
              : { program: idOf(random, id < 3 ? "run" : "prog", now - random.between(0, hour)) }),
          } as const;
        }),
        totals: {
          calls: 6_804,
          prompt_tokens: 6_120_448,
          computed_tokens: 2_311_296,
          cached_device_tokens: 3_204_672,
          cached_disk_tokens: 604_480,
          output_tokens: 498_120,
          parks: 912,
          restores: 701,
        },
      },
      { name: remote, engine: "openai", state: "ready", context_tokens: 131_072, running: 1, waiting: 0 },
    ],
    memory: { total_rss_bytes: 938_200_000 },
    organisation: { id: "org_1", name: "northmill", currency },
    project: { id: "prj_1", name: "default" },
    role: "owner",
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
      url: null,
      model: "SmolLM2-135M-Instruct Q4_1",
      key_env: null,
      price: price(embedded),
      created_at: null,
    },
    {
      name: remote,
      kind: "openai",
      url: "http://10.20.0.14:8000/v1",
      model: "Qwen/Qwen3-32B",
      key_env: "VLLM_KEY",
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

// ------------------------------------------------------------------------------------------------- sums over a period

const steps: Record<string, [number, number]> = {
  "1h": [hour, minute],
  "24h": [day, 30 * minute],
  "7d": [7 * day, 4 * hour],
  "30d": [30 * day, 12 * hour],
};

export function overviewOf(fixture: Fixture, range: string, now: number): Overview {
  const [length, step] = steps[range] ?? steps["24h"]!;
  const to = Math.ceil(now / step) * step;
  const from = to - length;
  const within = <T extends { started_at?: string | null; created_at?: string }>(
    list: T[],
    low: number,
    high: number,
  ) =>
    list.filter((item) => {
      const at = Date.parse(item.started_at ?? item.created_at ?? "");
      return at >= low && at < high;
    });
  const calls = within(fixture.calls, from, to);
  const runs = within(fixture.runs, from, to);
  const before = within(fixture.calls, from - length, from);
  const runsBefore = within(fixture.runs, from - length, from);
  const cost = (list: Call[]) => list.reduce((sum, call) => sum + BigInt(call.price_nano), 0n);
  const revenue = (list: Run[]) => list.reduce((sum, run) => sum + BigInt(run.outcome?.price_nano ?? 0), 0n);
  const cached = calls.reduce((sum, call) => sum + call.cached_tokens, 0);
  const uncached = calls.reduce((sum, call) => sum + call.prompt_tokens - call.cached_tokens, 0);
  const output = calls.reduce((sum, call) => sum + call.output_tokens, 0);
  const saved = calls.reduce(
    (sum, call) =>
      sum +
      priceOf(call.model, call.cached_tokens, 0, 0) -
      priceOf(call.model, call.cached_tokens, call.cached_tokens, 0),
    0n,
  );
  const first = calls
    .flatMap((call) => (call.status === "completed" && call.first_token_ms !== null ? [call.first_token_ms] : []))
    .toSorted((a, b) => a - b);
  const at = (share: number) => first[Math.min(first.length - 1, Math.floor(first.length * share))] ?? null;
  const passed = runs.filter((run) => run.outcome?.verdict === "passed").length;
  const failed = runs.filter((run) => run.outcome?.verdict === "failed").length;
  const series = Array.from({ length: length / step }, (_, index) => {
    const slot = within(calls, from + index * step, from + (index + 1) * step);
    const hit = slot.reduce((sum, call) => sum + call.cached_tokens, 0);
    return {
      time: iso(from + index * step),
      cached_tokens: hit,
      uncached_tokens: slot.reduce((sum, call) => sum + call.prompt_tokens, 0) - hit,
      output_tokens: slot.reduce((sum, call) => sum + call.output_tokens, 0),
      calls: slot.length,
      cost_nano: String(cost(slot)),
    };
  });
  const tokens = (list: Call[]) => list.reduce((sum, call) => sum + call.prompt_tokens + call.output_tokens, 0);
  const count = (status: Run["status"]) => runs.filter((run) => run.status === status).length;
  return {
    from: iso(from),
    to: iso(to),
    currency,
    calls: {
      total: calls.length,
      failed: calls.filter((call) => call.status === "failed").length,
      refused: calls.filter((call) => call.status === "refused").length,
    },
    tokens: { uncached, cached, output },
    cached_share: uncached + cached === 0 ? null : cached / (uncached + cached),
    saved: { nano: String(saved), prefill_ms: cached === 0 ? null : cached / 1.45 },
    first_token_ms: { p50: at(0.5), p90: at(0.9), p99: at(0.99) },
    runs: {
      running: count("running"),
      waiting: count("waiting"),
      completed: count("completed"),
      failed: count("failed"),
    },
    outcomes: { passed, failed, pass_rate: passed + failed === 0 ? null : passed / (passed + failed) },
    money: {
      revenue_nano: String(revenue(runs)),
      cost_nano: String(cost(calls)),
      margin_nano: String(revenue(runs) - cost(calls)),
    },
    series,
    previous: {
      calls: before.length,
      tokens: tokens(before),
      cost_nano: String(cost(before)),
      revenue_nano: String(revenue(runsBefore)),
    },
  };
}

export function billOf(fixture: Fixture, from: number, to: number): Bill {
  const inside = (time: string) => Date.parse(time) >= from && Date.parse(time) < to;
  const calls = fixture.calls.filter((call) => inside(call.started_at));
  const runs = fixture.runs.filter((run) => inside(run.created_at));
  const line = (agent: string | null, own: Call[], work: Run[]): BillLine => {
    const cost = own.reduce((sum, call) => sum + BigInt(call.price_nano), 0n);
    const revenue = work.reduce((sum, run) => sum + BigInt(run.outcome?.price_nano ?? 0), 0n);
    const passed = work.filter((run) => run.outcome?.verdict === "passed").length;
    const failed = work.filter((run) => run.outcome?.verdict === "failed").length;
    const total = (pick: (call: Call) => number) => own.reduce((sum, call) => sum + pick(call), 0);
    const tokens = total((call) => call.prompt_tokens + call.output_tokens);
    return {
      agent,
      runs: work.length,
      calls: own.length,
      prompt_tokens: total((call) => call.prompt_tokens),
      cached_tokens: total((call) => call.cached_tokens),
      output_tokens: total((call) => call.output_tokens),
      revenue_nano: String(revenue),
      token_cost_nano: String(cost),
      margin_nano: String(revenue - cost),
      outcomes_passed: passed,
      outcomes_failed: failed,
      pass_rate: passed + failed === 0 ? null : passed / (passed + failed),
      cost_per_verified_outcome_nano: passed === 0 ? null : String(cost / BigInt(passed)),
      verified_outcomes_per_million_tokens: tokens === 0 || passed + failed === 0 ? null : (passed * 1e6) / tokens,
    };
  };
  const lines = fixture.agents.map((agent) =>
    line(
      agent.name,
      calls.filter((call) => call.agent === agent.name),
      runs.filter((run) => run.agent === agent.name),
    ),
  );
  lines.push(
    line(
      null,
      calls.filter((call) => call.agent === null),
      [],
    ),
  );
  return {
    from: iso(from),
    to: iso(to),
    currency,
    lines: lines.filter((each) => each.calls + each.runs > 0),
    total: line(null, calls, runs),
  };
}
