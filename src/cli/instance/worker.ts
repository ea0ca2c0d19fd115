// The embedded deployment: a worker process per replica, supervised, registered where the gateway looks for engines.
// A worker that came back has another port and token, so each readiness registers a new adapter in the old one's place.
import { availableParallelism } from "node:os";
import { createEmbeddedEngine, type EmbeddedEngine, type EngineRegistry } from "../../engines/index.ts";
import { planThreads, workerCommand } from "../../engines/embedded/launch.ts";
import type { WorkerMessage } from "../../engines/embedded/protocol.ts";
import { FleetError, type ChildSpec, type Home, type Supervisor } from "../../fleet/index.ts";
import type { LocalModel } from "../../models/index.ts";

/** Large weights are read from a slow disk once; after that they are in the page cache. */
const readyTimeoutMs = 10 * 60_000;

export interface Deployment {
  model: LocalModel;
  replicas: number;
}

/** Starts the replicas at once; resolves when all of them serve. */
export async function startWorkers(
  deployment: Deployment,
  around: { home: Home; supervisor: Supervisor; engines: EngineRegistry },
): Promise<void> {
  const names = Array.from({ length: deployment.replicas }, (_, index) => `worker-${index}`);
  await Promise.all(names.map((name) => around.supervisor.start(workerSpec(name, deployment, around))));
}

function workerSpec(
  name: string,
  { model, replicas }: Deployment,
  around: { home: Home; engines: EngineRegistry },
): ChildSpec {
  const { token, ...command } = workerCommand({
    modelPath: model.path,
    modelName: model.name,
    kvDir: around.home.kvFolder,
    threads: planThreads(availableParallelism(), replicas),
  });
  return {
    name,
    ...command,
    ipc: true,
    async ready({ messages }, signal) {
      const { port } = await listening(messages);
      const engine: EmbeddedEngine = createEmbeddedEngine({ url: `http://127.0.0.1:${port}`, token });
      const facts = await engine.probe(signal);
      around.engines.add(model.name, engine, { kind: "embedded", model: model.name, endpoint: name, facts });
    },
    readyTimeoutMs,
    stopSignal: "SIGTERM",
    // Idle conversations are parked to disk first.
    stopTimeoutMs: 2_500,
  };
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
