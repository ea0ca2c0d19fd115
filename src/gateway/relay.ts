// A stream on its way from the engine to its reader. It is passed on as it comes, as far as it is paid for (paidStream.ts), and read in
// passing for what the answer has to be. Usage is always asked of the engine, and passed on only where the call asked for it: last, once
// the attempt is settled, so that a reader is told what is billed.
//
// A stream that breaks off may be gone on with by another attempt (continuing.ts). Its chunks are written anew in the frame of the first
// stream, so that the reader sees one answer: one id, one end, one usage.
//
// A stream ends in one of four ways, and `end` is called exactly once for each: by itself, by failing, by the signal (its reason says
// why), or because its reader stops. The engine's iterator is never closed from here: `end` cancels the attempt, and the cancelled engine
// still says what it has used.
import { iterated, later, type Paced, type Taken } from "../bounded/index.ts";
import type { LineshaftError } from "../errors/index.ts";
import type { AnswerDelta, EngineChunk, Usage, WireObject } from "../engines/index.ts";
import { isBreak, joining, Passed } from "./continuing.ts";
import { asLineshaftError } from "./errors.ts";
import { checkOutput, OutputGatherer } from "./output.ts";
import { PaidStream } from "./paidStream.ts";
import { ofEndpoint } from "./scheduling/faults.ts";
import { clientGone, whyAborted } from "./refusals.ts";
import type { BegunStream, CallState, Cut, EndedAttempt, Outcome } from "./state.ts";
import type { AnswerChunk } from "./types.ts";

/** How a stream ended. */
interface StreamEnd {
  outcome: Outcome;
  failure: LineshaftError | undefined;
  finishReason: string | undefined;
  cut: Cut | undefined;
}

/** What a relay asks of the call that it serves. */
export interface Served {
  /** Ends the attempt of this stream, and the call. */
  end(begun: BegunStream, how: StreamEnd): Promise<EndedAttempt>;
  /**
   * Ends the attempt of a stream that broke off, and begins another that goes on after the text, or after all of it but the white space
   * at its end; undefined where none can. `stop` ends what is begun. Throws what stopped it, or the call, meanwhile. Absent: this answer
   * cannot be continued.
   */
  goOn?:
    | ((
        broken: BegunStream,
        text: string,
        failure: LineshaftError,
        stop: AbortSignal,
      ) => Promise<BegunStream | undefined>)
    | undefined;
  /** What the attempts of the answer that have ended have used. */
  before(): readonly Usage[];
}

/** An attempt that is being begun to go on with the answer. `going` never rejects. */
interface Between {
  going: Promise<unknown>;
  stop: AbortController;
}

export class Relay implements Paced<AnswerChunk> {
  readonly #call: CallState;
  readonly #served: Served;
  readonly #gatherer: OutputGatherer | undefined;
  readonly #wantsUsage: boolean;
  readonly #passedText: Passed | undefined;
  #begun: BegunStream;
  #stream: PaidStream;
  /** The frame in which a later attempt's chunks are written, and where its text meets what has passed. */
  #continued: { wire: WireObject; join: (text: string) => string } | undefined;
  /** Another attempt is being begun: until it is there, or is not, no attempt is under way here. */
  #between: Between | undefined;
  /** The engine's report of usage, which is passed on at the end. */
  #report: EngineChunk | undefined;
  /**
   * The report stands beside the end of the answer, in the client's API: both wait, and leave as they came where they say what is billed.
   */
  #held: EngineChunk | undefined;
  #last: EngineChunk | undefined;
  #over = false;
  #ended: Promise<EndedAttempt> | undefined;
  readonly #onAbort = () => void this.#finish("cancelled", whyAborted(this.#call.signal));

  constructor(call: CallState, begun: BegunStream, served: Served) {
    this.#call = call;
    this.#begun = begun;
    this.#served = served;
    this.#stream = new PaidStream(begun, call);
    this.#gatherer = call.check && new OutputGatherer();
    this.#passedText = served.goOn && new Passed(call.buffered);
    this.#wantsUsage = call.request.asked.streamUsage;
    // A client that has gone ends the attempt now, also while nothing is read.
    call.signal.addEventListener("abort", this.#onAbort, { once: true });
    if (call.signal.aborted) this.#onAbort();
  }

  [Symbol.asyncIterator](): AsyncIterator<AnswerChunk, undefined> {
    return iterated(this);
  }

  take(wake: () => void): Taken<AnswerChunk> | Promise<Taken<AnswerChunk>> {
    try {
      while (!this.#over) {
        const chunk = this.#stream.take(wake);
        if (chunk === later) return later;
        if (chunk instanceof Promise) return this.#takenLater(chunk, wake);
        if (chunk === undefined) return this.#atEnd(wake);
        const shown = this.#shown(chunk);
        if (shown) return shown;
      }
      return undefined;
    } catch (error) {
      return this.#goesOnOrThrows(error, wake);
    }
  }

  async leave(): Promise<void> {
    this.#over = true;
    await this.#finish("cancelled", clientGone());
  }

  /** What is taken where something has to be done before. */
  async #takenLater(taking: Promise<Taken<EngineChunk>>, wake: () => void): Promise<Taken<AnswerChunk>> {
    try {
      const chunk = await taking;
      if (chunk === later) return later;
      if (chunk === undefined) return this.#atEnd(wake);
      return this.#shown(chunk) ?? this.take(wake);
    } catch (error) {
      return this.#goesOnOrThrows(error, wake);
    }
  }

