// A model that makes embeddings (a BERT encoder, or any whose file names a way of pooling), through node-llama-cpp: a text in, a vector of
// length 1 out. Nothing of it is kept: an encoder has no KV that a later call could use.
import { LineshaftError } from "../../errors/index.ts";
import { type LlamaEmbeddingContext, type LlamaModel, LlamaVocabularyType, type Token } from "node-llama-cpp";
import { getLibrary, openModel } from "./llama.ts";

interface EmbedderOptions {
  modelPath: string;
  threads: number;
  log(message: string, detail: Record<string, unknown>): void;
}

export interface Embedder {
  /** Longest input in tokens, with those that the model puts around it. */
  readonly contextTokens: number;
  /** Numbers of a vector. */
  readonly dimensions: number;
  readonly vocabularySize: number;
  readonly modelBytes: number;
  /** The input's tokens, with those that the model puts around it. */
  tokenize(text: string): number[];
  /** The same of an input that came as tokens. */
  framed(tokens: readonly number[]): number[];
  /** The vector of framed tokens. Inputs are computed one after the other. */
  embed(tokens: readonly number[]): Promise<Float32Array>;
  close(): Promise<void>;
}

/** The library refuses inputs that fill a context, and rounds its size up to this. */
const contextStep = 256;

/** Loads the model. Throws LineshaftError with one sentence and a next step. */
export async function loadEmbedder(options: EmbedderOptions): Promise<Embedder> {
  const llama = await getLibrary(options);
  const model = await openModel(llama, options);
  const contextTokens = model.trainContextSize;
  const context = await createContext(model, contextTokens + contextStep, options.threads);
  const { first, last } = frameOf(model);
  const framed = (tokens: readonly number[]) => [
    ...(first !== null && tokens[0] !== first ? [first] : []),
    ...tokens,
    ...(last !== null && tokens.at(-1) !== last ? [last] : []),
  ];
  const vocabulary = model.fileInfo.metadata.tokenizer?.ggml?.tokens;
  return {
    contextTokens,
    dimensions: model.embeddingVectorSize,
    vocabularySize: Array.isArray(vocabulary) ? vocabulary.length : Number.MAX_SAFE_INTEGER,
    modelBytes: model.memoryUsage.ram + model.memoryUsage.vram,
    // A control token that a text spells is text.
    tokenize: (text) => framed(model.tokenize(text, false)),
    framed,
    // The library changes the list that it is given.
    embed: async (tokens) => unit((await context.getEmbeddingFor([...tokens] as Token[])).vector),
    close: () => llama.dispose(),
  };
}

async function createContext(model: LlamaModel, contextSize: number, threads: number): Promise<LlamaEmbeddingContext> {
  try {
    // An encoder sees all tokens at once, so a batch holds a whole input.
    return await model.createEmbeddingContext({
      contextSize,
      batchSize: contextSize,
      threads,
      ignoreMemorySafetyChecks: true,
    });
  } catch (error) {
    throw new LineshaftError({
      code: "model_broken",
      message: `The model makes no embeddings: ${error instanceof Error ? error.message : String(error)}`,
      hint: "Deploy a model that does, such as all-minilm-l6-v2 (`lineshaft models`).",
      cause: error,
    });
  }
}

/**
 * The tokens that the library puts around an input, by the same rules. They are put around it here, because they count and because the
 * bound on an input's length includes them.
 */
function frameOf({ vocabularyType, tokens }: LlamaModel): { first: number | null; last: number | null } {
  switch (vocabularyType) {
    case LlamaVocabularyType.rwkv:
      return { first: null, last: null };
    case LlamaVocabularyType.wpm:
      return { first: tokens.bos, last: tokens.sep };
    case LlamaVocabularyType.ugm:
      return { first: null, last: tokens.eos };
    default:
      return {
        first: tokens.shouldPrependBosToken ? tokens.bos : null,
        last: tokens.shouldAppendEosToken ? tokens.eos : null,
      };
  }
}

/** The vector scaled to length 1, as OpenAI's are; one of zeros stays. */
export function unit(vector: readonly number[]): Float32Array {
  const length = Math.hypot(...vector);
  return Float32Array.from(vector, (value) => (length === 0 ? 0 : value / length));
}
