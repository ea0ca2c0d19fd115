// What follows a failed attempt: another endpoint of the same model, the same endpoints once more, the next model of the call's
// fallbacks, or the end of the call. It only decides; steps.ts carries it out.
//
// The class of the failure decides (scheduling/faults.ts, `classOf`):
//
//   connect, timeout, failure,     another endpoint, then a fallback; a connection that broke is tried once more where no other endpoint
//   garbage, refused               is left, and a worker that restarts is waited for
//   rate                           another endpoint; else the wait that the engine asks for, where the policy and the deadline allow it;
//                                  then a fallback
//   quota                          another endpoint, then a fallback: waiting does not help
//   away                           no attempt was made, because no endpoint of the model takes calls now: as `rate`, without the endpoints
//   too_long                       an endpoint with a longer context, then a fallback with one
//   filtered, request              the end: the request itself is refused, and would be elsewhere
import type { FailureClass } from "./scheduling/faults.ts";

/** How the attempts of one call may follow each other. */
export interface TriesPolicy {
  /** Models that serve the call where its own cannot, in their order. */
  fallbacks: readonly string[];
  /** Attempts at one model, and of the whole call, at most. */
  mostAtModel: number;
  mostInAll: number;
  /** The longest wait that an engine may ask for; 0: a call never waits for an engine's limit. */
  waitMostMs: number;
}

/** A failed attempt, or the finding that none can be made, as far as it decides what follows. */
export interface Failed {
  why: FailureClass | "away";
  /** The wait that the engine asked for. */
  retryAfterMs: number | undefined;
  /** An endpoint of this model is left that this call has not tried. */
  elsewhere: boolean;
  /** The endpoint is a worker of this installation, which is started again. */
  restarts: boolean;
  /** Until the call's deadline; undefined: it has none. */
  leftMs: number | undefined;
  /** Whether a fallback can take the call at all. */
  takes: (model: string) => boolean;
}

export type Next =
  | { do: "elsewhere" }
  /** The same endpoints once more, those that were tried included. */
  | { do: "again"; afterMs: number }
  | { do: "fallback"; model: string }
  | { do: "end" };

const end: Next = { do: "end" };

/** The attempts of one call. `attempted` counts one, and `next` says what follows when one has failed. */
export class Tries {
  readonly #policy: TriesPolicy;
  readonly #fallbacks: string[];
  #inAll = 0;
  #atModel = 0;
  /** Waits at this model. Each is at most `waitMostMs`, and there are no more of them than attempts. */
  #waits = 0;

  constructor(policy: TriesPolicy) {
    this.#policy = policy;
    this.#fallbacks = [...policy.fallbacks];
  }

  /** Whether no attempt may follow those that were counted. */
  get isOver(): boolean {
    const { mostAtModel, mostInAll } = this.#policy;
    const atModelOver = this.#atModel >= mostAtModel && this.#fallbacks.length === 0;
    return this.#inAll >= mostInAll || atModelOver;
  }

  /** Counts an attempt that is made now; answers its number, from 1. */
  attempted(): number {
    this.#atModel++;
    return ++this.#inAll;
  }

  /** Takes back the count of the newest attempt, which was not made after all. */
  givenUp(): void {
    this.#atModel--;
    this.#inAll--;
  }

  next(failed: Failed): Next {
    const { mostAtModel, mostInAll } = this.#policy;
    const { why, elsewhere } = failed;
    if (this.#inAll >= mostInAll || why === "filtered" || why === "request") return end;
    const again = this.#atModel < mostAtModel;
    if (again && elsewhere && why !== "away") return { do: "elsewhere" };
    if (again && why === "connect" && (this.#atModel === 1 || failed.restarts)) return { do: "again", afterMs: 0 };
    if (again && (why === "rate" || why === "away")) {
      const afterMs = this.#wait(failed);
      if (afterMs !== undefined) return { do: "again", afterMs };
    }
    return this.fallback(failed);
  }

  /** The next model that can take the call. A model that is passed over is not asked again once a later one was chosen. */
  fallback({ takes }: Pick<Failed, "takes">): Next {
    const place = this.#fallbacks.findIndex(takes);
    if (place === -1 || this.#inAll >= this.#policy.mostInAll) return end;
    const model = this.#fallbacks[place]!;
    this.#fallbacks.splice(0, place + 1);
    this.#atModel = 0;
    this.#waits = 0;
    return { do: "fallback", model };
  }

  /** Models that may still be tried. */
  get fallbacks(): readonly string[] {
    return this.#fallbacks;
  }

  #wait({ retryAfterMs, leftMs }: Failed): number | undefined {
    const { waitMostMs, mostAtModel } = this.#policy;
    if (retryAfterMs === undefined || retryAfterMs > waitMostMs || this.#waits >= mostAtModel) return undefined;
    if (leftMs !== undefined && retryAfterMs >= leftMs) return undefined;
    this.#waits++;
    return retryAfterMs;
  }
}
