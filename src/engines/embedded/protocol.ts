// What the embedded worker speaks on its loopback port, beside OpenAI's own routes. Both sides (worker and adapter) check
// with these schemas; nothing else crosses the process border but the worker's arguments and its KV files.
//
//   POST /v1/chat/completions, /v1/completions   OpenAI's shapes, plus `lineshaft` (CallHints) in the body and, in the
//                                                final answer or the usage chunk, `lineshaft` (WorkerReport). With
//                                                `lineshaft.transfer` the header `pulledHeader` says how many tokens of KV
//                                                were pulled; 409 `kv_lost` before the first byte when they cannot be
//   GET  /v1/models, /health                     200 once the model is loaded
//   POST /v1/embeddings                          OpenAI's shape. A worker whose model makes embeddings has this route, the next one, and
//                                                /lineshaft/status, whose `embeds` says so; the others are of workers that generate
//   POST /tokenize                               {prompt} or {messages, tools?, tool_choice?, add_generation_prompt?,
//                                                continue_final_message?}, and {cacheSalt?}, whose remembered answers are used:
//                                                {count, tokens, max_model_len} (vLLM's shape)
//   POST /lineshaft/abort                        {attempt}: stops it; its stream still ends with finish_reason "abort" and usage
//   POST /lineshaft/facts                        {facts: RuntimeFact[]}: {receipts: FactReceipt[]}
//   POST /lineshaft/kv                           {hints: KvHint[]}: {receipts: KvReceipt[]}
//   POST /lineshaft/prefill/chat/completions     the body of the call: computes all of its prompt but the last token, keeps the
//        /lineshaft/prefill/completions          state in the shared folder under a lease, answers PrefillAnswer when any
//                                                worker of the folder can load it. An abort is answered too, without a state
//   POST /lineshaft/release                      {state}: ends the lease; any process that shares the folder may be asked: {released}
//   GET  /lineshaft/events?epoch=E&since=N       server-sent events, `id: SEQUENCE`, data = KvEvent, from N on
//   GET  /lineshaft/status                       WorkerStatus
//   DELETE /lineshaft/projects/ID                erases the project's KV files and sequences
//
// Every request carries `authorization: Bearer TOKEN` (generated per start, given to the worker in its environment).
// Errors have OpenAI's shape: {error: {message, type, param, code, hint}}.
import { z } from "zod";
import { samplingDefaults } from "./samplingDefaults.ts";

export const blockTokens = 64;

export const callHints = z.object({
  attempt: z.string(),
  cacheSalt: z.string(),
  project: z.string(),
  program: z.string().optional(),
  promptTokens: z.array(z.int().min(0)).min(1).optional(),
  transfer: z.object({ state: z.string(), tokens: z.int().min(0) }).optional(),
});

/** Header of an answer that continues a transferred state: prompt tokens whose KV was pulled. */
export const pulledHeader = "x-lineshaft-pulled-tokens";

/** How an attempt was served. Times in milliseconds; `computedTokens` are prompt tokens that were really prefilled. */
export const workerReport = z.object({
  sequence: z.number(),
  cachedByTier: z.object({ device: z.number(), disk: z.number() }),
  computedTokens: z.number(),
  queueMs: z.number(),
  restoreMs: z.number(),
  prefillMs: z.number(),
  decodeMs: z.number(),
});

/** The result of a prefill for another worker; `report` counts the prompt tokens, `saveMs` is the time to save the file. */
export const prefillAnswer = z.object({
  /** Name of the lease; null when the state is not whole or could not be kept. */
  state: z.string().nullable(),
  /** Prompt tokens in the state. */
  tokens: z.number(),
  leaseMs: z.number(),
  saveMs: z.number(),
  report: workerReport,
});

export const runtimeFact = z.discriminatedUnion("type", [
  z.object({
    type: z.literal("tool_started"),
    program: z.string(),
    tool: z.string(),
    kind: z.enum(["quick", "slow", "approval"]).optional(),
  }),
  z.object({ type: z.literal("tool_ended"), program: z.string(), tool: z.string() }),
  z.object({ type: z.literal("run_ended"), program: z.string() }),
]);

export const factReceipt = z.object({
  fact: z.enum(["tool_started", "tool_ended", "run_ended"]),
  program: z.string(),
  honoured: z.boolean(),
  action: z.enum(["none", "kept", "parked", "restored", "dropped"]),
  tokens: z.number().optional(),
  reason: z.string().optional(),
});

export const kvHint = z.object({
  verb: z.enum(["keep", "demote", "prefetch", "drop", "share"]),
  program: z.string(),
});

