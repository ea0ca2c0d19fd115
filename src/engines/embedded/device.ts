// The seam between the loop that decides and the library that computes: slots that hold tokens, and one batch at a time.
// llama.ts implements it with node-llama-cpp; tests of the loop use a scripted one, so that no rule depends on time.

/** How the next token is chosen from the logits. */
export interface Sampling {
  /** 0: always the likeliest. */
  temperature: number;
  topP: number;
  /** 0: all. */
  topK: number;
  minP: number;
  /** 32 bits; the same seed and prompt give the same text. */
  seed: number;
  /** Over the output; 1: none. */
  repetitionPenalty: number;
  presencePenalty: number;
  frequencyPenalty: number;
  /** GBNF that the text must follow from here on. */
  grammar?: string;
}

/** Sampler state of one call: random numbers, grammar and penalties go on from token to token. */
export interface Generation {
  /** Frees the sampler; it must not be used afterwards. */
  end(): void;
}

export interface BatchItem {
  slot: number;
  /** Evaluated behind what the slot holds. */
  tokens: number[];
  /** Samples a token after the last one; absent: the item is a part of a prefill. */
  generation?: Generation;
}

export interface Device {
  readonly slots: number;
  /** Tokens of a prompt and its output together, in one slot. */
  readonly contextTokens: number;
  /** Whether a state can be cut at any token (not so for recurrent models). */
  readonly canTrim: boolean;
  /** Keeps the first `tokens` tokens of the slot. */
  truncate(slot: number, tokens: number): Promise<void>;
  /** Writes the slot's state to a file; answers its bytes. */
  save(slot: number, path: string): Promise<number>;
  /** Replaces the slot's state by the file's; returns its tokens. If the file cannot be used it throws and the slot is empty. */
  load(slot: number, path: string): Promise<number>;
  /** Throws LineshaftError when the grammar cannot be used. */
  begin(slot: number, sampling: Sampling): Generation;
  /** Computes one batch. An item's answer is its sampled token, undefined for a part of a prefill, or the error of that item. */
  step(items: BatchItem[]): Promise<(number | undefined | Error)[]>;
  /** The token ends a text. */
  isEnd(token: number): boolean;
}
