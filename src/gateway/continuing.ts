// Whether an answer that broke off in mid-stream can be continued by another endpoint. What its client has must be plain text, because that is all
// that an engine can be given as the beginning of its answer. A thought, a call of a tool or an item of one API is not continued, nor is
// an answer that had ended.
import type { AnswerDelta } from "../engines/index.ts";
import { limits } from "./limits.ts";
import { classOf } from "./scheduling/faults.ts";

/** What an attempt that continues an answer goes on with. */
export interface Beginning {
  /** The answer so far, without white space at its end: engines cut that off. */
  readonly text: string;
  /** Output tokens that earlier attempts have used, which the limit of output no longer has room for. */
  readonly outputTokens: number;
}

/** What has passed of one answer, as far as the answer can be continued. */
export class Passed {
  #text: string | undefined = "";

  add(deltas: readonly AnswerDelta[]): void {
    for (const delta of deltas) {
      if (this.#text === undefined) return;
      if (!isPlain(delta) || this.#text.length > limits.continuedCharactersMost) this.#text = undefined;
      else this.#text += delta.text ?? "";
    }
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
