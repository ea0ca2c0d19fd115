// Loads a GGUF with node-llama-cpp: what the file says of itself, and a device (llamaDevice.ts) over a context whose memory was planned.
// The library never compiles or downloads anything (`build: "never"`), and a failed start throws an error of one sentence.
import { LineshaftError } from "../../errors/index.ts";
import { createHash } from "node:crypto";
import { open, stat } from "node:fs/promises";
import { type Llama, type LlamaContext, LlamaLogLevel, type LlamaModel, type Token, getLlama } from "node-llama-cpp";
import type { Device } from "./device.ts";
import { batchTokens } from "./limits.ts";
import { LlamaDevice } from "./llamaDevice.ts";
import { type KvPlan, type MemorySample, machineMemory, planKv, refusal, stateBytes } from "./memory.ts";

interface LibraryOptions {
  modelPath: string;
  threads: number;
  log(message: string, detail: Record<string, unknown>): void;
}

interface DeviceOptions extends LibraryOptions {
  slots: number;
  /** At most what the model was trained for. 0: that, at most 4,096. */
  contextTokens: number;
}

/** Metadata of the GGUF file. */
interface ModelFacts {
  name: string | undefined;
  license: string | undefined;
  architecture: string;
  chatTemplate: string | undefined;
  bosToken: string;
  eosToken: string;
  prependBos: boolean;
  /** Text of the control tokens, which a message must not be able to produce. */
  specialTokens: string[];
  trainContextTokens: number;
  /** Its keys `general.sampling.*`, unchecked. */
  sampling: unknown;
  /** Changes with model file, library or layout of its states. */
  fingerprint: string;
}

export interface LoadedModel {
  device: Device;
  facts: ModelFacts;
  modelBytes: number;
  /** The memory that the context took, as the library reports it. */
  kvBytes: number;
  /** Of a state file. */
  stateBytesPerToken: number;
  /** `goesOn`: the text follows another, so that no tokenizer puts a space before it. */
  tokenize(text: string, special: boolean, goesOn?: boolean): number[];
  detokenize(tokens: readonly number[], before: readonly number[]): string;
  vocabularySize: number;
  close(): Promise<void>;
}

const defaultContextTokens = 4_096;
const contextStep = 256;

/** Loads the model and allocates its KV memory. Throws LineshaftError with one sentence and a next step. */
export async function loadModel(options: DeviceOptions): Promise<LoadedModel> {
  const llama = await getLibrary(options);
  const model = await openModel(llama, options);
  const trained = model.trainContextSize;
  // The library rounds up to this, so the plan counts with the rounded size.
  const asked = Math.ceil(Math.min(trained, options.contextTokens || defaultContextTokens) / contextStep) * contextStep;
  // Beyond its trained length a model writes nonsense; the deployment's resource says that the context was cut
  // (instance/deploymentResource.ts).
  if (options.contextTokens > trained)
    options.log("the context is cut to what the model was trained for", { asked: options.contextTokens, trained });
  const plan = await measure(model, options, asked);
  const doesNotFit = refusal(plan, { slots: options.slots, contextTokens: asked }, await memoryOf(llama));
  if (doesNotFit) throw new LineshaftError({ code: "kv_memory", message: doesNotFit.message, hint: doesNotFit.hint });
  const context = await createContext(model, options.threads, options.slots, asked);
  const device = new LlamaDevice(llama, model, context);
  const metadata = model.fileInfo.metadata;
  const vocabulary = metadata.tokenizer?.ggml?.tokens;
  return {
    device,
    facts: {
      name: text(metadata.general?.name),
      license: text(metadata.general?.license),
      architecture: String(metadata.general?.architecture ?? "unknown"),
      chatTemplate: text(metadata.tokenizer?.chat_template),
      bosToken: model.tokens.bosString ?? "",
      eosToken: model.tokens.eosString ?? "",
      prependBos: model.tokens.shouldPrependBosToken,
      specialTokens: controlTokens(vocabulary, metadata.tokenizer?.ggml?.token_type),
      trainContextTokens: trained,
      sampling: (metadata.general as { sampling?: unknown } | undefined)?.sampling,
      fingerprint: await fingerprint(options.modelPath, `${llama.llamaCppRelease.release}:${context.flashAttention}`),
    },
    modelBytes: model.memoryUsage.ram + model.memoryUsage.vram,
    kvBytes: context.memoryUsage.ram + context.memoryUsage.vram,
    stateBytesPerToken: stateBytes(model.fileInfo.architectureMetadata) ?? plan.bytesPerToken,
    tokenize: (value, special, goesOn) => model.tokenize(value, special, goesOn ? "trimLeadingSpace" : undefined),
    detokenize: (tokens, before) => model.detokenize(tokens as Token[], false, before as Token[]),
    vocabularySize: Array.isArray(vocabulary) ? vocabulary.length : Number.MAX_SAFE_INTEGER,
    close: () => llama.dispose(),
  };
}

