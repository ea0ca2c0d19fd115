// One attempt at an endpoint: a POST, then either a stream of events or one JSON answer, read exactly once. Every adapter whose engine is
// spoken to over HTTP uses it; what differs (the wire format, credentials, hints, how to cancel) is passed in.
import { iterated, later, nextTurn, type Arrivals, type Taken } from "../../bounded/index.ts";
import { credentialIn, type EgressResponse } from "../../egress/index.ts";
import { limits } from "../limits.ts";
import { send } from "../send.ts";
import { encodeBody } from "./splice.ts";
import type { SourceBody } from "./splice.ts";
import { ArrivingEvents } from "./events.ts";
import type { Shape } from "../asked.ts";
import { OutputProgress, type ProgressField } from "./progress.ts";
import { EngineError } from "../types.ts";
import type { EndpointBounds, EngineAnswer, EngineChunk, Timings, Usage } from "../types.ts";
import {
  invalidAnswer,
  parseChunk,
  readRefusal,
  readText,
  readUnstreamed,
  withoutCredentialIn,
  type RefusalReading,
} from "./read.ts";
import { estimateTokens, laterUsage, timingsOf } from "./chat/usage.ts";
import type { WireReader } from "./types.ts";

interface ExchangeOptions {
  url: string;
  /** Reads the answers. */
  wire: WireReader;
  headers: string[];
  body: Record<string, unknown>;
  /** The engine is asked to stream. */
  stream: boolean;
  source?: SourceBody | undefined;
  signal?: AbortSignal | undefined;
  /** Times that the engine's owner allows it: to connect, and between two pieces of an answer. */
  bounds?: Pick<EndpointBounds, "connectMs" | "idleMs"> | undefined;
  /**
   * Tells the engine to stop; the answer then ends by itself and says what was used. Without it a cancelled attempt's
   * connection is closed, and what passed until then is counted.
   */
  stop?: (() => Promise<void>) | undefined;
  /** Where the engine counts its output while it streams: in a field of its chunks, or in comments between them. */
  progress?: ProgressField | "comments" | undefined;
  /** The API whose clients are shown the engine's own words of a refusal: that of a real provider. Absent: none are. */
  saysAs?: Shape | undefined;
  /** Header in which the engine says how many tokens of KV it pulled from elsewhere. */
  pulledHeader?: string;
}

/** Starts the attempt. Throws EngineError when it is refused or fails before the answer begins. */
export async function openExchange(options: ExchangeOptions): Promise<EngineAnswer> {
  const { stop, signal } = options;
  // An engine that can be told to stop keeps its connection: closing it would lose its report of usage.
  const told = stop && signal ? tellOnAbort(signal, stop) : undefined;
  try {
    const response = await send({
      method: "POST",
      url: options.url,
      headers: options.headers,
      body: encodeBody(options.body, options.source),
      signal: stop ? undefined : signal,
      connectMs: options.bounds?.connectMs,
      idleMs: options.bounds?.idleMs,
    });
    const reading = readingOf(options);
    if (response.status !== 200) throw await readRefusal(response, reading);
    const type = response.headers["content-type"];
    if (options.stream && typeof type === "string" && !type.startsWith("text/event-stream"))
      throw await readUnstreamed(response, reading);
    return new Exchange(response, options, stop);
  } finally {
    told?.();
  }
}

const readingOf = ({ url, headers, wire, saysAs }: ExchangeOptions): RefusalReading => ({
  credential: credentialIn(headers),
  refusal: wire.refusal,
  saysAs,
  url,
});

/** Runs `stop` when the signal aborts while the answer has not begun. Returns the function that takes this back. */
function tellOnAbort(signal: AbortSignal, stop: () => Promise<void>): () => void {
  // An engine that cannot be told has gone, and the attempt itself fails.
  const onAbort = () => void stop().catch(() => {});
  if (signal.aborted) onAbort();
  else signal.addEventListener("abort", onAbort, { once: true });
  return () => signal.removeEventListener("abort", onAbort);
}

