// Workers of the embedded engine for the fleet: how a worker is started, enters and leaves service, how much memory it takes, and where it
// parks KV. A restarted worker has another port and token, so each time it is ready a new adapter replaces the old one.
import { rm } from "node:fs/promises";
import { availableParallelism, hostname } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import {
  type ChildSpec,
  type DeploymentHands,
  type DeploymentSpec,
  type FleetWorker,
  type ServableModel,
  type ServableShape,
} from "../../fleet/index.ts";
import { LineshaftError } from "../../errors/index.ts";
import type { EngineRegistry } from "../registry.ts";
import { workerEngine, type WorkerEngine } from "./workerEngine.ts";
import { planThreads, workerCommand } from "./launch.ts";
import { machineMemory, reserveBytes } from "./memory.ts";
import type { WorkerMessage } from "./protocol.ts";
import type { SamplingDefaults } from "./samplingDefaults.ts";

/** Large weights are read from a slow disk once; after that they are in the page cache. */
const readyTimeoutMs = 10 * 60_000;
/** How long calls under way on a leaving worker may take. Calls left after that are ended, and idle sequences are parked. */
const drainMs = 60_000;
const drainPollMs = 100;
/** Memory of a worker beside weights and KV: the process, the library, compute buffers. Measured: 280 MB. */
const besidesBytes = 300e6;
/**
 * Share of the memory that is free at the start that KV may take where a manifest names no context, and the context that it is never below.
 */
const kvShare = 0.5;
const leastContextTokens = 4_096;
const contextStep = 256;

/** A GGUF file, with the sampling that its makers recommend. */
interface EmbeddedModel extends ServableModel {
  /** It makes embeddings, and no text. */
  embeds?: boolean;
  sampling?: Partial<SamplingDefaults>;
}

interface EmbeddedWorkersOptions {
  engines: EngineRegistry;
  /** Below it each deployment has one folder for parked KV, so that a conversation may go on at any of its workers. */
  kvFolder: string;
  /** How long a worker may take to park its conversations when it is stopped. */
  stopTimeoutMs: number;
  /** Calls under way at an endpoint from other processes of this machine; none where this process alone reaches workers. */
  elsewhere?: (endpoint: string) => Promise<number>;
}

/** The fleet's interface to workers. */
export function embeddedWorkers(options: EmbeddedWorkersOptions): DeploymentHands<EmbeddedModel>["workers"] {
  const { engines, kvFolder, elsewhere = async () => 0 } = options;
  const folderOf = (deployment: string) => join(kvFolder, deployment);
  const { availableBytes: freeBytes, totalBytes } = machineMemory();
  const kvBytes = kvShare * Math.max(0, freeBytes - reserveBytes(totalBytes));
  const contextOf = (deployment: DeploymentSpec, shape: ServableShape | undefined) =>
    usualContext(deployment, shape, kvBytes);
  return {
    spec: (worker, deployment, { model, shape }) => {
      const contextTokens = deployment.contextTokens ?? contextOf(deployment, shape);
      return workerSpec(worker, { ...deployment, contextTokens }, model, options, folderOf(worker.deployment));
    },
    relabel: (worker) => relabel(worker, engines),
    drain: (worker) => drain(worker, engines, elsewhere),
    bytes(deployment, { model, shape }) {
      // An encoder keeps no KV.
      if (model.embeds) return model.bytes + besidesBytes;
      const trained = shape?.trainedContextTokens ?? Infinity;
      const context = Math.min(deployment.contextTokens ?? contextOf(deployment, shape), trained);
      return model.bytes + (shape?.kvBytesPerToken ?? 0) * deployment.slots * context + besidesBytes;
    },
    machine() {
      const { availableBytes, totalBytes } = machineMemory();
      return {
        freeBytes: availableBytes - reserveBytes(totalBytes),
        threadsOf: (workers) => planThreads(availableParallelism(), workers),
      };
    },
    erase: (deployment) => rm(folderOf(deployment), { recursive: true, force: true }),
  };
}

/**
 * Context where a manifest names none: what the model was trained for, as far as the KV of all slots of all its workers fits into
 * `kvBytes`, and never below 4,096 tokens.
 */