/** The library on this machine. Throws LineshaftError where none of its builds works. */
export async function getLibrary(options: LibraryOptions): Promise<Llama> {
  try {
    return await getLlama({
      gpu: "auto",
      build: "never",
      skipDownload: true,
      progressLogs: false,
      maxThreads: options.threads,
      logLevel: LlamaLogLevel.warn,
      logger: (level, message) => {
        if (level === LlamaLogLevel.error || level === LlamaLogLevel.fatal)
          options.log("llama.cpp", { level, message: message.trim() });
      },
    });
  } catch (error) {
    throw new LineshaftError({
      code: "library_missing",
      message: `No prebuilt llama.cpp works on this machine: ${messageOf(error)}`,
      hint: "Run `npm ci` again without --omit=optional; glibc 2.31 or newer is needed on Linux.",
      cause: error,
    });
  }
}

/** A model from its file. Throws LineshaftError with one sentence and a next step. */
export async function openModel(llama: Llama, options: LibraryOptions): Promise<LlamaModel> {
  try {
    await stat(options.modelPath);
  } catch (error) {
    throw new LineshaftError({
      code: "model_missing",
      message: `The model file ${options.modelPath} cannot be read.`,
      hint: "Give the path of a GGUF file.",
      cause: error,
    });
  }
  try {
    return await llama.loadModel({ modelPath: options.modelPath, ignoreMemorySafetyChecks: true });
  } catch (error) {
    throw new LineshaftError({
      code: "model_broken",
      message: `The model file ${options.modelPath} is not a GGUF that can be loaded: ${messageOf(error)}`,
      hint: "Fetch the model again; its checksum is in the catalogue (`lineshaft models`).",
      cause: error,
    });
  }
}

/** The machine's memory, with the accelerator's where there is one: the library puts as much as it can there. */
async function memoryOf(llama: Llama): Promise<ReturnType<typeof machineMemory>> {
  const machine = machineMemory();
  if (llama.gpu === false) return machine;
  const { free, total } = await llama.getVramState();
  return { availableBytes: machine.availableBytes + free, totalBytes: machine.totalBytes + total };
}

/** Memory of two small contexts, extended to the one asked for. */
async function measure(model: LlamaModel, options: DeviceOptions, contextTokens: number): Promise<KvPlan> {
  const samples: MemorySample[] = [];
  for (const cells of [256, 1_024]) {
    const context = await createContext(model, options.threads, 1, cells);
    samples.push({ cells: context.contextSize, bytes: context.memoryUsage.ram + context.memoryUsage.vram });
    await context.dispose();
  }
  return planKv(samples[0]!, samples[1]!, options.slots, contextTokens);
}

async function createContext(
  model: LlamaModel,
  threads: number,
  sequences: number,
  contextSize: number,
): Promise<LlamaContext> {
  try {
    return await model.createContext({
      sequences,
      contextSize,
      batchSize: batchTokens,
      threads,
      swaFullCache: true,
      ignoreMemorySafetyChecks: true,
      failedCreationRemedy: false,
    });
  } catch (error) {
    throw new LineshaftError({
      code: "kv_memory",
      message: `KV memory for ${sequences} sequences of ${contextSize} tokens could not be taken: ${messageOf(error)}`,
      hint: "Start with a smaller LINESHAFT_WORKER_CONTEXT or fewer LINESHAFT_WORKER_SLOTS.",
      cause: error,
    });
  }
}

/** SHA-256 over size and samples of the file: fine-tunes of one model have the same head and size, not the same tensors. */
async function fingerprint(modelPath: string, layout: string): Promise<string> {
  const sum = createHash("sha256").update(layout);
  const handle = await open(modelPath, "r");
  try {
    const { size } = await handle.stat();
    const piece = Buffer.alloc(64 * 1024);
    const samples = 32;
    sum.update(String(size));
    for (let i = 0; i < samples; i++) {
      const at = Math.floor((Math.max(0, size - piece.length) * i) / (samples - 1));
      const { bytesRead } = await handle.read(piece, 0, piece.length, at);
      sum.update(piece.subarray(0, bytesRead));
    }
  } finally {
    await handle.close();
  }
  return sum.digest("hex").slice(0, 32);
}

/** Tokens of the kinds `unknown` (2) and `control` (3) in GGUF's numbering. */
function controlTokens(vocabulary: unknown, types: unknown): string[] {
  if (!Array.isArray(vocabulary) || !Array.isArray(types)) return [];
  return (vocabulary as string[]).filter((_, token) => types[token] === 2 || types[token] === 3);
}

function text(value: unknown): string | undefined {
  return typeof value === "string" && value !== "" ? value : undefined;
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
