// What a simulation remembers of each call: columns of typed arrays, so that a million calls cost no objects.
import type { RefusalCode } from "../../scheduler/index.ts";

/** How a call ended. */
export const outcome = { pending: 0, done: 1, refused: 2, failed: 3 } as const;

/** The scheduler's reasons for refusals; a record holds the position plus one. */
const refusalCodes: readonly RefusalCode[] = ["queue_full", "deadline", "no_endpoint", "too_long", "program_limit"];

export const refusalNumber = (code: RefusalCode): number => refusalCodes.indexOf(code) + 1;

export class CallRecords {
  readonly count: number;
  /** When the client sent it, the gateway placed it, the engine admitted it, its first token came, and it ended. */
  readonly sentMs: Float64Array;
  readonly placedMs: Float64Array;
  readonly admittedMs: Float64Array;
  readonly firstMs: Float64Array;
  readonly endMs: Float64Array;
  /** Prompt tokens that the serving engine did not compute, and the part of them that came from lower tiers. */
  readonly cachedTokens: Int32Array;
  readonly loadedTokens: Int32Array;
  /** Where it was placed last (PD: where it was prefilled) and where it decoded; -1 before. */
  readonly endpoint: Int16Array;
  readonly decodeEndpoint: Int16Array;
  /** Second choice of the last decision; -1 with only one candidate. */
  readonly runnerUp: Int16Array;
  readonly attempts: Uint8Array;
  readonly outcome: Uint8Array;
  /** Why the scheduler refused it (`refusalOf`); 0 where it did not. */
  readonly refusal: Uint8Array;

  constructor(count: number) {
    this.count = count;
    this.sentMs = new Float64Array(count).fill(NaN);
    this.placedMs = new Float64Array(count).fill(NaN);
    this.admittedMs = new Float64Array(count).fill(NaN);
    this.firstMs = new Float64Array(count).fill(NaN);
    this.endMs = new Float64Array(count).fill(NaN);
    this.cachedTokens = new Int32Array(count);
    this.loadedTokens = new Int32Array(count);
    this.endpoint = new Int16Array(count).fill(-1);
    this.decodeEndpoint = new Int16Array(count).fill(-1);
    this.runnerUp = new Int16Array(count).fill(-1);
    this.attempts = new Uint8Array(count);
    this.outcome = new Uint8Array(count);
    this.refusal = new Uint8Array(count);
  }

  /** Why the scheduler refused a call; undefined where it did not. */
  refusalOf(index: number): RefusalCode | undefined {
    return refusalCodes[this.refusal[index]! - 1];
  }
}
