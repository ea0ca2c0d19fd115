// Bytes for clients whose prompt is still computed. A long prompt takes minutes, and clients and proxies close connections that stay
// silent. A stream whose answer has not begun within `quietMs` therefore gets its head and a line that means nothing, and one more every
// `beatMs`. The call knows nothing of it: it is tried again, and goes to other endpoints, as before. What fails later is said inside the
// stream. One timer serves all streams of the process.
import { limits } from "../limits.ts";

/** A stream that waits for its first token. `write`: sends the head (`begins`) or the next line. */
interface Stream {
  nextMs: number;
  begun: boolean;
  write: (begins: boolean) => void;
}

export class WaitingStreams {
  readonly #streams = new Set<Stream>();
  readonly #now: () => number;
  #timer: NodeJS.Timeout | undefined;

  constructor(now: () => number = () => performance.now()) {
    this.#now = now;
  }

  /** Begins to wait; the function that is answered ends it, and says whether anything was written. */
  open(write: Stream["write"]): () => boolean {
    const stream = { nextMs: this.#now() + limits.quietMs, begun: false, write };
    this.#streams.add(stream);
    if (this.#timer === undefined) {
      this.#timer = setInterval(() => this.tick(), limits.waitingTickMs);
      this.#timer.unref();
    }
    return () => {
      this.#streams.delete(stream);
      return stream.begun;
    };
  }

  /** Writes to the streams whose time has come. */
  tick(): void {
    const now = this.#now();
    for (const stream of this.#streams) {
      if (now < stream.nextMs) continue;
      stream.nextMs = now + limits.beatMs;
      const begins = !stream.begun;
      stream.begun = true;
      stream.write(begins);
    }
  }
}
