// One attempt at an OpenAI-shaped endpoint: a POST, then either a stream of events or one JSON answer, read exactly once.
// Shared by every adapter whose engine speaks this shape; what differs (credentials, hints, how to cancel) is given in.
import { JsonMeter, nextTurn } from "../../bounded/index.ts";
import { credentialIn, withoutCredential, type EgressResponse } from "../../egress/index.ts";
import { limits } from "../limits.ts";
import { send } from "../send.ts";
import { chunkOf, saysEnd } from "./deltas.ts";
import { encodeBody } from "./splice.ts";
import type { SourceBody } from "./splice.ts";
import { SseScanner } from "./sse.ts";
import { EngineError } from "../types.ts";
import type { Endpoint, EngineAnswer, EngineChunk, Timings, Usage } from "../types.ts";
import { estimateTokens, laterUsage, promptLength, refusalOf, retryAfterSeconds, timingsOf, usageOf } from "./wire.ts";

/** Routes of OpenAI's API below `/v1`. */
export const completionPaths: Record<Endpoint, string> = { chat: "/chat/completions", completions: "/completions" };

export interface ExchangeOptions {
  url: string;
  /** Route of the engine, which says the shape of its answers. */
  endpoint: Endpoint;
  headers: string[];
  body: Record<string, unknown> & { stream?: boolean };
  source?: SourceBody | undefined;
  signal?: AbortSignal | undefined;
  /**
   * Tells the engine to stop; the answer then ends by itself and says what was used. Without it a cancelled attempt's
   * connection is closed, and what passed until then is counted.
   */
  stop?: (() => Promise<void>) | undefined;
  /** Header in which the engine says how many tokens of KV it pulled from elsewhere. */
  pulledHeader?: string;
}

/** Starts the attempt. Throws EngineError when it is refused or fails before the answer begins. */
export async function openExchange(options: ExchangeOptions): Promise<EngineAnswer> {
  const { stop, signal } = options;
  // An engine that can be told keeps its connection: closing it would lose what it has to say about usage.
  const told = stop && signal ? tellOnAbort(signal, stop) : undefined;
  try {
    const response = await send({
      method: "POST",
      url: options.url,
      headers: options.headers,
      body: encodeBody(options.body, options.source),
      signal: stop ? undefined : signal,
    });
    const credential = credentialIn(options.headers);
    if (response.status !== 200) throw await readRefusal(response, credential);
    const type = response.headers["content-type"];
    if (options.body.stream === true && typeof type === "string" && !type.startsWith("text/event-stream"))
      throw await readUnstreamed(response, credential);
    return new Exchange(response, options, stop);
  } finally {
    told?.();
  }
}

/** Runs `stop` when the signal aborts while the answer has not begun; answers how to take that back. */
function tellOnAbort(signal: AbortSignal, stop: () => Promise<void>): () => void {
  // An engine that cannot be told has gone: the attempt itself says so.
  const onAbort = () => void stop().catch(() => {});
  if (signal.aborted) onAbort();
  else signal.addEventListener("abort", onAbort, { once: true });
  return () => signal.removeEventListener("abort", onAbort);
}

/** An answer that is not usable, as the error that it stands for, without the credential that some engines repeat in it. */
export async function readRefusal(response: EgressResponse, credential?: string): Promise<EngineError> {
  const text = withoutCredential(await readStart(response, limits.errorBytes).catch(() => ""), credential);
  return refusalOf(response.status, text, retryAfterSeconds(response.headers["retry-after"]));
}

/** 200, yet not a stream although one was asked for: some engines send their errors like this. */
async function readUnstreamed(response: EgressResponse, credential: string | undefined): Promise<EngineError> {
  const text = withoutCredential(await readStart(response, limits.errorBytes).catch(() => ""), credential);
  return refusalOf(502, text, undefined);
}

/** The start of a body as text, at most so many bytes of it; the rest is not read. Of errors, whose start says enough. */
async function readStart(response: EgressResponse, mostBytes: number): Promise<string> {
  const pieces: Uint8Array[] = [];
  let bytes = 0;
  for await (const piece of response.body) {
    pieces.push(piece);
    bytes += piece.length;
    if (bytes > mostBytes) break;
  }
  return Buffer.concat(pieces).toString("utf8", 0, Math.min(bytes, mostBytes));
}

