// An answer under way that several identical calls of one payer read. One call asks the engine; the others are given what it is given. The
// call goes on while anyone reads it, and is stopped when the last reader has gone.
//
// Chunks are kept while they may be read from the beginning, up to a bound; later ones only until all readers have had them. The fastest
// reader paces the engine, so a slow one delays no other. One that falls too far behind is cut off.
import { processMemory, type Held } from "../../bounded/index.ts";
import { EngineError } from "../../engines/index.ts";
import { limits } from "../limits.ts";
import { clientGone } from "../refusals.ts";
import type { AnswerChunk, CallAnswer } from "../types.ts";

interface Kept {
  chunk: AnswerChunk;
  bytes: number;
}

interface Reader {
  /** Number of the chunk that it reads next. */
  place: number;
  /** Bytes of chunks that it has not read. */
  behind: number;
}

/** Members of a chunk beside its text, as a part of its size. */
const bytesOfChunk = 256;

export class Flight {
  /** The answer, once it begins. Rejects with why it did not. */
  readonly begun: Promise<CallAnswer>;
  readonly #begun = Promise.withResolvers<CallAnswer>();
  readonly #stop = new AbortController();
  readonly #held: Held = processMemory.open();
  readonly #readers = new Set<Reader>();
  #chunks: Kept[] = [];
  /** Number of the first chunk that is kept. */
  #first = 0;
  #bytes = 0;
  #isOver = false;
  #failure: { error: unknown } | undefined;
  #changed = Promise.withResolvers<void>();
  readonly #onEnd: () => void;

  /** `onEnd`: nothing may join it any more. */
  constructor(onEnd: () => void) {
    this.#onEnd = onEnd;
    this.begun = this.#begun.promise;
    this.begun.catch(() => {});
  }

  /** Aborts when no reader is left. */
  get signal(): AbortSignal {
    return this.#stop.signal;
  }

  /** Whether an identical call can still be given all of it. */
  get isOpen(): boolean {
    return this.#first === 0 && !this.#isOver && !this.#stop.signal.aborted;
  }

  /** Asks the engine by `call`, and takes its answer in. `seen` is given every chunk. Never rejects. */
  async run(call: () => Promise<CallAnswer>, streams: boolean, seen: (chunk: AnswerChunk) => void): Promise<void> {
    try {
      const answer = await call();
      this.#begun.resolve(answer);
      if (streams) for await (const chunk of answer.chunks) await this.#take(chunk, seen);
      else await this.#take(await answer.whole(), seen);
    } catch (error) {
      this.#failure = { error };
      this.#begun.reject(error);
    }
    this.#isOver = true;
    this.#onEnd();
    this.#tell();
    if (this.#readers.size === 0) this.#release();
  }

  /** A reader of the answer from its beginning. It leaves by reading to the end, by `return`, or when its signal aborts. */
  join(signal: AbortSignal | undefined): { chunks: AsyncGenerator<AnswerChunk, void>; leave: () => void } {
    const reader: Reader = { place: 0, behind: this.#bytes };
    this.#readers.add(reader);
    const leave = () => {
      signal?.removeEventListener("abort", leave);
      if (!this.#readers.delete(reader)) return;
      if (this.#readers.size > 0) return this.#tell();
      if (!this.#isOver) this.#stop.abort(clientGone());
      this.#onEnd();
      this.#tell();
      this.#release();
    };
    if (signal?.aborted) leave();
    else signal?.addEventListener("abort", leave, { once: true });
    return { chunks: this.#read(reader, leave), leave };
  }

  async *#read(reader: Reader, leave: () => void): AsyncGenerator<AnswerChunk, void> {
    try {
      for (;;) {
        if (!this.#readers.has(reader)) throw clientGone();
        if (reader.behind > limits.sharedBehindBytes) throw tooSlow();
        const kept = this.#chunks[reader.place - this.#first];
        if (kept) {
          reader.place++;
          reader.behind -= kept.bytes;
          this.#forget();
          this.#tell();
          yield kept.chunk;
        } else if (this.#failure) throw this.#failure.error;
        else if (this.#isOver) return;
        else await this.#changed.promise;
      }
    } finally {
      leave();
    }
  }

  async #take(chunk: AnswerChunk, seen: (chunk: AnswerChunk) => void): Promise<void> {
    seen(chunk);
    const bytes = bytesOfChunk + (chunk.wire.text?.length ?? textOf(chunk));
    this.#chunks.push({ chunk, bytes });
    this.#bytes += bytes;
    this.#held.count("answers", bytes);
    for (const reader of this.#readers) reader.behind += bytes;
    this.#forget();
    this.#tell();
    while (!this.#stop.signal.aborted && this.#fastestBehind() > limits.sharedAheadBytes) await this.#changed.promise;
  }

  #fastestBehind(): number {
    let least = Number.POSITIVE_INFINITY;
    for (const { behind } of this.#readers) least = Math.min(least, behind);
    return this.#readers.size === 0 ? 0 : least;
  }

  /** Lets go of chunks that all readers have had, once the answer is too long to be read from its beginning. */
  #forget(): void {
    if (this.#first === 0 && this.#bytes <= limits.sharedBytes) return;
    let least = this.#first + this.#chunks.length;
    for (const { place, behind } of this.#readers)
      if (behind <= limits.sharedBehindBytes) least = Math.min(least, place);
    const gone = this.#chunks.splice(0, least - this.#first);
    this.#first = least;
    const bytes = gone.reduce((sum, kept) => sum + kept.bytes, 0);
    this.#bytes -= bytes;
    this.#held.count("answers", -bytes);
  }

  #tell(): void {
    const { resolve } = this.#changed;
    this.#changed = Promise.withResolvers<void>();
    resolve();
  }

  #release(): void {
    this.#chunks = [];
    this.#held.release();
  }
}

const textOf = ({ deltas }: AnswerChunk): number =>
  deltas.reduce((sum, { text, reasoning }) => sum + (text?.length ?? 0) + (reasoning?.length ?? 0), 0);

const tooSlow = (): EngineError =>
  new EngineError({
    status: 502,
    code: "engine_stream_cut",
    message: "The answer is shared with an identical call, and was read too slowly to go on with it.",
    hint: "Send the call again.",
    retryable: false,
  });
