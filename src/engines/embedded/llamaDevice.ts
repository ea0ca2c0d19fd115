// The device made of node-llama-cpp's sequences.
//
// How the library is used, and why:
// - All items of a step are handed over within one turn of the event loop, so the library's queue makes one batch of them;
//   the next step begins when all have answered. That lockstep is what keeps a long prefill from holding up the others.
// - A call samples through one `evaluate` generator, which keeps its sampler (random numbers, grammar) from token to token;
//   the tokens to evaluate are passed to `next`. The seed is always given, because without one the library
//   seeds from the clock again for every token.
// - `topK` is 40 and `topP` 0.95 in the library unless given; OpenAI's meaning of an absent one is "all".
// - The library's context shift would go on silently in a full sequence. The loop never evaluates beyond the limit, and an attempted shift
// throws.
import { LRUCache } from "lru-cache";
import { LineshaftError } from "../../errors/index.ts";
import {
  type Llama,
  type LlamaContext,
  type LlamaContextSequence,
  LlamaGrammar,
  LlamaGrammarEvaluationState,
  type LlamaModel,
  type Token,
} from "node-llama-cpp";
import type { BatchItem, Device, Generation, Sampling } from "./device.ts";

/** Parsed grammars kept, because agents ask for the same schema again and again. */
const grammarsKept = 64;

/** One call's generator; it begins with the first tokens it is given. */
class LlamaGeneration implements Generation {
  private readonly sequence: LlamaContextSequence;
  private readonly options: Parameters<LlamaContextSequence["evaluate"]>[1];
  private readonly sampled: Token[] = [];
  private iterator: AsyncGenerator<Token, void, void | Token | Token[]> | undefined;

  constructor(sequence: LlamaContextSequence, sampling: Sampling, grammar: LlamaGrammarEvaluationState | undefined) {
    this.sequence = sequence;
    const { repetitionPenalty, presencePenalty, frequencyPenalty } = sampling;
    const penalised = repetitionPenalty !== 1 || presencePenalty !== 0 || frequencyPenalty !== 0;
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
          penalty: repetitionPenalty,
          presencePenalty,
          frequencyPenalty,
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

/**
 * Lets the sequences of a batch sample one after another. The library samples them at once on libuv's threads, and llama.cpp
 * puts the logits of a batch in order when they are first read, which is not safe from several threads: greedy answers of
 * concurrent sequences came out other than alone. The library has no public place for this, hence its inner context.
 */
function sampleOneByOne(context: LlamaContext): void {
  const inner = (context as unknown as { _ctx?: { sampleToken?: (...given: unknown[]) => Promise<unknown> } })._ctx;
  const sample = inner?.sampleToken?.bind(inner);
  if (!inner || !sample)
    throw new Error("this version of node-llama-cpp samples in a way that is not known to be safe");
  let last: Promise<unknown> = Promise.resolve();
  const oneByOne = (...given: unknown[]): Promise<unknown> => {
    const next = last.then(() => sample(...given));
    last = next.catch(() => undefined);
    return next;
  };
  Object.defineProperty(inner, "sampleToken", { value: oneByOne });
}

export class LlamaDevice implements Device {
  readonly slots: number;
  readonly contextTokens: number;
  readonly canTrim: boolean;
  private readonly llama: Llama;
  private readonly model: LlamaModel;
  private readonly sequences: LlamaContextSequence[];
  private readonly grammars = new LRUCache<string, LlamaGrammar>({ max: grammarsKept });

  constructor(llama: Llama, model: LlamaModel, context: LlamaContext) {
    this.llama = llama;
    this.model = model;
    this.slots = context.totalSequences;
    this.contextTokens = context.contextSize;
    sampleOneByOne(context);
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

  /** A fresh state of the grammar. */
  private grammar(gbnf: string): LlamaGrammarEvaluationState {
    let grammar = this.grammars.get(gbnf);
    if (!grammar) {
      try {
        grammar = new LlamaGrammar(this.llama, { grammar: gbnf });
      } catch (error) {
        throw new LineshaftError({
          code: "grammar_refused",
          message: `The grammar made from the schema was refused: ${messageOf(error)}`,
          hint: "Simplify the schema.",
        });
      }
      this.grammars.set(gbnf, grammar);
    }
    return new LlamaGrammarEvaluationState({ model: this.model, grammar });
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
