// Starts and stops the real vLLM for its suite: on ports of its own, small enough for two cores without an accelerator.
import { spawn } from "node:child_process";
import { createServer, type AddressInfo } from "node:net";

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

export interface Server {
  url: string;
  stop(): Promise<void>;
}

export const blockTokens = 32;
export const slots = 8;
export const contextTokens = 2048;

/** Three ports that are free now. */
export async function freePorts(): Promise<Ports> {
  const servers = await Promise.all(
    [0, 0, 0].map(async () => {
      const server = createServer();
      await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
      return server;
    }),
  );
  const [http, events, replay] = servers.map((server) => (server.address() as AddressInfo).port);
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
  return { http: http!, events: events!, replay: replay! };
}

const running = new Set<() => Promise<void>>();

/** Stops whatever was started and still runs. */
export async function stopAll(): Promise<void> {
  await Promise.all([...running].map((stop) => stop()));
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
  const child = spawn(command, args, {
    stdio: ["ignore", "pipe", "pipe"],
    env: {
      ...process.env,
      // Routes of development mode: the suite empties the cache by one of them.
      VLLM_SERVER_DEV_MODE: "1",
      VLLM_CPU_KVCACHE_SPACE: "1",
      VLLM_CPU_OMP_THREADS_BIND: "auto",
      VLLM_NO_USAGE_STATS: "1",
      HF_HUB_OFFLINE: "1",
    },
  });
  let log = "";
  for (const stream of [child.stdout, child.stderr])
    stream.on("data", (text: Buffer) => {
      log = (log + text.toString("utf8")).slice(-8_000);
    });
  const gone = new Promise<void>((resolve) => child.once("close", () => resolve()));
  const stop = async () => {
    child.kill("SIGTERM");
    await gone;
    running.delete(stop);
  };
  running.add(stop);
  const url = `http://127.0.0.1:${ports.http}`;
  for (;;) {
    if (child.exitCode !== null || child.signalCode !== null) throw new Error(`vLLM did not start:\n${log}`);
    const up = await fetch(`${url}/health`).then(
      (answer) => answer.ok,
      () => false,
    );
    if (up) return { url, stop };
    await new Promise((resolve) => setTimeout(resolve, 500));
  }
}