  async #goesOnOrThrows(error: unknown, wake: () => void): Promise<Taken<AnswerChunk>> {
    await this.#broken(error);
    return this.take(wake);
  }

  /** The stream has ended by itself. Where the answer is not what it has to be, that is a failure like one of the stream. */
  async #atEnd(wake: () => void): Promise<Taken<AnswerChunk>> {
    try {
      if (this.#call.check) await checkOutput(this.#call.check, this.#gatherer!.answers.values());
    } catch (error) {
      return this.#goesOnOrThrows(error, wake);
    }
    if (this.#over) return undefined;
    this.#over = true;
    const ended = await this.#finish("completed");
    return this.#wantsUsage ? this.#usageChunk(ended) : undefined;
  }

  /** The stream has failed: another attempt goes on with the answer, or the call ends here and this throws. */
  async #broken(error: unknown): Promise<void> {
    const { signal } = this.#call;
    let failure = signal.aborted
      ? whyAborted(signal)
      : asLineshaftError(ofEndpoint(error, this.#begun.attempt.placement.endpoint));
    if (!signal.aborted && isBreak(error) && (await this.#goesOn(failure))) return;
    this.#over = true;
    if (signal.aborted) failure = whyAborted(signal);
    await this.#finish(signal.aborted ? "cancelled" : "failed", failure);
    throw failure;
  }

  /** Whether another attempt goes on with the answer. */
  async #goesOn(failure: LineshaftError): Promise<boolean> {
    const text = this.#passedText?.text;
    const wire = this.#continued?.wire ?? (this.#last ?? this.#report)?.wire;
    if (text === undefined || wire === undefined || this.#ended) return false;
    const stop = new AbortController();
    const going = this.#served.goOn!(this.#begun, text, failure, stop.signal).catch(() => undefined);
    this.#between = { going, stop };
    const begun = await going;
    this.#between = undefined;
    if (!begun) return false;
    this.#begun = begun;
    this.#stream = new PaidStream(begun, this.#call);
    this.#report = undefined;
    this.#continued = { wire, join: joining(text.slice(text.trimEnd().length)) };
    if (this.#call.signal.aborted) this.#onAbort();
    return !this.#over;
  }

  /** The chunk as the reader gets it: the engine's own, or the last one of an answer that is ended here. */
  #shown(chunk: EngineChunk): AnswerChunk | undefined {
    return this.#stream.cut === undefined ? this.#passed(chunk) : this.#ending(chunk);
  }

  /** The chunk by which we end an answer. */
  #ending({ deltas, wire }: Pick<AnswerChunk, "deltas" | "wire">): AnswerChunk {
    this.#gatherer?.add({ deltas });
    this.#passedText?.add(deltas);
    return { deltas, wire: this.#continued?.wire ?? wire, altered: true };
  }

  /** A chunk as its reader is given it; undefined where the chunk holds only a usage report. */
  #passed(chunk: EngineChunk): AnswerChunk | undefined {
    if (this.#gatherer) {
      this.#call.buffered.add("answers", 2 * chunk.characters, false);
      this.#gatherer.add(chunk);
    }
    if (this.#continued) return this.#joined(chunk, this.#continued);
    this.#passedText?.add(chunk.deltas);
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

  /** A chunk of an attempt that goes on with the answer, in the frame of the first stream. */
  #joined({ deltas }: EngineChunk, { wire, join }: { wire: WireObject; join: (text: string) => string }) {
    const written = deltas.map((delta): AnswerDelta => (delta.text ? { ...delta, text: join(delta.text) } : delta));
    this.#passedText?.add(written);
    return written.every(saysNothing) ? undefined : { deltas: written, wire, altered: true };
  }

  /** The usage that is billed: the engine's own chunk where that says it in the client's shape. */
  #usageChunk({ usage, usageCut }: EndedAttempt): AnswerChunk {
    if (this.#continued)
      return { deltas: [], usage: inAll(usage, this.#served.before()), wire: this.#continued.wire, altered: true };
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
    return (this.#ended ??= this.#between
      ? this.#stopped(this.#between, outcome, failure)
      : this.#endNow(outcome, failure));
  }

  async #stopped({ going, stop }: Between, outcome: Outcome, failure?: LineshaftError): Promise<EndedAttempt> {
    stop.abort(failure);
    await going;
    return this.#endNow(outcome, failure);
  }

  #endNow(outcome: Outcome, failure?: LineshaftError): Promise<EndedAttempt> {
    this.#begun.attempt.moments.ended ||= this.#call.now();
    const { finishReason, cut } = this.#stream;
    return this.#served.end(this.#begun, { outcome, failure, finishReason, cut });
  }
}

/** Whether a delta of a second stream adds nothing to the answer: the role that a stream begins with, say. */
const saysNothing = (delta: AnswerDelta): boolean =>
  Object.entries(delta).every(([name, value]) => name === "index" || value === undefined || value === "");

/** What all attempts of one answer have used. */
function inAll(last: Usage, before: readonly Usage[]): Usage {
  return before.reduce(
    (sum, one) => ({
      ...sum,
      promptTokens: sum.promptTokens + one.promptTokens,
      cachedTokens: sum.cachedTokens + one.cachedTokens,
      outputTokens: sum.outputTokens + one.outputTokens,
      reasoningTokens: sum.reasoningTokens + one.reasoningTokens,
      source: sum.source === "counted" ? sum.source : one.source,
    }),
    last,
  );
}

/** The chunk as it is passed on where its report is told later. */
function withoutReport({ deltas, wire: { shape, data } }: EngineChunk): AnswerChunk {
  const { usage: _report, ...rest } = data;
  return { deltas, wire: { shape, data: rest, text: undefined } };
}
