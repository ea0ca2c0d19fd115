// An engine's stream as far as it is paid for. Every chunk is counted before it is passed on; a stream is stopped where its limit of
// output is certainly passed (cap.ts), and where the money for it ends (cover.ts). It then ends as an engine ends an answer at its
// limit, with the reason `length` for every answer that is open. Where no more could be asked for it fails with the cause. Both readers of
// streams use it: the relay to a client, and the gathering of a whole answer.
import { iterated, later, type Paced, type Taken } from "../bounded/index.ts";
import type { AnswerDelta, EngineChunk, WireObject } from "../engines/index.ts";
import { cutDelta, OutputCap, outputMost } from "./cap.ts";
import { paidOrAborted } from "./cover.ts";
import { whyAborted } from "./refusals.ts";
import type { BegunStream, CallState, Cut } from "./state.ts";

/** Answers of one stream whose end is noted. An engine may name any number of answers, so the number is bounded. */
const answersMost = 128;

export class PaidStream implements Paced<EngineChunk> {
  readonly #begun: BegunStream;
  readonly #call: Pick<CallState, "signal" | "counted">;
  readonly #cap: OutputCap;
  #first: EngineChunk | undefined;
  #isBegun = false;
  /** Answers that have begun and not said how they ended. */
  readonly #open = new Set<number>();
  /** Output tokens, of all answers together, that have come at most. */
  #came = 0;
  /** Why the stream was stopped from here; undefined while it was not. What is taken then is the end that we give the answer. */
  cut: Cut | undefined;
  finishReason: string | undefined;

  constructor(begun: BegunStream, call: Pick<CallState, "signal" | "counted">) {
    this.#begun = begun;
    this.#call = call;
    this.#first = begun.first;
    this.#cap = new OutputCap(outputMost(begun.attempt));
  }

  [Symbol.asyncIterator](): AsyncIterator<EngineChunk, undefined> {
    return iterated(this);
  }

  /** The engine is told by the end of its attempt, and still says what it has used. */
  leave(): undefined {}

  /** Throws what the engine's stream throws, why the call was aborted, and why no more is covered. */
  take(wake: () => void): Taken<EngineChunk> | Promise<Taken<EngineChunk>> {
    const { attempt, answer } = this.#begun;
    const { signal } = this.#call;
    while (this.cut === undefined) {
      const chunk = this.#isBegun ? answer.chunks.take(wake) : this.#first;
      if (chunk === later) return later;
      this.#isBegun = true;
      this.#first = undefined;
      attempt.placement.endpoint.aliveMs = performance.now();
      if (signal.aborted) throw whyAborted(signal);
      if (chunk === undefined) return undefined;
      if (this.#cap.passedBy(chunk, answer.usage()?.outputTokens)) return this.#stopped("limit", [], chunk.wire);
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
    const { attempt, answer } = this.#begun;
    this.#came = answer.outputSoFar();
    // What an engine does not count while it streams is estimated until it reports its usage at the end.
    const earlier = attempt.beginning?.outputTokens ?? 0;
    this.#call.counted?.output(earlier + (this.#came > 0 ? this.#came : this.#cap.likelyTokens));
    return attempt.cover.reach(this.#came);
  }

  async #afterwards(
    waiting: Promise<void>,
    chunk: EngineChunk,
    before: number,
    wake: () => void,
  ): Promise<Taken<EngineChunk>> {
    await paidOrAborted(waiting, this.#call.signal);
    return this.#paid(chunk, before) ?? this.take(wake);
  }

  /** The chunk as far as it is paid for; undefined where it holds nothing for its reader. */
  #paid(chunk: EngineChunk, before: number): EngineChunk | Promise<EngineChunk> | undefined {
    const { cover } = this.#begun.attempt;
    if (this.#isUnpaid(chunk)) {
      if (cover.failure) throw cover.failure;
      return this.#stopped("budget", this.#paidPart(chunk, before), chunk.wire);
    }
    if (chunk.silent === true) return undefined;
    for (const delta of chunk.deltas) this.#noteEnd(delta);
    return chunk;
  }

  /** The report at the end of an answer and chunks without text are passed on: what they say was paid for, or is cut to what was. */
  #isUnpaid({ characters, silent }: EngineChunk): boolean {
    const { cover } = this.#begun.attempt;
    return cover.isClosed && this.#came > cover.outputTokens && (characters > 0 || silent === true);
  }

  /** Of a chunk of several tokens the part that is paid for; an engine that sends token by token has none. */
  #paidPart({ deltas }: EngineChunk, before: number): AnswerDelta[] {
    const share = (this.#begun.attempt.cover.outputTokens - before) / (this.#came - before);
    return share > 0 ? deltas.map((delta) => cutDelta(delta, share)) : [];
  }

  /** Stops the engine and ends every answer that is open. `last`: what still belongs to them. */
  async #stopped(cut: Cut, last: readonly AnswerDelta[], wire: WireObject): Promise<EngineChunk> {
    this.cut = cut;
    await this.#begun.answer.cancel();
    const said = new Set(last.map(({ index }) => index));
    const open = [...this.#open].filter((index) => !said.has(index));
    const none = open.length === 0 && last.length === 0;
    const deltas = [...last, ...(none ? [0] : open).map((index) => ({ index, finish: "length" }))];
    this.finishReason = "length";
    return { deltas, wire, characters: 0, bytes: 0, reportsUsage: false };
  }

  #noteEnd({ index, finish }: AnswerDelta): void {
    if (finish === undefined) {
      if (this.#open.size < answersMost) this.#open.add(index);
      return;
    }
    this.#open.delete(index);
    this.finishReason = finish;
  }
}
