// What a vLLM endpoint says of itself beside OpenAI's routes: version, KV cache, event publisher, sequences at once. All of it is asked and
// nothing is configured. What an older version does not say is left out.
import { ask, askText } from "../wire/ask.ts";
import type { Shape } from "../asked.ts";
import type { OpenServerAddress } from "../openServer.ts";
import type { KvAddress } from "./sockets.ts";

interface VllmFacts {
  version: string;
  /** Engine's start as it tells it; changes whenever its cache starts empty. */
  epoch?: string;
  blockTokens?: number;
  /** Tokens of KV that the device holds, and their bytes; bytes where the engine was given them. */
  kvTokens?: number;
  kvBytes?: number;
  /** Sequences that run at once. */
  slots?: number;
  /** APIs whose routes it has open; absent where it does not publish its routes. */
  speaks?: readonly Shape[];
  /** Where its KV events are published; absent where they are not, or where several ranks share the endpoint. */
  events?: KvAddress;
}

/** Asks for everything at once; what is refused or unknown there is left out. Throws EngineError when it names no version. */
export async function askVllm({ root, headers }: OpenServerAddress, signal?: AbortSignal): Promise<VllmFacts> {
  const optional = (path: string) => ask("GET", root + path, headers, undefined, signal).catch(() => ({}));
  const [version, metrics, sources, info, openApi] = await Promise.all([
    ask("GET", `${root}/version`, headers, undefined, signal),
    askText(`${root}/metrics`, headers, signal).catch(() => ""),
    optional("/kv_event_sources"),
    // In development mode only; a server in production does not tell its whole configuration.
    optional("/server_info?config_format=json"),
    optional("/openapi.json"),
  ]);
  const speaks = spokenRoutes(openApi);
  const events = eventAddress(sources, new URL(root).hostname);
  const slots = slotsOf(info);
  return {
    version: String(version["version"] ?? "unknown"),
    ...metricFacts(metrics),
    ...(slots !== undefined && { slots }),
    ...(speaks && { speaks }),
    ...(events && { events }),
  };
}

/** Routes by the APIs that they belong to. vLLM opens those that its model answers. */
const routes: readonly [Shape, string][] = [
  ["chat", "/v1/chat/completions"],
  ["completions", "/v1/completions"],
  ["embeddings", "/v1/embeddings"],
  ["rerank", "/v1/rerank"],
];

/** APIs of the routes in an OpenAPI document; undefined where it has none of them. */
export function spokenRoutes(openApi: Record<string, unknown>): Shape[] | undefined {
  const paths = (openApi["paths"] ?? {}) as Record<string, unknown>;
  const spoken = routes.filter(([, path]) => Object.hasOwn(paths, path)).map(([shape]) => shape);
  return spoken.length === 0 ? undefined : spoken;
}

/** What the metrics tell of the cache: labels of `vllm:cache_config_info`, and when the engine began to count. */
export function metricFacts(text: string): Pick<VllmFacts, "epoch" | "blockTokens" | "kvTokens" | "kvBytes"> {
  const cache = labelsOf(/^vllm:cache_config_info\{(.*)\} /m.exec(text)?.[1] ?? "");
  const started =
    /^vllm:prompt_tokens_created(?:\{[^}]*\})? (\S+)$/m.exec(text)?.[1] ??
    /^process_start_time_seconds (\S+)$/m.exec(text)?.[1];
  const blockTokens = positive(cache["block_size"]);
  const blocks = positive(cache["num_gpu_blocks"]);
  // Newer versions count for themselves: groups of layers may share a block.
  const kvTokens =
    positive(cache["kv_cache_size_tokens"]) ?? (blocks && blockTokens ? blocks * blockTokens : undefined);
  const kvBytes = positive(cache["kv_cache_memory_bytes"]);
  return {
    ...(started !== undefined && Number(started) > 0 && { epoch: `vllm/${Math.round(Number(started) * 1000)}` }),
    ...(blockTokens !== undefined && { blockTokens }),
    ...(kvTokens !== undefined && { kvTokens }),
    ...(kvBytes !== undefined && { kvBytes }),
  };
}

/**
 * Where to connect for events, from the publisher's configuration by rank. Only the ports are taken from it: the host is the
 * engine's own, because a hostile engine could otherwise have this process connect anywhere. Data-parallel ranks cannot be told apart
 * behind one URL: what one of several holds does not say where a call will go, so no rank is watched.
 */
export function eventAddress(sources: Record<string, unknown>, host: string): KvAddress | undefined {
  const ranks = Object.values(sources);
  const source = ranks[0] as Record<string, unknown> | null | undefined;
  if (ranks.length !== 1 || source?.["enable_kv_cache_events"] !== true || source["publisher"] !== "zmq")
    return undefined;
  const port = portOf(source["endpoint"]);
  const replayPort = portOf(source["replay_endpoint"]);
  return port === undefined ? undefined : { host, port, ...(replayPort !== undefined && { replayPort }) };
}

/** Port of `tcp://*:5557`; undefined for what is not reached by TCP. */
function portOf(endpoint: unknown): number | undefined {
  const port = typeof endpoint === "string" ? Number(/^tcp:\/\/.*:(\d{1,5})$/.exec(endpoint)?.[1]) : Number.NaN;
  return port > 0 && port < 65536 ? port : undefined;
}

function slotsOf(info: Record<string, unknown>): number | undefined {
  const config = info["vllm_config"] as { scheduler_config?: { max_num_seqs?: unknown } } | undefined;
  return positive(config?.scheduler_config?.max_num_seqs);
}

/** A whole number above 0; Prometheus labels are text, and Python's None is one of them. */
function positive(value: unknown): number | undefined {
  const number = typeof value === "string" && value !== "" ? Number(value) : value;
  return typeof number === "number" && Number.isSafeInteger(number) && number > 0 ? number : undefined;
}

function labelsOf(text: string): Record<string, string> {
  return Object.fromEntries([...text.matchAll(/(\w+)="((?:[^"\\]|\\.)*)"/g)].map((match) => [match[1]!, match[2]!]));
}