/** A whole body as text. Throws EngineError past the bound of bytes or of values, without reading on. */
export async function readText(response: EgressResponse, mostBytes: number): Promise<string> {
  const pieces: Uint8Array[] = [];
  const { jsonDepth: depth, jsonValues: values, jsonNumbers: numbers } = limits;
  const meter = new JsonMeter({ depth, values, numbers });
  let bytes = 0;
  for await (const piece of response.body) {
    bytes += piece.length;
    if (bytes > mostBytes) throw invalidAnswer(`it is longer than ${mostBytes} bytes`);
    countJson(meter, piece);
    pieces.push(piece);
  }
  return Buffer.concat(pieces).toString("utf8");
}

function countJson(meter: JsonMeter, piece: Uint8Array): void {
  try {
    meter.push(piece);
  } catch (error) {
    throw invalidAnswer(`it ${(error as Error).message}`, error);
  }
}

class Exchange implements EngineAnswer {
  readonly status = 200;
  readonly #response: EgressResponse;
  readonly #request: Record<string, unknown>;
  readonly #endpoint: Endpoint;
  readonly #receivedBytes: number | undefined;
  readonly #stop: (() => Promise<void>) | undefined;
  readonly #chunks: AsyncGenerator<EngineChunk, void, void>;
  readonly #pulled: number | undefined;
  #answer: Promise<EngineChunk> | undefined;
  #reported: Usage | undefined;
  #timings: Timings = {};
  /** Characters of the answer that passed, and how many of them after the reported output last grew. */
  #characters = 0;
  #unreported = 0;
  /** What was sent as bearer token: errors are shown without it. */
  readonly #credential: string | undefined;
  #finished = false;
  #over = false;
  /** The answer was read to an end that its engine gave it. */
  #whole = false;
  #cancelled: Promise<Usage | undefined> | undefined;

  constructor(response: EgressResponse, options: ExchangeOptions, stop: (() => Promise<void>) | undefined) {
    this.#response = response;
    this.#request = options.body;
    this.#endpoint = options.endpoint;
    this.#receivedBytes = options.source?.bytes.length;
    this.#credential = credentialIn(options.headers);
    this.#stop = stop;
    const pulled = options.pulledHeader === undefined ? undefined : response.headers[options.pulledHeader];
    this.#pulled = pulled === undefined ? undefined : Number(pulled);
    this.#chunks = this.#read();
  }

  get chunks(): AsyncIterable<EngineChunk> {
    return this.#chunks;
  }

