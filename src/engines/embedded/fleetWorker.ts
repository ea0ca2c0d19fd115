// A worker of the embedded engine as the fleet keeps it: how it is started, how it comes into service and leaves it, and how
// much memory it will take. A worker that came back has another port and token, so each readiness registers a new adapter in
// the old one's place.
import { hostname } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { createEmbeddedEngine, type EmbeddedEngine, type EngineRegistry } from "../index.ts";
import { workerCommand } from "./launch.ts";
import type { WorkerMessage } from "./protocol.ts";
import { FleetError, type ChildSpec, type DeploymentSpec, type FleetWorker, type Home } from "../../fleet/index.ts";
import type { LocalModel, ModelShape } from "../../models/index.ts";
import { childStopMs } from "../../instance/undo.ts";

/** Large weights are read from a slow disk once; after that they are in the page cache. */
const readyTimeoutMs = 10 * 60_000;
/** Calls under way on a worker that leaves may take so long; what is left then is ended, and what idles is parked. */
const drainMs = 60_000;
const drainPollMs = 100;
/** Of a worker beside weights and KV: the process itself, the library, compute buffers. Measured: 280 MB. */
const besidesBytes = 300e6;
/** The worker's own rule where nothing is said (engines/embedded/protocol.ts). */
const usualContextTokens = 4_096;

interface Around {
  home: Home;
  engines: EngineRegistry;
}

/** Where a deployment's workers park KV: one folder for all of them, so that a conversation may go on at any. */
export const kvFolderOf = (home: Home, deployment: string): string => join(home.kvFolder, deployment);

/** Memory of one worker in bytes: its weights, the KV of all its slots, and the rest. */
export function workerBytes(spec: DeploymentSpec, model: LocalModel, shape: ModelShape | undefined): number {
  const context = Math.min(spec.contextTokens ?? usualContextTokens, shape?.trainedContextTokens ?? Infinity);
  return model.bytes + (shape?.kvBytesPerToken ?? 0) * spec.slots * context + besidesBytes;
}

export function workerSpec(
  worker: FleetWorker,
  spec: DeploymentSpec,
  model: LocalModel,
  { home, engines }: Around,
): ChildSpec {
  const { token, ...command } = workerCommand({
    modelPath: model.path,
    modelName: model.name,
    kvDir: kvFolderOf(home, worker.deployment),
    threads: worker.threads,
    slots: spec.slots,
    ...(model.sampling && { sampling: model.sampling }),
    ...(spec.contextTokens !== undefined && { contextTokens: spec.contextTokens }),
    ...(spec.kvBudgetBytes !== undefined && { kvBudgetBytes: spec.kvBudgetBytes }),
  });
  return {
    name: worker.name,
    ...command,
    ipc: true,
    async ready({ messages }, signal) {
      const { port } = await listening(messages);
      const engine: EmbeddedEngine = createEmbeddedEngine({ url: `http://127.0.0.1:${port}`, token });
      const facts = await engine.probe(signal);
      // One that died while it was leaving and came back stays out of service.
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
    stopTimeoutMs: childStopMs,
  };
}

/** Registers a worker that serves already under the role that it has now. */
export function relabelWorker(worker: FleetWorker, engines: EngineRegistry): void {
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

/** Takes a worker out of service and waits for the calls that it has. */
export async function drainWorker(worker: FleetWorker, engines: EngineRegistry): Promise<void> {
  const known = engines.get(worker.name);
  if (!known) return;
  engines.remove(worker.name);
  const busy = async () => {
    if (known.running > 0) return true;
    const now = await (known.engine as EmbeddedEngine).status().catch(() => undefined);
    return now !== undefined && now.running + now.waiting > 0;
  };
  // A call that was placed here a moment ago is still on its way: nobody is idle before the first pause.
  for (let waited = 0; waited < drainMs; waited += drainPollMs) {
    await sleep(drainPollMs, undefined, { ref: false });
    if (!(await busy())) return;
  }
}

async function listening(messages: AsyncIterable<unknown>): Promise<Extract<WorkerMessage, { type: "listening" }>> {
  for await (const message of messages as AsyncIterable<WorkerMessage>) {
    if (message.type === "listening") return message;
    if (message.type === "failed")
      throw new FleetError({
        code: message.code,
        message: "The model could not be loaded.",
        why: message.message,
        hint: message.hint,
      });
  }
  throw new Error("it ended before it listened");
}
