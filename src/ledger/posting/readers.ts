// Those that wait until a place of a spool is posted: readers of records, and the end of a process. A reader waits for a bounded time, leaves
// when its client has gone, and is refused where too many wait: each of them makes the poster post what there is at once, in a batch of its
// own. The end of a process is patient: it waits while the database is away.
import { LineshaftError } from "../../errors/index.ts";
import { StoreUnavailableError, type SpoolPlace } from "../../store/index.ts";
import { posting as limits } from "../limits.ts";

interface Waiting {
  place: SpoolPlace;
  resolve(): void;
  reject(error: unknown): void;
  /** It goes on waiting while the database is away. */
  patient: boolean;
}

interface ReaderLimits {
  /** A reader waits so long. */
  readMostMs: number;
  /** So many readers wait at once. */
  readersMost: number;
}

export class Readers {
  readonly #limits: ReaderLimits;
  #waiting: Waiting[] = [];
  /** Readers that wait for a place of another process's spool. */
  #elsewhere = 0;

  constructor(bounds: ReaderLimits = limits) {
    this.#limits = bounds;
  }

  /** Whether nothing waits for a place of this spool. */
  get isEmpty(): boolean {
    return this.#waiting.length === 0;
  }

  get size(): number {
    return this.#waiting.length + this.#elsewhere;
  }

  /** The end of a process: resolves when the place is posted, however long that takes. */
  waitPatiently(place: SpoolPlace): Promise<void> {
    return new Promise((resolve, reject) => this.#waiting.push({ place, resolve, reject, patient: true }));
  }

  /** A reader. Rejects with StoreUnavailableError when the place is not posted in time, and with the signal's reason. */
  wait(place: SpoolPlace, signal: AbortSignal | undefined): Promise<void> {
    return this.#bounded(signal, (over) => {
      const { promise, resolve, reject } = Promise.withResolvers<void>();
      const waiting = { place, resolve, reject, patient: false };
      this.#waiting.push(waiting);
      const leave = () => {
        this.#waiting = this.#waiting.filter((one) => one !== waiting);
        reject(over.reason);
      };
      over.addEventListener("abort", leave, { once: true });
      return promise.finally(() => over.removeEventListener("abort", leave));
    });
  }

  /** The same for a place that is looked up: `isThere` answers undefined where it never will be. */
  waitElsewhere(isThere: () => Promise<boolean | undefined>, signal: AbortSignal | undefined): Promise<void> {
    return this.#bounded(signal, async (over) => {
      this.#elsewhere++;
      try {
        for (let found = await isThere(); !found; found = await isThere()) {
          if (found === undefined) throw late();
          over.throwIfAborted();
          await new Promise((resolve) => setTimeout(resolve, limits.elsewherePollMs));
          over.throwIfAborted();
        }
      } finally {
        this.#elsewhere--;
      }
    });
  }

  /** Resolves those whose place is there. */
  answer(isThere: (place: SpoolPlace) => boolean): void {
    const waiting = this.#waiting;
    this.#waiting = waiting.filter(({ place }) => !isThere(place));
    for (const { place, resolve } of waiting) if (isThere(place)) resolve();
  }

  rejectImpatient(error: unknown): void {
    this.#reject((waiting) => (waiting.patient ? undefined : error));
  }

  /** Rejects all; those that are patient learn the cause itself. */
  rejectAll(error: unknown, cause = error): void {
    this.#reject(({ patient }) => (patient ? cause : error));
  }

  async #bounded(signal: AbortSignal | undefined, work: (over: AbortSignal) => Promise<void>): Promise<void> {
    signal?.throwIfAborted();
    if (this.size >= this.#limits.readersMost)
      throw new StoreUnavailableError("Too many reads wait for records that are not in the database yet.", {
        sent: false,
      });
    const over = new AbortController();
    const onAbort = () => over.abort(signal!.reason);
    signal?.addEventListener("abort", onAbort, { once: true });
    const timer = setTimeout(() => over.abort(late()), this.#limits.readMostMs).unref();
    try {
      await work(over.signal);
    } finally {
      clearTimeout(timer);
      signal?.removeEventListener("abort", onAbort);
    }
  }

  #reject(errorOf: (waiting: Waiting) => unknown): void {
    const waiting = this.#waiting;
    this.#waiting = waiting.filter((one) => errorOf(one) === undefined);
    for (const one of waiting) {
      const error = errorOf(one);
      if (error !== undefined) one.reject(error);
    }
  }
}

const late = () =>
  new StoreUnavailableError("The records that were waited for have not reached the database in time.", { sent: false });

/** A place that no answer can have named: nothing is written there. */
export const placeBeyond = ({ spool, number }: SpoolPlace): LineshaftError =>
  new LineshaftError({
    code: "invalid_value",
    message: `\`after\` names record ${number} of ${spool}, which has fewer. Send \`x-lineshaft-after\` as an answer gave it.`,
    param: "after",
    hint: "Send `x-lineshaft-after` as an answer gave it.",
  });
