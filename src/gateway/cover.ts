// How much of an answer is paid for while it streams (DESIGN section 4, "Holds do not starve"). A hold covers the prompt and a first window
// of output. As tokens come the hold is extended, each time by twice the window before, so that a long answer costs few extensions and a
// short one holds little. The next window is asked for when half of the newest is used: the answer does not wait for a round trip.
//
// Where the prompt is held by a bound and the answer must wait for more, an engine counts the prompt first, and the difference is free for
// all calls that wait. So no answer is cut while money lies in a hold that will not use it.
//
// Tokens beyond what is covered are not passed on. Where no more is granted, the answer ends there, by the name of the budget. Where no
// more can be asked for, because the ledger cannot record it, the answer ends there with that error.
import { setTimeout as sleep } from "node:timers/promises";
import type { LineshaftError } from "../errors/index.ts";
import type { AttemptLedger, BudgetCut } from "../ledger/index.ts";
import { asLineshaftError } from "./errors.ts";
import { limits } from "./limits.ts";
import { whyAborted } from "./refusals.ts";

export class Cover {
  readonly #ledger: Pick<AttemptLedger, "extend">;
  readonly #attempt: string;
  readonly #most: number;
  /** Counts the prompt and lowers the hold; undefined once that was tried, and where the prompt is held by its count. */
  #recount: (() => Promise<void>) | undefined;
  #covered: number;
  #window: number;
  #asking: Promise<void> | undefined;
  /** The budget that grants no more. */
  cutBy: BudgetCut | undefined;
  /** Why no more could be asked for. */
  failure: LineshaftError | undefined;

  /**
   * `covered` and `most`: output tokens of all answers together, those that the hold covers and those that may be asked for. `recount`:
   * counts a prompt that is held by a bound, and lowers the hold to the count.
   */
  constructor(
    ledger: Pick<AttemptLedger, "extend">,
    attempt: string,
    { covered, most, recount }: { covered: number; most: number; recount?: () => Promise<void> },
  ) {
    this.#ledger = ledger;
    this.#attempt = attempt;
    this.#covered = covered;
    this.#window = covered;
    this.#most = most;
    this.#recount = recount;
  }

  /** Output tokens that are paid for, of all answers together. */
  get outputTokens(): number {
    return this.#covered;
  }

  /** No more is granted: the answer ends where what is covered ends. */
  get isClosed(): boolean {
    return this.cutBy !== undefined || this.failure !== undefined;
  }

  /**
   * Notes that so many output tokens have come, and asks for more in time. Undefined where they are all covered, or never will be more
   * than they are; else a promise of that.
   */
  reach(tokens: number): Promise<void> | undefined {
    this.#askAhead(tokens);
    return tokens <= this.#covered || this.#isAtItsEnd ? undefined : this.#until(tokens);
  }

  /**
   * Has all of it covered before anything is sent, for an engine that cannot be stopped. It is granted little by little near the end of a
   * budget, and asked for until it is there or no more is granted: a part of it is no result.
   */
  async coverAll(outputTokens: number): Promise<void> {
    const all = Math.min(outputTokens, this.#most);
    await this.#counted(all, 0);
    while (this.#covered < all && !this.isClosed) await this.#ask(all, 0, true);
  }

  #askAhead(tokens: number): void {
    if (this.#asking || this.#isAtItsEnd) return;
    if (tokens <= this.#covered - this.#window / 2) return;
    const window = Math.min(2 * this.#window, limits.windowTokensMost);
    this.#asking = this.#ask(Math.max(this.#covered, tokens) + window, tokens, tokens >= this.#covered);
  }

  get #isAtItsEnd(): boolean {
    return this.#covered >= this.#most || this.isClosed;
  }

  /**
   * The answer stands still here. The extension that was asked for ahead did not say so, and is asked for again: the ledger then knows that
   * this hold waits, and cuts the youngest where all of them wait for each other.
   */
  async #until(tokens: number): Promise<void> {
    await this.#counted(tokens, tokens);
    while (tokens > this.#covered && !this.#isAtItsEnd) await this.#ask(tokens, tokens, true);
  }

  /** Has the prompt counted, where more must be waited for. Until then the answer does not stand: it may not need what it waits for. */
  async #counted(outputTokens: number, seen: number): Promise<void> {
    if (this.#recount === undefined || this.#covered >= outputTokens) return;
    await Promise.race([this.#ask(outputTokens, seen, false), sleep(limits.recountAfterMs, undefined, { ref: false })]);
    const recount = this.#recount;
    if (recount === undefined || this.#covered >= outputTokens || this.#isAtItsEnd) return;
    this.#recount = undefined;
    // Without a count it waits as the others do.
    await recount().catch(() => {});
  }

  /** `stands`: nothing goes on before more is granted. An answer whose prompt can still be counted does not stand. */
  async #ask(outputTokens: number, seen: number, stands: boolean): Promise<void> {
    try {
      const wanted = Math.min(outputTokens, this.#most);
      const standsStill = stands && this.#recount === undefined;
      const extended = await this.#ledger.extend(this.#attempt, wanted, seen, standsStill);
      if (extended.outputTokens > this.#covered) {
        this.#window = extended.outputTokens - this.#covered;
        this.#covered = extended.outputTokens;
      }
      // Two may be under way at once, and a cut is final.
      this.cutBy ??= extended.cutBy;
    } catch (error) {
      this.failure = asLineshaftError(error);
    } finally {
      this.#asking = undefined;
    }
  }
}

/** Waits for an extension. Throws why the call was aborted, where that comes first. */
export async function paidOrAborted(waiting: Promise<void>, signal: AbortSignal): Promise<void> {
  const aborted = Promise.withResolvers<void>();
  const onAbort = () => aborted.resolve();
  signal.addEventListener("abort", onAbort, { once: true });
  await Promise.race([waiting, aborted.promise]);
  signal.removeEventListener("abort", onAbort);
  if (signal.aborted) throw whyAborted(signal);
}
