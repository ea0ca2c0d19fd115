// The scheduler's picture of simulated calls: sizes as a gateway knows them before they ran, identities as strings.
import type { Call } from "../../scheduler/index.ts";
import type { SimCall, Workload } from "../types.ts";

/** What an output is taken for until the first has ended. */
const firstGuessTokens = 256;

export class Requests {
  /** First thread seen of each program: the parent of its others. */
  readonly #mainThread: Int32Array;
  #ended = 0;
  #outputTokens = 0;

  constructor(workload: Workload) {
    this.#mainThread = new Int32Array(workload.programs).fill(-1);
  }

  /** An output of so many tokens is known now: later calls are expected to have the mean of those. */
  finished(outputTokens: number): void {
    this.#ended++;
    this.#outputTokens += outputTokens;
  }

  describe(call: SimCall): Call {
    let main = this.#mainThread[call.program]!;
    if (main < 0) this.#mainThread[call.program] = main = call.thread;
    return {
      id: String(call.index),
      tenant: String(call.tenant),
      // For the scheduler a sub-agent is a program of its own below its parent.
      program: String(call.thread),
      ...(main === call.thread ? {} : { parent: String(main) }),
      affinity: String(call.program),
      deployment: "simulated",
      promptTokens: call.promptTokens,
      outputTokens: this.#ended > 0 ? Math.round(this.#outputTokens / this.#ended) : firstGuessTokens,
      prompt: [],
    };
  }
}
