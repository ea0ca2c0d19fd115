// An engine with a reader of its KV events that fills the scheduler's prefix index, as the gateway does: what the index says of
// a prompt before a call is compared with what the engine reports cached after it.
import { onTestFinished } from "vitest";
import type { CompletionShape, Engine, KvEvent, Usage } from "../../src/engines/index.ts";
import { ChainCache, PrefixIndex, type Space, tokenSpace } from "../../src/scheduler/index.ts";

type Body = Record<string, unknown>;

export interface Called {
  /** Leading tokens of the prompt that the index said the engine holds, as many of them as an engine may reuse. */
  matched: number;
  tokens: number[];
  usage: Usage;
  text: string;
}

/** The source of events: the engine's adapter, or a connection to it that loses messages on purpose. */
export type Source = (
  since: { epoch: string; sequence: number } | undefined,
  signal: AbortSignal,
) => AsyncIterable<KvEvent>;

let markers = 0;

export class Watched {
  /** Every event so far. */
  readonly seen: KvEvent[] = [];
  readonly #engine: Engine;
  readonly #source: Source;
  readonly #model: string;
  readonly #space: Space;
  readonly #index = new PrefixIndex();
  readonly #chains = new ChainCache();
  #waiting: (() => void)[] = [];
  #stop = new AbortController();
  #reading: Promise<void> = Promise.resolve();

  constructor(engine: Engine, model: string, blockTokens: number, source?: Source) {
    this.#engine = engine;
    this.#source = source ?? ((since, signal) => engine.kv!.watch(since, signal));
    this.#model = model;
    this.#space = tokenSpace(model, blockTokens);
    this.#index.join(0, this.#space.name, blockTokens);
    this.come(undefined);
    onTestFinished(() => this.leave());
  }

  /** Begins to read. */
  come(since: { epoch: string; sequence: number } | undefined): void {
    this.#stop = new AbortController();
    this.#reading = this.#read(since, this.#stop.signal);
  }

  /** Stops reading. */
  async leave(): Promise<void> {
    this.#stop.abort();
    await this.#reading;
  }

  async #read(since: { epoch: string; sequence: number } | undefined, signal: AbortSignal): Promise<void> {
    for await (const event of this.#source(since, signal)) {
      this.seen.push(event);
      const { outcome, unplaced } = this.#index.apply(0, event);
      // A replay ring that starts in the middle has blocks whose parents were never seen. They are not counted as a gap.
      if (outcome === "gap" || outcome === "duplicate")
        throw new Error(`event ${event.sequence}: ${outcome} ${unplaced}`);
      for (const wake of this.#waiting.splice(0)) wake();
    }
  }

  /** Makes a call and answers its usage; the index is not asked. */
  async send(
    body: Body,
    cacheSalt: string,
    shape: CompletionShape = "completions",
  ): Promise<{ usage: Usage; text: string }> {
    const answer = await this.#engine.open({
      shape,
      body: { model: this.#model, ...body },
      hints: { attempt: `att_${++markers}`, cacheSalt, project: "prj_1" },
    });
    const { deltas } = await answer.whole();
    return { usage: answer.usage()!, text: deltas[0]!.text! };
  }

  /** Matches a prompt, makes the call, and answers both. */
  async call(shape: CompletionShape, body: Body, cacheSalt: string): Promise<Called> {
    await this.settle();
    const { tokens } = (await this.#engine.tokenize(shape, body, cacheSalt))!;
    const matched = this.#reusable(tokens!, cacheSalt);
    return { matched, tokens: tokens!, ...(await this.send({ max_tokens: 1, ...body }, cacheSalt, shape)) };
  }

  /** Tokens of the prompt that the index says are there. */
  async match(prompt: string, cacheSalt: string): Promise<number> {
    const { tokens } = (await this.#engine.tokenize("completions", { prompt }, cacheSalt))!;
    return this.#reusable(tokens!, cacheSalt);
  }

  #reusable(tokens: number[], cacheSalt: string): number {
    const blocks = this.#chains.update(`${cacheSalt}/call`, this.#space, cacheSalt, Uint32Array.from(tokens));
    this.#index.match(blocks, 0);
    const size = this.#space.blockTokens;
    const held = this.#index.confirmed.count === 0 ? 0 : this.#index.confirmed.total[0]! * size;
    // An engine always computes the last prompt token, because generation starts from its result.
    return Math.min(held, Math.floor((tokens.length - 1) / size) * size);
  }

  /** Resolves when every event up to now has been applied: it sends a new prompt and waits for that prompt's events, which come last. */
  async settle(): Promise<void> {
    const size = this.#space.blockTokens;
    const prompt = Array.from({ length: size + 1 }, (_, at) => 1_000 + ((++markers * 7919 + at * 104_729) % 20_000));
    const from = this.seen.length;
    await this.send({ prompt, max_tokens: 1 }, "org_marker");
    const same = ({ tokens }: KvEvent) => tokens?.slice(0, size).every((token, at) => token === prompt[at]);
    while (!this.seen.slice(from).some(same)) await new Promise<void>((resolve) => this.#waiting.push(resolve));
  }
}

/** A seeded source of numbers in [0, 1). */
export function seeded(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
}

const syllables =
  "ba be bi bo bu da de di do du fa fe fi fo fu ka ke ki ko ku la le li lo lu ma me mi mo mu na ne no".split(" ");

/** So many made-up words; about two tokens each. */
export function prose(words: number, random: () => number): string {
  const one = () => syllables[Math.floor(random() * syllables.length)]!;
  return Array.from({ length: words }, () => `${one()}${one()} `).join("");
}