class Exchange implements EngineAnswer, Arrivals<EngineChunk> {
  readonly status = 200;
  readonly #response: EgressResponse;
  readonly #streams: boolean;
  readonly #wire: WireReader;
  /** What the reader remembers of this answer. */
  readonly #state: unknown;
  readonly #body: Record<string, unknown>;
  readonly #receivedBytes: number | undefined;
  readonly #stop: (() => Promise<void>) | undefined;
  readonly #events: ArrivingEvents;
  readonly #pulled: number | undefined;
  /** Undefined where the engine does not count while it streams. */
  readonly #progress: OutputProgress | undefined;
  #answer: EngineChunk | Promise<EngineChunk> | undefined;
  #reported: Usage | undefined;
  #timings: Timings = {};
  /** Characters of the answer that passed, and how many of them after the reported output last grew. */
  #characters = 0;
  #unreported = 0;
  /** How errors inside the answer are read. */
  readonly #reading: RefusalReading;
  #finished = false;
  #over = false;
  /** Nothing more of the stream is read. */
  #isRead = false;
  /** Of its reader, and of a cancelled stream that is read to its end. */
  #wake: (() => void) | undefined;
  #wakeDrain: (() => void) | undefined;
  readonly #onArrival = () => {
    const wake = this.#wake;
    const wakeDrain = this.#wakeDrain;
    this.#wake = undefined;
    this.#wakeDrain = undefined;
    wake?.();
    wakeDrain?.();
  };
  /** The answer was read to the end that its engine gave it. */
  #whole = false;
  #cancelled: Promise<Usage | undefined> | undefined;

  constructor(response: EgressResponse, options: ExchangeOptions, stop: (() => Promise<void>) | undefined) {
    this.#response = response;
    this.#streams = options.stream;
    this.#wire = options.wire;
    this.#body = options.body;
    this.#receivedBytes = options.source?.bytes.length;
    this.#reading = readingOf(options);
    this.#stop = stop;
    const { progress } = options;
    this.#progress = progress && new OutputProgress(progress === "comments" ? undefined : progress);
    this.#state = options.wire.begin(options.stream, this.#progress?.taken);
    const pulled = options.pulledHeader === undefined ? undefined : response.headers[options.pulledHeader];
    this.#pulled = pulled === undefined ? undefined : Number(pulled);
    this.#events = new ArrivingEvents(response.body, progress === "comments");
  }

  get chunks(): Arrivals<EngineChunk> {
    return this;
  }

  whole(): EngineChunk | Promise<EngineChunk> {
    return (this.#answer ??= this.#readWhole());
  }

  usage(): Usage | undefined {
    if (!this.#over) return this.#reported;
    const counted = this.#progress?.reported ?? 0;
    if (!this.#reported) return this.#counted(counted);
    if (this.#whole) return this.#reported;
    // Reports of several answers of one call are each of one answer, so their sum is more than the latest.
    const outputTokens = Math.max(this.#reported.outputTokens, counted);
    if (counted > 0) return { ...this.#reported, outputTokens };
    return this.#atLeastCounted(this.#reported);
  }

  timings(): Timings {
    return this.#timings;
  }

  outputSoFar(): number {
    return Math.max(this.#progress?.outputSoFar ?? 0, this.#reported?.outputTokens ?? 0);
  }

  pulledTokens(): number | undefined {
    return this.#pulled;
  }

  cancel(): Promise<Usage | undefined> {
    return (this.#cancelled ??= this.#cancel());
  }

  async #cancel(): Promise<Usage | undefined> {
    if (this.#over) return this.usage();
    if (!this.#stop) {
      this.#response.body.abort();
      this.#over = true;
      // An answer in one piece does not show how far it had got, so what was used is not known.
      return this.#streams ? this.usage() : undefined;
    }
    const giveUp = setTimeout(() => this.#response.body.abort(), limits.drainMs);
    try {
      await this.#stop();
      if (this.#streams) await this.#drain();
      else await this.whole();
    } catch {
      // The engine went away while it was told to stop. What passed is counted.
    } finally {
      clearTimeout(giveUp);
      this.#over = true;
    }
    return this.usage();
  }

  /** Reads on to the end. Its reader may be reading too, and then each of them has some of the chunks. */
  async #drain(): Promise<void> {
    try {
      for (;;) {
        const chunk = this.#taken();
        if (chunk === undefined) return;
        if (chunk === later) await new Promise<void>((wake) => (this.#wakeDrain = wake));
      }
    } finally {
      // Its reader waits for what was read here.
      this.#onArrival();
    }
  }

  get #silent(): EngineChunk {
    const wire = { shape: this.#wire.shape, data: {}, text: undefined };
    return { deltas: [], characters: 0, bytes: 0, reportsUsage: false, silent: true, wire };
  }

  [Symbol.asyncIterator](): AsyncIterator<EngineChunk, undefined> {
    return iterated(this);
  }

  take(wake: () => void): Taken<EngineChunk> {
    const chunk = this.#taken();
    if (chunk === later) this.#wake = wake;
    return chunk;
  }

  leave(): undefined {
    if (!this.#isRead) this.#giveUp();
  }

  #taken(): Taken<EngineChunk> {
    if (this.#isRead) return undefined;
    try {
      for (;;) {
        const came = this.#events.next(this.#onArrival);
        if (came === later) return later;
        if (!came) break;
        const { text, name } = this.#events;
        if (this.#events.isComment) {
          this.#progress!.comment(text);
          // The event that follows says it too. Without one the engine is busy with what it sends later, a tool call for example.
          if (this.#events.isAlone) return this.#silent;
        } else if (text === "[DONE]") this.#finished = true;
        else return this.#again(text, name) ?? this.#note(parseChunk(text, this.#reading), text, name);
      }
    } catch (error) {
      this.#giveUp();
      throw error;
    }
    this.#endRead();
    return undefined;
  }

  /** Reads no further, and closes the connection where the answer has not ended. */
  #giveUp(): void {
    this.#isRead = true;
    this.#over = true;
    this.#response.body.abort();
  }

  /** The stream has ended. Throws EngineError where its answer has not. */
  #endRead(): void {
    this.#isRead = true;
    // An answer that was cancelled from here is not whole, even where some of its choices said that they ended.
    this.#whole = this.#finished && !this.#over;
    this.#over = true;
    if (!this.#finished && this.#cancelled === undefined)
      throw new EngineError({
        status: 502,
        code: "engine_stream_cut",
        message: "The engine ended its answer in the middle.",
        hint: "Look at its log; the call can be tried again.",
      });
  }

  #readWhole(): EngineChunk | Promise<EngineChunk> {
    let isLater = false;
    try {
      const text = readText(this.#response, limits.answerBytes);
      if (typeof text !== "string" || text.length > limits.largeTextCharacters) {
        isLater = true;
        return this.#readLater(text);
      }
      return this.#noteWhole(parseChunk(text, this.#reading), text);
    } finally {
      if (!isLater) this.#over = true;
    }
  }

  /** An answer that has not come to its end, or is so large that other calls have their turns between the steps over it. */
  async #readLater(coming: string | Promise<string>): Promise<EngineChunk> {
    try {
      const text = await coming;
      const isLarge = text.length > limits.largeTextCharacters;
      if (isLarge) await nextTurn();
      const data = parseChunk(text, this.#reading);
      if (isLarge) await nextTurn();
      return this.#noteWhole(data, text);
    } finally {
      this.#over = true;
    }
  }

  #noteWhole(data: Record<string, unknown>, text: string): EngineChunk {
    if (!this.#wire.isAnswer(data)) throw invalidAnswer(`it is no answer of the API "${this.#wire.shape}"`);
    const chunk = this.#note(data, text);
    this.#whole = true;
    return chunk;
  }

  /** A chunk that repeats another but for its text and the count that is taken out of it. A count that stays makes every chunk another one. */
  #again(text: string, event: string | undefined): EngineChunk | undefined {
    const progress = this.#progress;
    if (progress?.staysInChunks === true) return undefined;
    const repeated = this.#wire.again?.(text, this.#state);
    if (repeated === undefined) return undefined;
    const { chunk, count } = repeated;
    if (event !== undefined) chunk.eventName = event;
    let said: Usage | undefined;
    if (count !== undefined) {
      if (progress!.taken === "usage") said = this.#wire.usage({ usage: count }, this.#state);
      progress!.count(chunk.deltas[0]!.index, count);
    }
    progress?.passed(chunk);
    this.#passed(chunk, said, false);
    return chunk;
  }

  /** Notes what has passed. `said`: the usage that the engine reported with it. */
  #passed({ characters }: EngineChunk, said: Usage | undefined, isLast: boolean): void {
    const before = this.#reported?.outputTokens ?? 0;
    if (said) this.#reported = isLast ? said : laterUsage(this.#reported, said);
    this.#characters += characters;
    this.#unreported = (this.#reported?.outputTokens ?? 0) > before ? 0 : this.#unreported + characters;
  }

  /** Reads a chunk or a whole answer; takes usage, timings and counts out of it. `text` is its JSON as it came. */
  #note(data: Record<string, unknown>, text: string, event?: string): EngineChunk {
    const said = this.#wire.usage(data, this.#state);
    const hasReport = data["lineshaft"] !== undefined && data["usage"] !== undefined && data["usage"] !== null;
    if (hasReport) {
      this.#timings = timingsOf(data);
      // The report is between our own processes only: callers get OpenAI's shape, so the text that holds it is not passed on.
      delete data["lineshaft"];
    }
    const counted = this.#progress?.takenFrom(data) === true;
    const chunk = this.#readChunk(data, event, hasReport || counted ? undefined : text);
    chunk.bytes = text.length;
    if (event !== undefined) chunk.eventName = event;
    this.#progress?.passed(chunk);
    this.#passed(chunk, said, this.#wire.isLastReport?.(data) === true);
    // Where a count should have been taken out, a chunk without one is no example of the others.
    if (this.#streams && !hasReport && counted === (this.#progress?.taken !== undefined))
      this.#wire.learn?.(text, chunk, this.#state);
    if (!this.#finished && this.#wire.ends(data, event) !== "no") this.#finished = true;
    return chunk;
  }

  /** An event may say that the answer has failed, in words that repeat the credential. */
  #readChunk(data: Record<string, unknown>, event: string | undefined, text: string | undefined): EngineChunk {
    try {
      return this.#wire.read(data, event, text, this.#state);
    } catch (error) {
      throw withoutCredentialIn(error, this.#reading.credential);
    }
  }

  /**
   * Usage of an answer that did not end by itself. Some engines report usage before the first token, or repeat that report, so the text
   * that passed after the reported output last grew is counted on top, up to the count of all text that passed.
   */
  #atLeastCounted(reported: Usage): Usage {
    const whole = estimateTokens(this.#characters);
    const outputTokens = Math.min(whole, reported.outputTokens + estimateTokens(this.#unreported));
    return outputTokens > reported.outputTokens ? { ...reported, outputTokens, source: "counted" } : reported;
  }

  /** `outputTokens`: as the engine counted them while it streamed; 0 where it did not. */
  #counted(outputTokens: number): Usage {
    return {
      promptTokens: estimateTokens(this.#wire.promptCharacters(this.#body, this.#receivedBytes)),
      cachedTokens: 0,
      cachedUnreported: true,
      outputTokens: outputTokens > 0 ? outputTokens : estimateTokens(this.#characters),
      reasoningTokens: 0,
      source: "counted",
    };
  }
}