  whole(): Promise<EngineChunk> {
    return (this.#answer ??= this.#readWhole());
  }

  usage(): Usage | undefined {
    if (!this.#over) return this.#reported;
    if (!this.#reported) return this.#counted();
    return this.#whole ? this.#reported : this.#atLeastCounted(this.#reported);
  }

  timings(): Timings {
    return this.#timings;
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
      // An answer that was to come in one piece shows nothing of how far it had got: nobody knows what was used.
      return this.#request["stream"] === true ? this.usage() : undefined;
    }
    const giveUp = setTimeout(() => this.#response.body.abort(), limits.drainMs);
    try {
      await this.#stop();
      if (this.#request["stream"] === true) await this.#drain();
      else await this.whole();
    } catch {
      // The engine went away while it was told to stop: what passed is counted.
    } finally {
      clearTimeout(giveUp);
      this.#over = true;
    }
    return this.usage();
  }

  /** Reads on to the end, whoever else was reading: a stream has one generator, and `next` of it may be called by both. */
  async #drain(): Promise<void> {
    for (;;) {
      const { done } = await this.#chunks.next();
      if (done) return;
    }
  }

  async *#read(): AsyncGenerator<EngineChunk, void, void> {
    let passed = 0;
    const texts: string[] = [];
    const scanner = new SseScanner((data) => void texts.push(data));
    try {
      for await (const piece of this.#response.body) {
        scanner.push(piece);
        if (texts.length === 0) continue;
        for (const text of texts.splice(0)) {
          // An engine that sends everything at once must not keep others waiting until all of it is passed on.
          if (++passed % limits.eventsPerTurn === 0) await nextTurn();
          if (text === "[DONE]") {
            this.#finished = true;
            continue;
          }
          yield this.#note(parseChunk(text, this.#credential), text);
        }
      }
      // Given up from here, it has not ended, whatever some of its answers said.
      this.#whole = this.#finished && !this.#over;
    } finally {
      this.#over = true;
    }
    if (!this.#finished && this.#cancelled === undefined)
      throw new EngineError({
        status: 502,
        code: "engine_stream_cut",
        message: "The engine ended its answer in the middle.",
        hint: "Look at its log; the call can be tried again.",
      });
  }

  async #readWhole(): Promise<EngineChunk> {
    try {
      const text = await readText(this.#response, limits.answerBytes);
      if (text.length > limits.largeTextCharacters) await nextTurn();
      const data = parseChunk(text, this.#credential);
      if (text.length > limits.largeTextCharacters) await nextTurn();
      if (!Array.isArray(data["choices"])) throw invalidAnswer("it has no `choices`");
      const chunk = this.#note(data);
      this.#whole = true;
      return chunk;
    } finally {
      this.#over = true;
    }
  }

  /** Reads a chunk or a whole answer; takes usage, timings and counts out of it. `text` is its JSON as it came. */
  #note(data: Record<string, unknown>, text?: string): EngineChunk {
    const hasReport = data["lineshaft"] !== undefined && data["usage"] !== undefined && data["usage"] !== null;
    const said = usageOf(data);
    if (hasReport) {
      this.#timings = timingsOf(data);
      // The report is between our own processes only: callers get OpenAI's shape, so the text that holds it is not passed on.
      delete data["lineshaft"];
    }
    const chunk = chunkOf(this.#endpoint, data, hasReport ? undefined : text);
    const before = this.#reported?.outputTokens ?? 0;
    if (said) this.#reported = laterUsage(this.#reported, said);
    this.#characters += chunk.characters;
    this.#unreported = (this.#reported?.outputTokens ?? 0) > before ? 0 : this.#unreported + chunk.characters;
    if (!this.#finished && saysEnd(data)) this.#finished = true;
    return chunk;
  }

  /**
   * Of an answer that did not end by itself. Some engines report usage before the first token, or repeat that report, so what passed
   * after the reported output last grew is counted beside it; the count of the whole answer is the most that this makes of it.
   */
  #atLeastCounted(reported: Usage): Usage {
    const whole = estimateTokens(this.#characters);
    const outputTokens = Math.min(whole, reported.outputTokens + estimateTokens(this.#unreported));
    return outputTokens > reported.outputTokens ? { ...reported, outputTokens, source: "counted" } : reported;
  }

  #counted(): Usage {
    return {
      promptTokens: estimateTokens(promptLength(this.#request, this.#receivedBytes)),
      cachedTokens: 0,
      outputTokens: estimateTokens(this.#characters),
      reasoningTokens: 0,
      source: "counted",
    };
  }
}

function parseChunk(text: string, credential: string | undefined): Record<string, unknown> {
  // A body has been counted while it was read; events are counted here, where one is large.
  if (text.length > limits.largeTextCharacters) {
    const { jsonDepth: depth, jsonValues: values, jsonNumbers: numbers } = limits;
    countJson(new JsonMeter({ depth, values, numbers }), Buffer.from(text));
  }
  let data: unknown;
  try {
    data = JSON.parse(text);
  } catch (error) {
    throw invalidAnswer("it is not JSON", error);
  }
  if (data === null || typeof data !== "object" || Array.isArray(data)) throw invalidAnswer("it is not a JSON object");
  if ((data as Record<string, unknown>)["error"] !== undefined && (data as Record<string, unknown>)["error"] !== null)
    throw refusalOf(502, withoutCredential(text, credential), undefined);
  return data as Record<string, unknown>;
}

function invalidAnswer(why: string, cause?: unknown): EngineError {
  return new EngineError({
    status: 502,
    code: "engine_invalid_answer",
    message: `The engine's answer cannot be read: ${why}.`,
    hint: "Check that the address belongs to an OpenAI-compatible endpoint.",
    cause,
  });
}