export function usualContext(
  { slots, roles }: Pick<DeploymentSpec, "slots" | "roles">,
  shape: ServableShape | undefined,
  kvBytes: number,
): number {
  if (!shape) return leastContextTokens;
  const { trainedContextTokens, kvBytesPerToken } = shape;
  const workers = Math.max(1, roles.both + roles.prefill + roles.decode);
  const fitting = kvBytes / (workers * slots * Math.max(1, kvBytesPerToken));
  const stepped = Math.floor(fitting / contextStep) * contextStep;
  return Math.min(trainedContextTokens, Math.max(leastContextTokens, stepped));
}

function workerSpec(
  worker: FleetWorker,
  deployment: DeploymentSpec,
  model: EmbeddedModel,
  { engines, stopTimeoutMs }: EmbeddedWorkersOptions,
  kvDir: string,
): ChildSpec {
  const { token, ...command } = workerCommand({
    modelPath: model.path,
    modelName: model.name,
    kvDir,
    threads: worker.threads,
    slots: deployment.slots,
    ...(model.embeds && { embeds: true }),
    ...(model.sampling && { sampling: model.sampling }),
    ...(deployment.contextTokens !== undefined && { contextTokens: deployment.contextTokens }),
    ...(deployment.kvBudgetBytes !== undefined && { kvBudgetBytes: deployment.kvBudgetBytes }),
  });
  return {
    name: worker.name,
    ...command,
    ipc: true,
    async ready({ messages }, signal) {
      const { port } = await listening(messages);
      const engine = workerEngine({ url: `http://127.0.0.1:${port}`, token, embeds: model.embeds === true });
      // That it does not answer says nothing of why: what it printed and how it ended does.
      const facts = await engine.probe(signal).catch((cause: Error) => {
        throw new Error(cause.message, { cause });
      });
      // A worker that died while it was leaving, and was restarted, stays out of service.
      if (worker.phase === "leaving") return;
      engines.add(worker.deployment, engine, {
        kind: "embedded",
        model: model.name,
        endpoint: worker.name,
        role: worker.role,
        node: hostname(),
        facts,
      });
    },
    readyTimeoutMs,
    stopSignal: "SIGTERM",
    // Idle conversations are parked to disk first.
    stopTimeoutMs,
  };
}

/** Registers a serving worker again, under its current role. */
function relabel(worker: FleetWorker, engines: EngineRegistry): void {
  const known = engines.get(worker.name);
  if (!known) return;
  engines.add(known.name, known.engine, {
    kind: known.kind,
    model: known.model,
    endpoint: known.endpoint,
    role: worker.role,
    ...(known.node !== undefined && { node: known.node }),
    ...(known.facts && { facts: known.facts }),
  });
}

/** Takes a worker out of service and waits for its calls to end. */
async function drain(
  worker: FleetWorker,
  engines: EngineRegistry,
  elsewhere: (endpoint: string) => Promise<number>,
): Promise<void> {
  const known = engines.get(worker.name);
  if (!known) return;
  engines.remove(worker.name);
  const busy = async () => {
    if (engines.running(worker.name) + (await elsewhere(worker.name)) > 0) return true;
    const now = await (known.engine as WorkerEngine).status().catch(() => undefined);
    return now !== undefined && now.running + now.waiting > 0;
  };
  // A call that was placed a moment ago may not have arrived yet, so the worker is asked only after the first pause.
  for (const until = performance.now() + drainMs; performance.now() < until;) {
    await sleep(drainPollMs, undefined, { ref: false });
    if (!(await busy())) return;
  }
}

async function listening(messages: AsyncIterable<unknown>): Promise<Extract<WorkerMessage, { type: "listening" }>> {
  for await (const message of messages as AsyncIterable<WorkerMessage>) {
    if (message.type === "listening") return message;
    if (message.type === "failed")
      throw new LineshaftError({
        code: message.code,
        message: "The model could not be loaded.",
        why: message.message,
        hint: message.hint,
      });
  }
  throw new Error("it ended before it listened");
}
