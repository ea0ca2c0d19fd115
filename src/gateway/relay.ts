// A stream on its way from the engine to its reader. It is passed on as it comes and read in passing: for the finish reason, for the
// usage (always asked of the engine, passed on only where the call asked for it), and for what the answer has to be.
//
// It ends in one of four ways, and `end` is called exactly once for each: by itself, by failing, by the signal (its reason says why), or
// because its reader stops. The engine's iterator is never closed from here: `end` cancels the attempt, and the cancelled engine still
// says what it has used.
import type { LineshaftError } from "../errors/index.ts";
import type { AnswerDelta, EngineChunk, Usage } from "../engines/index.ts";
import { OutputCap, outputMost } from "./cap.ts";
import { asLineshaftError } from "./errors.ts";
import { checkOutput, OutputGatherer } from "./output.ts";
import { ofEndpoint } from "./scheduling/faults.ts";
import { clientGone, whyAborted } from "./refusals.ts";
import type { Begun, CallState, Outcome } from "./state.ts";
import type { AnswerChunk } from "./types.ts";
import { billedUsage } from "./usage.ts";

type Step = IteratorResult<AnswerChunk, undefined>;
type EndOfStream = (
  outcome: Outcome,
  failure: LineshaftError | undefined,
  finishReason: string | undefined,
  /** The stream was past its limit of output and was cut. */
  cut: boolean,
) => Promise<void>;

/** Answers of one stream whose end is noted. An engine may name any number of answers, so the number is bounded. */
const answersMost = 128;
const over: Step = { done: true, value: undefined };

export class Relay implements AsyncIterableIterator<AnswerChunk, undefined> {
  readonly #call: CallState;
  readonly #begun: Extract<Begun, { streams: true }>;
  readonly #end: EndOfStream;
  readonly #gatherer: OutputGatherer | undefined;
  readonly #wantsUsage: boolean;
  #first: IteratorResult<EngineChunk> | undefined;
  #last: EngineChunk | undefined;
  #finishReason: string | undefined;
  #sentUsage = false;
  readonly #cap: OutputCap;
  /** Answers that have begun and not said how they ended. */
  readonly #open = new Set<number>();
  #cut = false;
  #over = false;
  #ended: Promise<void> | undefined;
  readonly #onAbort = () => void this.#finish("cancelled", whyAborted(this.#call.signal));

  constructor(call: CallState, begun: Extract<Begun, { streams: true }>, end: EndOfStream) {
    this.#call = call;
    this.#begun = begun;
    this.#end = end;
    this.#first = begun.first;
    this.#gatherer = call.check && new OutputGatherer();
    this.#cap = new OutputCap(outputMost(begun.attempt));
    this.#wantsUsage = call.request.asked.streamUsage;
    // A client that has gone ends the attempt now, also while nothing is read.
    call.signal.addEventListener("abort", this.#onAbort, { once: true });
    if (call.signal.aborted) this.#onAbort();
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  async next(): Promise<Step> {
    if (this.#over) return over;
    try {
      while (!this.#cut) {
        const step = this.#first ?? (await this.#begun.iterator.next());
        this.#first = undefined;
        this.#begun.attempt.placement.endpoint.aliveMs = performance.now();
        if (this.#call.signal.aborted) throw whyAborted(this.#call.signal);
        if (step.done) break;
        const chunk = step.value;
        if (this.#cap.passedBy(chunk, this.#begun.answer.usage()?.outputTokens)) return await this.#cutShort(chunk);
        if (this.#passes(chunk)) return { done: false, value: this.#billed(chunk) };
      }
      if (this.#call.check) await checkOutput(this.#call.check, this.#gatherer!.answers.values());
    } catch (error) {
      this.#over = true;
      const gone = this.#call.signal.aborted;
      const failure = gone
        ? whyAborted(this.#call.signal)
        : asLineshaftError(ofEndpoint(error, this.#begun.attempt.placement.endpoint));
      await this.#finish(gone ? "cancelled" : "failed", failure);
      throw failure;
    }
    this.#over = true;
    await this.#finish("completed");
    const usage = this.#wantsUsage && !this.#sentUsage ? this.#begun.answer.usage() : undefined;
    return usage ? { done: false, value: this.#usageChunk(usage) } : over;
  }

  async return(): Promise<Step> {
    this.#over = true;
    await this.#finish("cancelled", clientGone());
    return over;
  }

  /** Stops the engine; answers the chunk that ends every answer that is still open, with the reason `length`. */
  async #cutShort({ wire }: EngineChunk): Promise<Step> {
    this.#cut = true;
    await this.#begun.answer.cancel();
    const open = this.#open.size > 0 ? [...this.#open] : [0];
    const deltas = open.map((index) => ({ index, finish: "length" }));
    const chunk: EngineChunk = { deltas, characters: 0, reportsUsage: false, wire };
    this.#passes(chunk);
    return { done: false, value: { deltas, wire, altered: true } };
  }

  /** The usage that the call asked for, where its engine sent no chunk of it. */
  #usageChunk(usage: Usage): AnswerChunk {
    const { endpoint } = this.#call.request.asked;
    const wire = this.#last?.wire ?? { endpoint, data: {}, text: undefined };
    return { deltas: [], usage: billedUsage(this.#begun.attempt, usage), wire, altered: true };
  }

  /**
   * Its reader is told the usage that is billed. In a PD call the decode engine reports transferred tokens as cached, so the
   * prefill leg's count is taken; a claim beyond the hold is cut to it.
   */
  #billed(chunk: EngineChunk): AnswerChunk {
    const said = chunk.reportsUsage ? this.#begun.answer.usage() : undefined;
    if (!said) return chunk;
    const { attempt } = this.#begun;
    const { split } = attempt.placement;
    const usage = billedUsage(attempt, split?.billed(said) ?? said);
    return usage === said ? chunk : { deltas: chunk.deltas, usage, wire: chunk.wire };
  }

  /** Notes what a chunk says; false where its reader has not asked for it. */
  #passes(chunk: EngineChunk): boolean {
    for (const delta of chunk.deltas) this.#noteEnd(delta);
    if (this.#gatherer) {
      this.#call.buffered.add("answers", 2 * chunk.characters, false);
      this.#gatherer.add(chunk);
    }
    if (chunk.deltas.length > 0 || !chunk.reportsUsage) {
      this.#last = chunk;
      return true;
    }
    this.#sentUsage = this.#wantsUsage;
    return this.#wantsUsage;
  }

  #noteEnd({ index, finish }: AnswerDelta): void {
    if (finish === undefined) {
      if (this.#open.size < answersMost) this.#open.add(index);
      return;
    }
    this.#open.delete(index);
    this.#finishReason = finish;
  }

  #finish(outcome: Outcome, failure?: LineshaftError): Promise<void> {
    this.#call.signal.removeEventListener("abort", this.#onAbort);
    this.#begun.attempt.moments.ended ||= this.#call.now();
    return (this.#ended ??= this.#end(outcome, failure, this.#finishReason, this.#cut));
  }
}
