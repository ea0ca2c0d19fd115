// How many bytes one operation with a tool server may read, over all of its requests: a call of a tool, or a list of definitions with all
// of its pages. Reading stops at the bound, whatever the server goes on to send, and the operation is aborted with a reason. An answer
// that breaks off aborts it too.
import { AsyncLocalStorage } from "node:async_hooks";
import { LineshaftError } from "../../../errors/index.ts";

/** An operation read more bytes than it may. The message ends a sentence that names the tool server. */
export class AnswerTooLongError extends LineshaftError {
  constructor(bytes: number) {
    super({ code: "tool_answer_too_long", message: `its answer is longer than ${bytes} bytes` });
  }
}

class Allowance {
  readonly #bytes: number;
  readonly #stop = new AbortController();
  #left: number;

  constructor(bytes: number) {
    this.#bytes = bytes;
    this.#left = bytes;
  }

  get signal(): AbortSignal {
    return this.#stop.signal;
  }

  /** Counts bytes that were read. Throws past the bound, and aborts the operation. */
  take(bytes: number): void {
    this.#left -= bytes;
    if (this.#left >= 0) return;
    const error = new AnswerTooLongError(this.#bytes);
    this.broke(error);
    throw error;
  }

  /** An answer broke off: the operation is aborted, since the library would wait for the rest until its timeout. */
  broke(error: unknown): void {
    this.#stop.abort(error);
  }
}

const current = new AsyncLocalStorage<Allowance>();

/**
 * Does an operation that may read so many bytes. `work` gets a signal that aborts past them, or when an answer breaks off. Throws
 * AnswerTooLongError, or why the answer broke off.
 */
export async function withAllowance<Result>(
  bytes: number,
  signal: AbortSignal | undefined,
  work: (signal: AbortSignal) => Promise<Result>,
): Promise<Result> {
  const allowance = new Allowance(bytes);
  const stop = signal ? AbortSignal.any([signal, allowance.signal]) : allowance.signal;
  try {
    return await current.run(allowance, () => work(stop));
  } catch (error) {
    throw allowance.signal.aborted ? allowance.signal.reason : error;
  }
}

/** The allowance of the operation that is under way, for a request that belongs to it. */
export const allowanceNow = (otherwise: number): Pick<Allowance, "take" | "broke"> =>
  current.getStore() ?? new Allowance(otherwise);
