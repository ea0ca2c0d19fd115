// The worker process: one model, several sequences, HTTP on loopback. Started by the supervisor as
//   node src/engines/embedded/worker.ts
// with the environment of protocol.ts and an IPC channel, or by hand without one. It says `listening` or `failed` over that
// channel, and ends when the channel closes, so that no orphan outlives its parent. Before it ends it parks what its
// sequences hold: the next start finds the conversations on disk. Nothing is printed but JSON lines on stderr, from warnings up.
import { LineshaftError } from "../../errors/index.ts";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import type { Server } from "node:http";
import type { AddressInfo } from "node:net";
import { z } from "zod";
import { BlockLedger } from "./blocks.ts";
import { loadEmbedder } from "./embedder.ts";
import { createEmbedServer } from "./embedRoutes.ts";
import { Engine } from "./engine.ts";
import { Facts } from "./facts.ts";
import { Hints } from "./hints.ts";
import { createWorkerServer } from "./http.ts";
import { Kv } from "./kv.ts";
import { KvStore } from "./kvStore.ts";
import { type LoadedModel, loadModel } from "./llama.ts";
import { Prompts } from "./prompts.ts";
import { samplingFor } from "./samplingDefaults.ts";
import { type WorkerMessage, type WorkerStatus, blockTokens, workerEnvironment } from "./protocol.ts";

type Environment = z.infer<typeof workerEnvironment>;

/** A stop that takes longer than this is cut short. */
const stopMs = 4_000;

interface Worker {
  port: number;
  epoch: string;
  status(): WorkerStatus;
  close(): Promise<void>;
}

/** A worker whose model makes embeddings: loads it, then listens. Throws LineshaftError. */
async function startEmbedder(env: Environment): Promise<Worker> {
  const embedder = await loadEmbedder({
    modelPath: env.LINESHAFT_WORKER_MODEL,
    threads: env.LINESHAFT_WORKER_THREADS,
    log: warn,
  });
  const epoch = randomBytes(8).toString("hex");
  const { contextTokens, dimensions, modelBytes } = embedder;
  const sampling = samplingFor(undefined, undefined);
  const { server, status } = createEmbedServer({
    embedder,
    model: env.LINESHAFT_WORKER_MODEL_NAME,
    token: env.LINESHAFT_WORKER_TOKEN,
    queueLimit: env.LINESHAFT_WORKER_QUEUE,
    describe: () => ({
      model: env.LINESHAFT_WORKER_MODEL_NAME,
      modelPath: env.LINESHAFT_WORKER_MODEL,
      epoch,
      pid: process.pid,
      threads: env.LINESHAFT_WORKER_THREADS,
      embeds: { dimensions },
      contextTokens,
      blockTokens,
      slots: 1,
      queueLimit: env.LINESHAFT_WORKER_QUEUE,
      sampling: { ...sampling.values, source: sampling.source },
      memory: { rssBytes: process.memoryUsage.rss(), modelBytes, kvBytes: 0 },
      disk: { usedBytes: 0, budgetBytes: 0, files: 0 },
      kv: { bytesPerToken: 0, deviceTokens: 0, totalTokens: 0, reloadMsPerToken: { disk: 0 }, pool: "" },
      sequences: [],
    }),
  });
  const port = await listen(server, env.LINESHAFT_WORKER_PORT);
  return {
    port,
    epoch,
    status,
    close: async () => {
      server.close();
      server.closeAllConnections();
      await embedder.close();
    },
  };
}

