// A stream on its way from the engine to its reader. It is passed on as it comes, as far as it is paid for (paidStream.ts), and read in
// passing for what the answer has to be. Usage is always asked of the engine, and passed on only where the call asked for it: last, once
// the attempt is settled, so that a reader is told what is billed.
//
// It ends in one of four ways, and `end` is called exactly once for each: by itself, by failing, by the signal (its reason says why), or
// because its reader stops. The engine's iterator is never closed from here: `end` cancels the attempt, and the cancelled engine still
// says what it has used.
import type { LineshaftError } from "../errors/index.ts";
import type { EngineChunk } from "../engines/index.ts";
import { asLineshaftError } from "./errors.ts";
import { checkOutput, OutputGatherer } from "./output.ts";
import { PaidStream } from "./paidStream.ts";
import { ofEndpoint } from "./scheduling/faults.ts";
import { clientGone, whyAborted } from "./refusals.ts";
import type { BegunStream, CallState, Cut, EndedAttempt, Outcome } from "./state.ts";
import type { AnswerChunk } from "./types.ts";

type Step = IteratorResult<AnswerChunk, undefined>;
type EndOfStream = (
  outcome: Outcome,
  failure: LineshaftError | undefined,
  finishReason: string | undefined,
  cut: Cut | undefined,
) => Promise<EndedAttempt>;

const over: Step = { done: true, value: undefined };

export class Relay implements AsyncIterableIterator<AnswerChunk, undefined> {
  readonly #call: CallState;
  readonly #begun: BegunStream;
  readonly #end: EndOfStream;
  readonly #stream: PaidStream;
  readonly #gatherer: OutputGatherer | undefined;
  readonly #wantsUsage: boolean;
  /** The engine's report of usage, which is passed on at the end. */
  #report: EngineChunk | undefined;
  /** The report stands beside the end of the answer, in the client's API: both wait, and leave as they came where they say what is billed. */
  #held: EngineChunk | undefined;
  #last: EngineChunk | undefined;
  #over = false;
  #ended: Promise<EndedAttempt> | undefined;
  readonly #onAbort = () => void this.#finish("cancelled", whyAborted(this.#call.signal));

  constructor(call: CallState, begun: BegunStream, end: EndOfStream) {
    this.#call = call;
    this.#begun = begun;
    this.#end = end;
    this.#stream = new PaidStream(begun, call);
    this.#gatherer = call.check && new OutputGatherer();
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
      for (let step = await this.#stream.next(); step; step = await this.#stream.next()) {
        if (step.end) return { done: false, value: this.#ending(step.end) };
        const chunk = this.#passed(step.chunk);
        if (chunk) return { done: false, value: chunk };
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
    const ended = await this.#finish("completed");
    return this.#wantsUsage ? { done: false, value: this.#usageChunk(ended) } : over;
  }

  async return(): Promise<Step> {
    this.#over = true;
    await this.#finish("cancelled", clientGone());
    return over;
  }

  /** The chunk by which we end an answer. */
  #ending({ deltas, wire }: Pick<AnswerChunk, "deltas" | "wire">): AnswerChunk {
    this.#gatherer?.add({ deltas });
    return { deltas, wire, altered: true };
  }

  /** A chunk as its reader is given it; undefined where the chunk holds only a usage report. */
  #passed(chunk: EngineChunk): AnswerChunk | undefined {
    if (this.#gatherer) {
      this.#call.buffered.add("answers", 2 * chunk.characters, false);
      this.#gatherer.add(chunk);
    }
    if (!chunk.reportsUsage) return (this.#last = chunk);
    this.#report = chunk;
    if (chunk.deltas.length === 0) return undefined;
    const { shape } = chunk.wire;
    // A report beside a delta waits too, because what is billed is not known yet.
    const isOwn = chunk.wire.text !== undefined && shape === this.#call.request.asked.shape;
    const ends = chunk.deltas.some(({ finish }) => finish !== undefined);
    if (!this.#wantsUsage || !isOwn || !ends) return withoutReport(chunk);
    const before = this.#held;
    this.#held = chunk;
    return before && withoutReport(before);
  }

  /** The usage that is billed: the engine's own chunk where that says it in the client's shape. */
  #usageChunk({ usage, usageCut }: EndedAttempt): AnswerChunk {
    const report = this.#report;
    const held = this.#held;
    if (held && !usageCut) return held;
    const { shape } = this.#call.request.asked;
    if (report?.deltas.length === 0 && !usageCut && report.wire.shape === shape) return report;
    const wire = (report ?? this.#last)?.wire ?? { shape, data: {}, text: undefined };
    return { deltas: held?.deltas ?? [], usage, wire, altered: true };
  }

  #finish(outcome: Outcome, failure?: LineshaftError): Promise<EndedAttempt> {
    this.#call.signal.removeEventListener("abort", this.#onAbort);
    this.#begun.attempt.moments.ended ||= this.#call.now();
    const { finishReason, cut } = this.#stream;
    return (this.#ended ??= this.#end(outcome, failure, finishReason, cut));
  }
}

/** The chunk as it is passed on where its report is told later. */
function withoutReport({ deltas, wire: { shape, data } }: EngineChunk): AnswerChunk {
  const { usage: _report, ...rest } = data;
  return { deltas, wire: { shape, data: rest, text: undefined } };
}
