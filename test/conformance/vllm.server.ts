// Starts and stops the real vLLM for its suite: on ports of its own, small enough for two cores without an accelerator.
import { freePorts, startServer, type Server } from "./childServer.ts";

export interface ServerOptions {
  command: string;
  /** Folder of the model. */
  model: string;
  ports: Ports;
  /** Blocks of the whole KV cache, to make it evict; all that fit unless given. */
  blocks?: number;
  /** Messages kept for replay. */
  ring?: number;
}

export interface Ports {
  http: number;
  events: number;
  replay: number;
}

export const blockTokens = 32;
export const slots = 8;
export const contextTokens = 2048;

/** Three ports that are free now. */
export async function vllmPorts(): Promise<Ports> {
  const [http, events, replay] = await freePorts(3);
  return { http: http!, events: events!, replay: replay! };
}

/** Resolves when it answers; that takes a minute or two. Rejects with the end of its log when it exits before. */
export async function startVllm({ command, model, ports, blocks, ring = 10_000 }: ServerOptions): Promise<Server> {
  const events = {
    enable_kv_cache_events: true,
    publisher: "zmq",
    endpoint: `tcp://*:${ports.events}`,
    replay_endpoint: `tcp://*:${ports.replay}`,
    buffer_steps: ring,
    topic: "kv@test@smol",
  };
  const args = ["serve", model, "--served-model-name", "smol", "--host", "127.0.0.1", "--port", `${ports.http}`];
  args.push("--dtype", "bfloat16", "--enforce-eager", "--max-model-len", `${contextTokens}`);
  args.push("--max-num-seqs", `${slots}`, "--block-size", `${blockTokens}`, "--enable-prompt-tokens-details");
  args.push("--kv-events-config", JSON.stringify(events));
  if (blocks !== undefined) args.push("--num-gpu-blocks-override", `${blocks}`);
  return startServer({
    name: "vLLM",
    command,
    args,
    url: `http://127.0.0.1:${ports.http}`,
    ready: "/health",
    env: {
      // Routes of development mode: the suite empties the cache by one of them.
      VLLM_SERVER_DEV_MODE: "1",
      VLLM_CPU_KVCACHE_SPACE: "1",
      VLLM_CPU_OMP_THREADS_BIND: "auto",
      VLLM_NO_USAGE_STATS: "1",
      HF_HUB_OFFLINE: "1",
    },
    signal: "SIGTERM",
  });
}
