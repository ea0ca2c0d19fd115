// A tenure's errands with the database: what goes back is given back, then what is missing is asked for, one statement after the other.
import type { Book } from "../book/book.ts";
import type { Ask, AskAnswer, GivenBack } from "../book/types.ts";
import type { Leases } from "../leases/leases.ts";
import type { LeaseAnswer } from "../leases/types.ts";
import { bookLimits } from "../limits.ts";

interface ErrandsOptions {
  leases: Pick<Leases, "take" | "giveBack">;
  book: Book;
  clock: () => number;
  /** Hands out what the book has decided. */
  decided(): void;
  /** A budget is gone. */
  forget(budget: string): void;
  failed(error: unknown): void;
}

export class Errands {
  readonly #options: ErrandsOptions;
  /** What goes back to the database and has not yet. */
  #back: GivenBack[] = [];
  #working = false;
  #stopped = false;
  #timer: NodeJS.Timeout | undefined;

  constructor(options: ErrandsOptions) {
    this.#options = options;
  }

  /** Begins the errands that there are, where none are under way. */
  begin(): void {
    if (this.#hasAny && !this.#working && !this.#stopped) void this.#run();
  }

  /** An answer to a recall is owed, also where nothing is free. */
  owe(budget: string, period: string): void {
    this.#back.push({ budget, period, amountNano: 0n });
  }

  /** The epoch was fenced: nothing is given back or asked for any more. */
  stop(): void {
    this.#stopped = true;
    clearTimeout(this.#timer);
  }

  /** Gives back what is free now, after the errands that are under way. */
  async end(): Promise<void> {
    while (this.#working) await new Promise((resolve) => setImmediate(resolve));
    clearTimeout(this.#timer);
    this.#options.book.giveAllBack();
    if (!this.#stopped) await this.#giveBack();
  }

  get #hasAny(): boolean {
    return this.#options.book.hasErrands || this.#back.length > 0;
  }

  async #run(): Promise<void> {
    const { book, clock, decided, failed } = this.#options;
    this.#working = true;
    try {
      // What is decided in the same turn of the event loop shares the first statement.
      await Promise.resolve();
      for (;;) {
        const gave = await this.#giveBack();
        const asks = book.asks(clock());
        if (asks.length > 0) await this.#ask(asks);
        else if (!gave) break;
        decided();
      }
    } catch (error) {
      failed(error);
    } finally {
      this.#working = false;
      decided();
      this.#again();
    }
  }

  /** What waits is asked for again after a pause. */
  #again(): void {
    clearTimeout(this.#timer);
    if (this.#hasAny && !this.#stopped) this.#timer = setTimeout(() => this.begin(), bookLimits.askAgainMs).unref();
  }

  /** What could not be given back is given back before anything is asked. */
  async #giveBack(): Promise<boolean> {
    const back = [...this.#back, ...this.#options.book.givenBack()];
    this.#back = [];
    if (back.length === 0) return false;
    try {
      await this.#options.leases.giveBack(back);
    } catch (error) {
      this.#back.unshift(...back);
      throw error;
    }
    return true;
  }

  async #ask(asks: Ask[]): Promise<void> {
    const { leases, book, clock, forget, failed } = this.#options;
    try {
      const answers = await leases.take(asks);
      for (const { budget, state } of answers) if (state === "gone") forget(budget);
      book.answered(asks, answers.flatMap(answerOf), clock());
    } catch (error) {
      book.unanswered(asks, clock());
      failed(error);
    }
  }
}

function answerOf({ ask, facts, grantedNano, state, leftNano, silentElsewhere, cut }: LeaseAnswer): AskAnswer[] {
  return facts ? [{ ask, facts, grantedNano, refused: state === "short", leftNano, silentElsewhere, cut }] : [];
}
