// How many tokens a call's output is expected to have, before it is generated.
import { firstOutputTokens, newestOutputShare } from "./limits.ts";

/**
 * The moving average of each deployment's output tokens. A limit of thousands says nothing of the usual length, and the fair queue charges
 * by what is expected until the call has ended.
 */
export class ExpectedOutputs {
  readonly #usual = new Map<string, number>();

  /** Output tokens that a call of the deployment is expected to have, at most `mostTokens`. */
  of(deployment: string, mostTokens = Number.POSITIVE_INFINITY): number {
    return Math.min(mostTokens, Math.round(this.#usual.get(deployment) ?? firstOutputTokens));
  }

  /** A call of the deployment has been answered with so many tokens. */
  answered(deployment: string, outputTokens: number): void {
    const usual = this.#usual.get(deployment);
    this.#usual.set(
      deployment,
      usual === undefined ? outputTokens : usual + newestOutputShare * (outputTokens - usual),
    );
  }
}
