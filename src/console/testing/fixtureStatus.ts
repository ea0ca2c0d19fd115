// The fixture's status page: its components, its two deployments with their endpoints, and its engines with prices.
import type {
  ComponentStatus,
  EndpointStatus,
  EngineResource,
  ModelRouteResource,
  Status,
} from "../../contract/index.ts";
import type { Random } from "./random.ts";
import { day, hour, currency, embedded, remote, cards, idOf, iso } from "./fixtureWords.ts";

export function statusAt(random: Random, now: number, started: number): Status {
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
        clients: clientsOf(8_192),
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
        clients: clientsOf(131_072),
        endpoints: [
          { endpoint: `${remote}-0`, role: "both", state: "ready", context_tokens: 131_072, running: 1 },
          {
            endpoint: `${remote}-1`,
            role: "both",
            state: "down",
            context_tokens: 131_072,
            running: 0,
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

/** Coding agents, as an instance knows them, and whether a context holds each. */
const clientsOf = (context: number) =>
  [
    { name: "Claude Code", needs_tokens: 14_500 },
    { name: "Codex", needs_tokens: 10_500 },
    { name: "OpenCode", needs_tokens: 12_500 },
  ].map((client) => ({ ...client, fits: client.needs_tokens <= context }));

interface WorkerWords {
  name: string;
  role: EndpointStatus["role"];
  /** Number of sequences in this state; those that are neither running nor idle are free. */
  running: number;
  idle: number;
  /** Part of the deployment's prompt tokens that this worker computed, 0 to 1. */
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

export function enginesAt(now: number): EngineResource[] {
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
      preset: null,
      connect_ms: null,
      first_token_ms: null,
      idle_ms: null,
      concurrency: null,
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
      preset: null,
      connect_ms: null,
      first_token_ms: null,
      idle_ms: null,
      concurrency: null,
      price: price(remote),
      created_at: iso(now - 19 * day),
    },
  ];
}

/** By name, as the API lists them. */
export function routesAt(now: number): ModelRouteResource[] {
  return [
    { model: "claude-*", serves: remote, fallbacks: [embedded], marks: "auto", updated_at: iso(now - 5 * day) },
    {
      model: embedded,
      retry: { most: 2, wait_most_ms: 5_000 },
      continues: false,
      cache: { projects: ["prj_1"], keep_seconds: 3_600 },
      updated_at: iso(now - 3 * day),
    },
    { model: remote, hedge: { after_ms: 800, share: 0.05 }, updated_at: iso(now - 2 * hour) },
  ];
}