export const kvReceipt = kvHint.extend({
  honoured: z.boolean(),
  tokens: z.number(),
  reason: z.string().optional(),
});

export const kvEvent = z.object({
  type: z.enum(["stored", "removed", "cleared"]),
  sequence: z.number(),
  epoch: z.string(),
  tier: z.enum(["device", "host", "disk", "remote"]).optional(),
  blocks: z.array(z.string()).optional(),
  parent: z.string().nullable().optional(),
  tokens: z.array(z.number()).optional(),
  salt: z.string().optional(),
});

/** A worker's status. Bytes and counts are current; token counters count since its start. */
export const workerStatus = z.object({
  model: z.string(),
  modelPath: z.string(),
  epoch: z.string(),
  pid: z.number(),
  threads: z.number(),
  /** Its model makes embeddings of so many numbers, and no text. */
  embeds: z.object({ dimensions: z.number() }).optional(),
  contextTokens: z.number(),
  blockTokens: z.number(),
  slots: z.number(),
  queueLimit: z.number(),
  /** Sampling defaults for fields that a request omits, and their source. */
  sampling: samplingDefaults.extend({ source: z.enum(["catalogue", "file", "usual"]) }),
  running: z.number(),
  waiting: z.number(),
  memory: z.object({ rssBytes: z.number(), modelBytes: z.number(), kvBytes: z.number() }),
  disk: z.object({ usedBytes: z.number(), budgetBytes: z.number(), files: z.number() }),
  /** `reloadMsPerToken` is learnt from its own restores; workers of one `pool` read each other's files. */
  kv: z.object({
    bytesPerToken: z.number(),
    deviceTokens: z.number(),
    totalTokens: z.number(),
    reloadMsPerToken: z.object({ disk: z.number() }),
    pool: z.string(),
  }),
  sequences: z.array(
    z.object({
      id: z.number(),
      state: z.enum(["free", "idle", "running"]),
      tokens: z.number(),
      program: z.string().optional(),
      idleMs: z.number().optional(),
    }),
  ),
  totals: z.object({
    calls: z.number(),
    promptTokens: z.number(),
    computedTokens: z.number(),
    cachedDeviceTokens: z.number(),
    cachedDiskTokens: z.number(),
    outputTokens: z.number(),
    parks: z.number(),
    restores: z.number(),
    /** States kept for other workers, and those of others that were pulled. */
    lends: z.number(),
    pulls: z.number(),
    aborts: z.number(),
  }),
});

export type WorkerReport = z.infer<typeof workerReport>;
export type WorkerStatus = z.infer<typeof workerStatus>;
export type PrefillAnswer = z.infer<typeof prefillAnswer>;

/** Environment a worker is started with; the parent also keeps an IPC channel open, and the worker ends when it closes. */
export const workerEnvironment = z.object({
  LINESHAFT_WORKER_PORT: z.coerce.number().default(0),
  LINESHAFT_WORKER_TOKEN: z.string().min(16),
  LINESHAFT_WORKER_MODEL: z.string(),
  LINESHAFT_WORKER_MODEL_NAME: z.string(),
  /** Folder for KV files; made 0700, files 0600. Shared by the replicas of a deployment. */
  LINESHAFT_WORKER_KV_DIR: z.string(),
  LINESHAFT_WORKER_KV_BUDGET_BYTES: z.coerce.number().default(2 * 1024 ** 3),
  LINESHAFT_WORKER_SLOTS: z.coerce.number().int().default(8),
  /** Tokens of one sequence; 0: what the model was trained for, at most 4,096. */
  LINESHAFT_WORKER_CONTEXT: z.coerce.number().int().default(0),
  LINESHAFT_WORKER_THREADS: z.coerce.number().int().default(1),
  LINESHAFT_WORKER_QUEUE: z.coerce.number().int().default(128),
  /** 1: the model makes embeddings. */
  LINESHAFT_WORKER_EMBEDS: z.enum(["0", "1"]).default("0"),
  /** JSON: the sampling that the model's makers recommend; without it, what the file says counts. */
  LINESHAFT_WORKER_SAMPLING: z
    .string()
    .transform((text) => JSON.parse(text) as unknown)
    .pipe(samplingDefaults.partial())
    .optional(),
});

/** Messages over the IPC channel, worker to parent. */
export type WorkerMessage =
  | { type: "listening"; port: number; epoch: string; contextTokens: number; kvBytes: number }
  | { type: "failed"; code: string; message: string; hint: string };
