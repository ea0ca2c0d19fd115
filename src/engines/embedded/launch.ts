// How a worker is started: the supervisor's command line, and the number of threads.
import { randomBytes } from "node:crypto";
import { fileURLToPath } from "node:url";
import type { SamplingDefaults } from "./samplingDefaults.ts";

interface WorkerLaunch {
  /** GGUF file. */
  modelPath: string;
  /** Name under which it is served. */
  modelName: string;
  /** Shared by the replicas of a deployment. */
  kvDir: string;
  kvBudgetBytes?: number;
  slots?: number;
  /** 0: what the model was trained for, at most 4,096. */
  contextTokens?: number;
  threads: number;
  /** The model makes embeddings. */
  embeds?: boolean;
  queueLimit?: number;
  /** What the model's makers recommend; absent: what the file says. */
  sampling?: Partial<SamplingDefaults>;
  /** 0: any free one; the worker says which over its IPC channel. */
  port?: number;
  /** Random for every start unless given. */
  token?: string;
}

interface WorkerCommand {
  command: string;
  args: string[];
  env: Record<string, string>;
  token: string;
}

/** Command, arguments and whole environment of a worker process; it needs an IPC channel beside them. */
export function workerCommand(launch: WorkerLaunch, inherited: NodeJS.ProcessEnv = process.env): WorkerCommand {
  const token = launch.token ?? randomBytes(24).toString("hex");
  const env: Record<string, string> = {
    LINESHAFT_WORKER_PORT: String(launch.port ?? 0),
    LINESHAFT_WORKER_TOKEN: token,
    LINESHAFT_WORKER_MODEL: launch.modelPath,
    LINESHAFT_WORKER_MODEL_NAME: launch.modelName,
    LINESHAFT_WORKER_KV_DIR: launch.kvDir,
    LINESHAFT_WORKER_THREADS: String(launch.threads),
  };
  if (launch.kvBudgetBytes !== undefined) env["LINESHAFT_WORKER_KV_BUDGET_BYTES"] = String(launch.kvBudgetBytes);
  if (launch.embeds === true) env["LINESHAFT_WORKER_EMBEDS"] = "1";
  if (launch.slots !== undefined) env["LINESHAFT_WORKER_SLOTS"] = String(launch.slots);
  if (launch.contextTokens !== undefined) env["LINESHAFT_WORKER_CONTEXT"] = String(launch.contextTokens);
  if (launch.queueLimit !== undefined) env["LINESHAFT_WORKER_QUEUE"] = String(launch.queueLimit);
  if (launch.sampling !== undefined) env["LINESHAFT_WORKER_SAMPLING"] = JSON.stringify(launch.sampling);
  // The library needs these to find itself and its drivers; no other variable of the parent is passed on.
  for (const name of passedOn) {
    const value = inherited[name];
    if (value !== undefined) env[name] = value;
  }
  return { command: process.execPath, args: [fileURLToPath(new URL("worker.ts", import.meta.url))], env, token };
}

const passedOn = [
  "PATH",
  "HOME",
  "TMPDIR",
  "LANG",
  "LD_LIBRARY_PATH",
  "CUDA_VISIBLE_DEVICES",
  "SystemRoot",
  "USERPROFILE",
];

/**
 * Threads of one replica: the cores less one, which the gateway and Postgres need, divided by the replicas of this machine.
 * Never more: two threads on a busy machine of two cores took 187 s for what one does in 1.6 s, because they wait for each
 * other spinning.
 */
export function planThreads(cores: number, replicas: number): number {
  return Math.max(1, Math.floor(Math.max(1, cores - 1) / Math.max(1, replicas)));
}
