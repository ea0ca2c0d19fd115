// A pause that something may end: more is synced, a reader waits, or the poster is closed. Each of these ends what waits for less too.

type Event = "news" | "reader" | "end";
const urgency: Record<Event, number> = { news: 0, reader: 1, end: 2 };

export class Pause {
  /** Something happened while nothing paused. */
  #hasNews = false;
  #isOver = false;
  #wake: ((by: Event) => void) | undefined;

  tell(event: Event): void {
    this.#hasNews = true;
    this.#isOver ||= event === "end";
    this.#wake?.(event);
  }

  /** Lasts so long, or until something as urgent as `by` happens. What happened before it began ends a pause that news would end. */
  async last(ms: number, by: Event): Promise<void> {
    const isOver = this.#isOver || (by === "news" && this.#hasNews);
    this.#hasNews = false;
    if (isOver) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    const timer = setTimeout(resolve, ms);
    this.#wake = (event) => {
      if (urgency[event] >= urgency[by]) resolve();
    };
    await promise;
    clearTimeout(timer);
    this.#wake = undefined;
  }
}
