// The device made of node-llama-cpp: loads the GGUF, plans its memory, and runs batches over its sequences.
//
// How the library is used, and why:
// - Nothing ever compiles or downloads: `build: "never"`.
// - All items of a step are handed over within one turn of the event loop, so the library's queue makes one batch of them;
//   the next step begins when all have answered. That lockstep is what keeps a long prefill from holding up the others.
// - A call samples through one `evaluate` generator, which keeps its sampler (random numbers, grammar) from token to token;
//   the tokens to evaluate are passed to `next`. The seed is always given: without one the library takes the clock anew for
//   every token.
// - The library's context shift would go on silently in a full sequence. The loop never evaluates beyond the limit, and a
//   shift that is tried all the same throws.
// - `topK` is 40 and `topP` 0.95 in the library unless given; OpenAI's meaning of an absent one is "all".
import { createHash } from "node:crypto";
import { open, stat } from "node:fs/promises";
import {
  type Llama,
  LlamaGrammar,
  LlamaGrammarEvaluationState,
  LlamaLogLevel,
  type LlamaContext,
  type LlamaContextSequence,
  type LlamaModel,
  type Token,
  getLlama,
} from "node-llama-cpp";
import type { BatchItem, Device, Generation, Sampling } from "./device.ts";
import { ApiError } from "./errors.ts";
import { batchTokens } from "./limits.ts";
import { type KvPlan, type MemorySample, machineMemory, planKv, refusal } from "./memory.ts";

/** Why a worker cannot start, for the parent process. */
export class StartError extends Error {
  readonly code: string;
  readonly hint: string;

  constructor(code: string, message: string, hint: string, cause?: unknown) {
    super(message, { cause });
    this.name = "StartError";
    this.code = code;
    this.hint = hint;
  }
}

export interface DeviceOptions {
  modelPath: string;
  slots: number;
  /** 0: what the model was trained for, at most 4,096. */
  contextTokens: number;
  threads: number;
  log(message: string, detail: Record<string, unknown>): void;
}

/** What the GGUF says of itself. */
export interface ModelFacts {
  name: string | undefined;
  license: string | undefined;
  architecture: string;
  chatTemplate: string | undefined;
  bosToken: string;
  eosToken: string;
  prependBos: boolean;
  /** Text of the control tokens: what a message must not be able to say. */
  specialTokens: string[];
  trainContextTokens: number;
  /** Changes with model file, library or layout of its states. */
  fingerprint: string;
}

export interface LoadedModel {
  device: Device;
  facts: ModelFacts;
  modelBytes: number;
  /** What the context really took, as the library reports it. */
  kvBytes: number;
  bytesPerToken: number;
  tokenize(text: string, special: boolean): number[];
  detokenize(tokens: readonly number[], before: readonly number[]): string;
  vocabularySize: number;
  close(): Promise<void>;
}

const defaultContextTokens = 4_096;
const contextStep = 256;

/** Loads the model and takes its KV memory. Throws StartError with one sentence and what to do. */
export async function loadModel(options: DeviceOptions): Promise<LoadedModel> {
  const llama = await getLibrary(options);
  const model = await openModel(llama, options);
  const trained = model.trainContextSize;
  // The library rounds up to this anyway; the plan must count with what it will take.
  const asked =
    Math.ceil((options.contextTokens || Math.min(trained, defaultContextTokens)) / contextStep) * contextStep;
  const plan = await measure(model, options, asked);
  const doesNotFit = refusal(plan, { slots: options.slots, contextTokens: asked }, await memoryOf(llama));
  if (doesNotFit) throw new StartError("kv_memory", doesNotFit.message, doesNotFit.hint);
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
      fingerprint: await fingerprint(options.modelPath, `${llama.llamaCppRelease.release}:${context.flashAttention}`),
    },
    modelBytes: model.memoryUsage.ram + model.memoryUsage.vram,
    kvBytes: context.memoryUsage.ram + context.memoryUsage.vram,
    bytesPerToken: plan.bytesPerToken,
    tokenize: (value, special) => model.tokenize(value, special),
    detokenize: (tokens, before) => model.detokenize(tokens as Token[], false, before as Token[]),
    vocabularySize: Array.isArray(vocabulary) ? vocabulary.length : Number.MAX_SAFE_INTEGER,
    close: () => llama.dispose(),
  };
}

async function getLibrary(options: DeviceOptions): Promise<Llama> {
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
    throw new StartError(
      "library_missing",
      `No prebuilt llama.cpp works on this machine: ${messageOf(error)}`,
      "Run `npm ci` again without --omit=optional; glibc 2.31 or newer is needed on Linux.",
      error,
    );
  }
}

async function openModel(llama: Llama, options: DeviceOptions): Promise<LlamaModel> {
  try {
    await stat(options.modelPath);
  } catch (error) {
    throw new StartError(
      "model_missing",
      `The model file ${options.modelPath} cannot be read.`,
      "Give the path of a GGUF file.",
      error,
    );
  }
  try {
    return await llama.loadModel({ modelPath: options.modelPath, ignoreMemorySafetyChecks: true });
  } catch (error) {
    throw new StartError(
      "model_broken",
      `The model file ${options.modelPath} is not a GGUF that can be loaded: ${messageOf(error)}`,
      "Fetch the model again; its checksum is in the catalogue (`lineshaft models`).",
      error,
    );
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
    throw new StartError(
      "kv_memory",
      `KV memory for ${sequences} sequences of ${contextSize} tokens could not be taken: ${messageOf(error)}`,
      "Start with a smaller LINESHAFT_WORKER_CONTEXT or fewer LINESHAFT_WORKER_SLOTS.",
      error,
    );
  }
}

