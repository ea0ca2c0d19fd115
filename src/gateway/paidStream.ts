// An engine's stream as far as it is paid for. Every chunk is counted before it is passed on; a stream is stopped where its limit of
// output is certainly passed (cap.ts), and where the money for it ends (cover.ts). It then ends as an engine ends an answer at its
// limit, with the reason `length` for every answer that is open. Where no more could be asked for it fails with the cause. Both readers of
// streams use it: the relay to a client, and the gathering of a whole answer.
import { iterated, later, type Arrivals, type Paced, type Taken } from "../bounded/index.ts";
import type { AnswerDelta, EngineAnswer, EngineChunk, RegisteredEndpoint, WireObject } from "../engines/index.ts";
import { cutDelta, OutputCap, outputMost } from "./cap.ts";
import { paidOrAborted, type Cover } from "./cover.ts";
import { whyAborted } from "./refusals.ts";
import type { BegunStream, CallState, Cut } from "./state.ts";

/** Answers of one stream whose end is noted. An engine may name any number of answers, so the number is bounded. */
const answersMost = 128;

/**
 * What every chunk needs stands in the object itself. Streams take turns of milliseconds, so each object that a chunk is led through is
 * fetched from memory again, which costs more than the work on it.
 */
export class PaidStream implements Paced<EngineChunk> {
  readonly #answer: EngineAnswer;
  readonly #chunks: Arrivals<EngineChunk>;
  readonly #endpoint: RegisteredEndpoint;
  readonly #cover: Cover;
  readonly #signal: AbortSignal;
  readonly #counted: CallState["counted"];
  readonly #cap: OutputCap;
  /** Output tokens of the attempts that this one continues. */
  readonly #earlierTokens: number;
  #first: EngineChunk | undefined;
  #isBegun = false;
  /** Answers that have begun and not said how they ended. */
  readonly #open = new Set<number>();
  /** The one that was noted last, and is open. */
  #lastOpen: number | undefined;
  /** Output tokens, of all answers together, that have come at most. */
  #came = 0;
  /** Why the gateway stopped the stream; undefined while it has not. Its reader then gets the gateway's own last chunk. */
  cut: Cut | undefined;
  finishReason: string | undefined;

  constructor({ attempt, answer, first }: BegunStream, { signal, counted }: Pick<CallState, "signal" | "counted">) {
    this.#answer = answer;
    this.#chunks = answer.chunks;
    this.#endpoint = attempt.placement.endpoint;
    this.#cover = attempt.cover;
    this.#signal = signal;
    this.#counted = counted;
    this.#first = first;
    this.#cap = new OutputCap(outputMost(attempt));
    this.#earlierTokens = attempt.beginning?.outputTokens ?? 0;
  }

  [Symbol.asyncIterator](): AsyncIterator<EngineChunk, undefined> {
    return iterated(this);
  }

  /** The engine is told by the end of its attempt, and still says what it has used. */
  leave(): undefined {}

  /** Throws what the engine's stream throws, why the call was aborted, and why no more is covered. */
  take(wake: () => void): Taken<EngineChunk> | Promise<Taken<EngineChunk>> {
    const signal = this.#signal;
    while (this.cut === undefined) {
      const chunk = this.#isBegun ? this.#chunks.take(wake) : this.#first;
      if (chunk === later) return later;
      this.#isBegun = true;
      this.#first = undefined;
      this.#endpoint.aliveMs = performance.now();
      if (signal.aborted) throw whyAborted(signal);
      if (chunk === undefined) return undefined;
      if (this.#cap.passedBy(chunk, this.#answer.usage()?.outputTokens)) return this.#stopped("limit", [], chunk.wire);
      const before = this.#came;
      const waiting = this.#count();
      if (waiting) return this.#afterwards(waiting, chunk, before, wake);
      const passed = this.#paid(chunk, before);
      if (passed) return passed;
    }
    return undefined;
  }

  /** Notes how far the answer has come; answers a promise where what pays for it has to be asked for. */
  #count(): Promise<void> | undefined {
    this.#came = this.#answer.outputSoFar();
    // What an engine does not count while it streams is estimated until it reports its usage at the end.
    this.#counted?.output(this.#earlierTokens + (this.#came > 0 ? this.#came : this.#cap.likelyTokens));
    return this.#cover.reach(this.#came);
  }

  async #afterwards(
    waiting: Promise<void>,
    chunk: EngineChunk,
    before: number,
    wake: () => void,
  ): Promise<Taken<EngineChunk>> {
    await paidOrAborted(waiting, this.#signal);
    return this.#paid(chunk, before) ?? this.take(wake);
  }

  /** The chunk as far as it is paid for; undefined where it holds nothing for its reader. */
  #paid(chunk: EngineChunk, before: number): EngineChunk | Promise<EngineChunk> | undefined {
    if (this.#isUnpaid(chunk)) {
      const { failure } = this.#cover;
      if (failure) throw failure;
      return this.#stopped("budget", this.#paidPart(chunk, before), chunk.wire);
    }
    if (chunk.silent === true) return undefined;
    for (const delta of chunk.deltas) this.#noteEnd(delta);
    return chunk;
  }

  /** The report at the end of an answer and chunks without text are passed on: what they say was paid for, or is cut to what was. */
  #isUnpaid({ characters, silent }: EngineChunk): boolean {
    const cover = this.#cover;
    return cover.isClosed && this.#came > cover.outputTokens && (characters > 0 || silent === true);
  }

  /** The paid part of a chunk that holds several tokens; nothing where engines send token by token. */
  #paidPart({ deltas }: EngineChunk, before: number): AnswerDelta[] {
    const share = (this.#cover.outputTokens - before) / (this.#came - before);
    return share > 0 ? deltas.map((delta) => cutDelta(delta, share)) : [];
  }

  /** Stops the engine and ends every answer that is open. `last`: what still belongs to them. */
  async #stopped(cut: Cut, last: readonly AnswerDelta[], wire: WireObject): Promise<EngineChunk> {
    this.cut = cut;
    await this.#answer.cancel();
    const said = new Set(last.map(({ index }) => index));
    const open = [...this.#open].filter((index) => !said.has(index));
    const none = open.length === 0 && last.length === 0;
    const deltas = [...last, ...(none ? [0] : open).map((index) => ({ index, finish: "length" }))];
    this.finishReason = "length";
    return { deltas, wire, characters: 0, bytes: 0, reportsUsage: false };
  }

  #noteEnd({ index, finish }: AnswerDelta): void {
    if (finish === undefined) {
      if (index !== this.#lastOpen && this.#open.size < answersMost) this.#open.add((this.#lastOpen = index));
      return;
    }
    this.#lastOpen = undefined;
    this.#open.delete(index);
    this.finishReason = finish;
  }
}
