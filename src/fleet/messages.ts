// IPC messages of a child as an async iterable: messages that arrive before the first read are kept, up to a bound. The
// child's end ends the iterable.
import { messageBacklog } from "./limits.ts";

export class Messages implements AsyncIterable<unknown> {
  readonly #waiting: unknown[] = [];
  #wake: (() => void) | undefined;
  #ended = false;

  push(message: unknown): void {
    this.#waiting.push(message);
    if (this.#waiting.length > messageBacklog) this.#waiting.shift();
    this.#wake?.();
  }

  end(): void {
    this.#ended = true;
    this.#wake?.();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<unknown> {
    for (;;) {
      while (this.#waiting.length > 0) yield this.#waiting.shift();
      if (this.#ended) return;
      await new Promise<void>((resolve) => (this.#wake = resolve));
    }
  }
}