/** One call's generator; it begins with the first tokens it is given. */
class LlamaGeneration implements Generation {
  private readonly sequence: LlamaContextSequence;
  private readonly options: Parameters<LlamaContextSequence["evaluate"]>[1];
  private readonly sampled: Token[] = [];
  private iterator: AsyncGenerator<Token, void, void | Token | Token[]> | undefined;

  constructor(sequence: LlamaContextSequence, sampling: Sampling, grammar: LlamaGrammarEvaluationState | undefined) {
    this.sequence = sequence;
    const penalised = sampling.presencePenalty !== 0 || sampling.frequencyPenalty !== 0;
    this.options = {
      temperature: sampling.temperature,
      topP: sampling.topP,
      topK: sampling.topK,
      minP: sampling.minP,
      seed: sampling.seed,
      yieldEogToken: true,
      ...(grammar && { grammarEvaluationState: grammar }),
      ...(penalised && {
        repeatPenalty: {
          penalty: 1,
          presencePenalty: sampling.presencePenalty,
          frequencyPenalty: sampling.frequencyPenalty,
          // OpenAI counts what the model has said, not the prompt.
          punishTokens: () => this.sampled,
          maxPunishTokens: sequence.contextSize,
        },
      }),
    };
  }

  async next(tokens: number[]): Promise<number> {
    this.iterator ??= this.sequence.evaluate(tokens as Token[], this.options);
    const { value } = await this.iterator.next(tokens as Token[]);
    if (value === undefined) throw new Error("no token was sampled");
    this.sampled.push(value);
    return value;
  }

  end(): void {
    void this.iterator?.return().catch(() => undefined);
  }
}

class LlamaDevice implements Device {
  readonly slots: number;
  readonly contextTokens: number;
  readonly canTrim: boolean;
  private readonly llama: Llama;
  private readonly model: LlamaModel;
  private readonly sequences: LlamaContextSequence[];
  private readonly grammars = new Map<string, LlamaGrammar>();

  constructor(llama: Llama, model: LlamaModel, context: LlamaContext) {
    this.llama = llama;
    this.model = model;
    this.slots = context.totalSequences;
    this.contextTokens = context.contextSize;
    const strategy = () => {
      throw new Error("the sequence is full");
    };
    this.sequences = Array.from({ length: this.slots }, () => context.getSequence({ contextShift: { strategy } }));
    this.canTrim = !model.fileInsights.isRecurrent && !model.fileInsights.isHybrid;
  }

  async truncate(slot: number, tokens: number): Promise<void> {
    const sequence = this.sequences[slot]!;
    if (sequence.nextTokenIndex <= tokens) return;
    await sequence.eraseContextTokenRanges([{ start: tokens, end: sequence.nextTokenIndex }]);
  }

  async save(slot: number, path: string): Promise<number> {
    return (await this.sequences[slot]!.saveStateToFile(path)).fileSize;
  }

  async load(slot: number, path: string): Promise<number> {
    const sequence = this.sequences[slot]!;
    try {
      await sequence.loadStateFromFile(path, { acceptRisk: true });
      return sequence.nextTokenIndex;
    } catch (error) {
      await sequence.clearHistory();
      throw error;
    }
  }

  begin(slot: number, sampling: Sampling): Generation {
    return new LlamaGeneration(
      this.sequences[slot]!,
      sampling,
      sampling.grammar === undefined ? undefined : this.grammar(sampling.grammar),
    );
  }

  async step(items: BatchItem[]): Promise<(number | undefined | Error)[]> {
    const results = await Promise.allSettled(
      items.map(({ slot, tokens, generation }) =>
        generation
          ? (generation as LlamaGeneration).next(tokens)
          : this.sequences[slot]!.evaluateWithoutGeneratingNewTokens(tokens as Token[]),
      ),
    );
    return results.map((result) =>
      result.status === "fulfilled"
        ? (result.value as number | undefined)
        : new Error(messageOf(result.reason), { cause: result.reason }),
    );
  }

  isEnd(token: number): boolean {
    return this.model.isEogToken(token as Token);
  }

  /** A fresh state of the grammar; the parsed text is kept, because agents ask for the same schema again and again. */
  private grammar(gbnf: string): LlamaGrammarEvaluationState {
    let grammar = this.grammars.get(gbnf);
    if (!grammar) {
      try {
        grammar = new LlamaGrammar(this.llama, { grammar: gbnf });
      } catch (error) {
        throw new ApiError({
          status: 400,
          code: "grammar_refused",
          message: `The grammar made from the schema was refused: ${messageOf(error)}`,
          hint: "Simplify the schema.",
        });
      }
      if (this.grammars.size >= grammarsKept) this.grammars.delete(this.grammars.keys().next().value!);
      this.grammars.set(gbnf, grammar);
    }
    return new LlamaGrammarEvaluationState({ model: this.model, grammar });
  }
}

const grammarsKept = 64;

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