/** A worker that generates text: loads its model, then listens. Throws LineshaftError. */
async function startGenerator(env: Environment): Promise<Worker> {
  const model = await loadModel({
    modelPath: env.LINESHAFT_WORKER_MODEL,
    slots: env.LINESHAFT_WORKER_SLOTS,
    contextTokens: env.LINESHAFT_WORKER_CONTEXT,
    threads: env.LINESHAFT_WORKER_THREADS,
    log: warn,
  });
  const epoch = randomBytes(8).toString("hex");
  const ledger = new BlockLedger(epoch);
  const store = openStore(env, model, ledger);
  const kv = new Kv({ device: model.device, store, ledger, now: () => performance.now(), log: warn });
  const engine = new Engine(kv, env.LINESHAFT_WORKER_QUEUE);
  const { contextTokens } = model.device;
  const deviceTokens = model.device.slots * contextTokens;
  const prompts = new Prompts(
    { tokenize: model.tokenize, vocabularySize: model.vocabularySize, prependBos: model.facts.prependBos },
    { source: model.facts.chatTemplate, ...model.facts },
  );
  const sampling = samplingFor(env.LINESHAFT_WORKER_SAMPLING, model.facts.sampling);
  const status = (): WorkerStatus => ({
    model: env.LINESHAFT_WORKER_MODEL_NAME,
    modelPath: env.LINESHAFT_WORKER_MODEL,
    epoch,
    pid: process.pid,
    threads: env.LINESHAFT_WORKER_THREADS,
    contextTokens,
    blockTokens,
    slots: model.device.slots,
    queueLimit: env.LINESHAFT_WORKER_QUEUE,
    sampling: { ...sampling.values, source: sampling.source },
    running: engine.running,
    waiting: engine.waiting,
    memory: { rssBytes: process.memoryUsage.rss(), modelBytes: model.modelBytes, kvBytes: model.kvBytes },
    disk: store.usage(),
    kv: {
      bytesPerToken: store.bytesPerToken,
      deviceTokens,
      totalTokens: deviceTokens + store.maxTokens,
      reloadMsPerToken: { disk: kv.reload.msPerToken },
      pool: store.pool,
    },
    sequences: kv.slots.map((slot) => ({
      id: slot.id,
      state: slot.running ? "running" : slot.tokens.length === 0 ? "free" : "idle",
      tokens: slot.tokens.length,
      ...(slot.owner?.program !== undefined && { program: slot.owner.program }),
      ...(!slot.running && slot.tokens.length > 0 && { idleMs: Math.round(performance.now() - slot.lastUsedMs) }),
    })),
    totals: { ...engine.totals, ...kv.totals },
  });
  const server = createWorkerServer({
    engine,
    prompts,
    model: env.LINESHAFT_WORKER_MODEL_NAME,
    contextTokens,
    sampling: sampling.values,
    detokenize: model.detokenize,
    tokenize: (text) => model.tokenize(text, false),
    token: env.LINESHAFT_WORKER_TOKEN,
    ledger,
    facts: new Facts(kv),
    hints: new Hints(kv, (chore) => engine.between(chore)),
    status,
    describeModel: () => ({
      id: env.LINESHAFT_WORKER_MODEL_NAME,
      object: "model",
      created: 0,
      owned_by: "lineshaft",
      max_model_len: contextTokens,
      license: model.facts.license ?? null,
      description: model.facts.name ?? null,
      architecture: model.facts.architecture,
      trained_context_tokens: model.facts.trainContextTokens,
    }),
  });
  const port = await listen(server, env.LINESHAFT_WORKER_PORT);
  return {
    port,
    epoch,
    status,
    close: async () => {
      server.close();
      await engine.close();
      for (const slot of kv.slots) if (slot.tokens.length > 0 && !kv.isSaved(slot)) await kv.park(slot);
      await store.close();
      server.closeAllConnections();
    },
  };
}

function openStore(env: Environment, model: LoadedModel, ledger: BlockLedger): KvStore {
  try {
    return new KvStore({
      dir: env.LINESHAFT_WORKER_KV_DIR,
      budgetBytes: env.LINESHAFT_WORKER_KV_BUDGET_BYTES,
      fingerprint: model.facts.fingerprint,
      contextTokens: model.device.contextTokens,
      bytesPerToken: model.stateBytesPerToken,
      onAdded: (file) => ledger.set(`file-${file.id}`, "disk", file.cacheSalt, file.tokens),
      onRemoved: (file) => ledger.forget(`file-${file.id}`),
      log: warn,
    });
  } catch (error) {
    throw new LineshaftError({
      code: "kv_folder",
      message: `The folder for KV files ${env.LINESHAFT_WORKER_KV_DIR} cannot be used: ${(error as Error).message}`,
      hint: "Give a folder that this user may write, in LINESHAFT_WORKER_KV_DIR.",
      cause: error,
    });
  }
}

async function listen(server: Server, port: number): Promise<number> {
  server.listen(port, "127.0.0.1");
  try {
    await once(server, "listening");
  } catch (error) {
    throw new LineshaftError({
      code: "port_busy",
      message: `Port ${port} cannot be listened on: ${(error as Error).message}`,
      hint: "Choose another, or 0.",
      cause: error,
    });
  }
  return (server.address() as AddressInfo).port;
}

function warn(message: string, detail: Record<string, unknown>): void {
  process.stderr.write(`${JSON.stringify({ time: new Date().toISOString(), level: "warn", message, ...detail })}\n`);
}

function tell(message: WorkerMessage): Promise<void> {
  if (!process.send) return Promise.resolve();
  return new Promise((resolve) => process.send!(message, undefined, {}, () => resolve()));
}

async function main(): Promise<void> {
  // KV files hold prompts: files of every process of this user are readable by this user alone.
  process.umask(0o077);
  let worker: Worker | undefined;
  let stopping = false;
  const stop = () => {
    if (stopping) return;
    stopping = true;
    setTimeout(() => process.exit(1), stopMs).unref();
    void (worker?.close() ?? Promise.resolve()).finally(() => process.exit(0));
  };
  process.on("disconnect", stop);
  process.on("SIGTERM", stop);
  process.on("SIGINT", stop);
  try {
    const env = workerEnvironment.safeParse(process.env);
    if (!env.success) {
      const issue = env.error.issues[0]!;
      throw new LineshaftError({
        code: "environment",
        message: `${issue.path.join(".")}: ${issue.message}`,
        hint: "See the environment in the engine's protocol.",
      });
    }
    worker = await (env.data.LINESHAFT_WORKER_EMBEDS === "1" ? startEmbedder : startGenerator)(env.data);
    const { contextTokens, memory } = worker.status();
    await tell({ type: "listening", port: worker.port, epoch: worker.epoch, contextTokens, kvBytes: memory.kvBytes });
  } catch (error) {
    const failure =
      error instanceof LineshaftError ? error : new LineshaftError({ code: "start", message: String(error) });
    const { code, message, hint = "Look at the worker's log." } = failure;
    process.stderr.write(
      `${JSON.stringify({ time: new Date().toISOString(), level: "error", code, message, hint })}\n`,
    );
    await tell({ type: "failed", code, message, hint });
    process.exit(1);
  }
}

if (import.meta.main) await main();
