// Whether an answer that broke off in mid-stream can be continued by another endpoint. What its client has must be plain text, because that
// is all that an engine can be given as the beginning of its answer. A thought, a call of a tool or an item of one API is not continued,
// nor is an answer that had ended.
import type { Held } from "../bounded/index.ts";
import type { AnswerDelta } from "../engines/index.ts";
import { LineshaftError } from "../errors/index.ts";
import { limits } from "./limits.ts";
import { classOf } from "./scheduling/faults.ts";

/** What an attempt that continues an answer goes on with. */
export interface Beginning {
  /** The answer so far, without white space at its end: engines cut that off. */
  readonly text: string;
  /** Output tokens that earlier attempts have used, which the limit of output no longer has room for. */
  readonly outputTokens: number;
}

/**
 * The text of one answer so far, kept while the answer can be continued. Its bytes are counted in `buffered`. Where memory is full no more
 * is kept: the answer goes on, and cannot be continued elsewhere if it breaks off.
 */
export class Passed {
  readonly #buffered: Held;
  #text: string | undefined = "";

  constructor(buffered: Held) {
    this.#buffered = buffered;
  }

  add(deltas: readonly AnswerDelta[]): void {
    if (this.#text === undefined) return;
    for (const delta of deltas) {
      const { text = "" } = delta;
      if (
        !isPlain(delta) ||
        this.#text.length + text.length > limits.continuedCharactersMost ||
        !this.#hasRoomFor(text)
      )
        return this.#drop();
      this.#text += text;
    }
  }

  /** Counts the text, in memory two bytes a character; false where memory is full. */
  #hasRoomFor(text: string): boolean {
    try {
      this.#buffered.add("answers", 2 * text.length, false);
      return true;
    } catch (error) {
      if (error instanceof LineshaftError && error.code === "memory_full") return false;
      throw error;
    }
  }

  #drop(): void {
    this.#buffered.count("answers", -2 * (this.#text?.length ?? 0));
    this.#text = undefined;
  }

  /** The text; undefined where something else has passed as well, or the answer has ended. */
  get text(): string | undefined {
    return this.#text;
  }
}

/** Whether a delta adds text, or nothing, to the only answer of a call. */
function isPlain({ index, reasoning, refusal, toolCalls, proof, opaque, blocks, finish }: AnswerDelta): boolean {
  const adds = reasoning || refusal || (toolCalls && toolCalls.length > 0) || proof || (opaque && opaque.length > 0);
  return index === 0 && !adds && !blocks && finish === undefined;
}

/** Whether another endpoint may do better after this failure of a stream. */
export function isBreak(error: unknown): boolean {
  const why = classOf(error);
  return why === "connect" || why === "timeout" || why === "failure" || why === "garbage" || why === "rate";
}

/**
 * Leaves out the white space at which two engines meet. `ended`: white space that the client has and the second engine was not given, which
 * the engine writes again. Answers a function that takes each text of the second engine in turn.
 */
export function joining(ended: string): (text: string) => string {
  let left = ended;
  return (text) => {
    let same = 0;
    while (same < left.length && same < text.length && left[same] === text[same]) same++;
    left = same === text.length ? left.slice(same) : "";
    return text.slice(same);
  };
}
