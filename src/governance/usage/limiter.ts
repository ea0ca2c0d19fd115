// Whether a call may begin under the limits on use. Calls are admitted in memory against the process's shares (share.ts), on all limits in
// one step or on none; a statement is made only where a share is used up.
//
// Requests and tokens are refused once their limit is used up, because what is used leaves the window within a minute or a day and
// clients know when to come back. Calls and bytes under way end within seconds, so a call waits for them, in the order of arrival and up to
// ten seconds. Tokens are counted by the prompt before the call (counted.ts) and by the output as it comes; an answer that has begun is
// never cut, and what it used beyond the limit is missing for the calls after it.
import type { LineshaftError } from "../../errors/index.ts";
import type { Database, Session } from "../../store/index.ts";
import { limits } from "../limits.ts";
import { CountedCall, countsTokens, uncounted, type Counted } from "./counted.ts";
import { LimitTable } from "./definitions.ts";
import { inOrder, Lines, waitsFor } from "./lines.ts";
import { overLimit, tooMuchAtOnce } from "./refusals.ts";
import { Reading } from "./reading.ts";
import type { Part } from "./share.ts";
import { Shares } from "./shares.ts";
import { windows, type UsageLimit } from "./types.ts";

/** What is known of a call when it may begin. */
export interface Use {
  organisation: string;
  project: string;
  key: string;
  model: string;
  /** Prompt tokens as estimated from the text, for the refusal. `Counted.prompt` counts them. */
  promptTokens: number;
  /** Bytes of the call's body. */
  bytes: number;
  signal: AbortSignal;
}

interface LimiterOptions {
  db: Database;
  /** Whose identity the shares are held under. */
  session: Pick<Session, "processId" | "listen">;
  /** Milliseconds of a clock that never goes back. */
  now?: () => number;
}

/** The limits of one process. */
export class Limiter {
  readonly #table: LimitTable;
  readonly #shares: Shares;
  readonly #reading: Reading;
  readonly #now: () => number;
  readonly #lines = new Lines();
  /** Limits that have refused just now: until when calls are refused without a statement. */
  readonly #refusing = new Map<number, number>();
  /** When all limits were read last, or asked for. */
  #readAt: number;
  #timer: NodeJS.Timeout | undefined;
  #unlisten: (() => void) | undefined;

  private constructor({ db, session, now = () => performance.now() }: LimiterOptions) {
    this.#table = new LimitTable(db);
    const removed = (number: number) => this.#table.drop(number);
    this.#shares = new Shares({ db, process: session.processId, now, removed });
    // A share is told anew, so that a lower amount holds at once.
    this.#reading = new Reading(this.#table, (number) => this.#shares.recall(number));
    this.#now = now;
    this.#readAt = now();
  }

  /** Reads the limits and begins to hear of changes. Rejects where the database does not answer. */
  static async open(options: LimiterOptions): Promise<Limiter> {
    const limiter = new Limiter(options);
    limiter.#unlisten = await options.session.listen("lineshaft_usage", (told) => limiter.#heard(told), {
      back: () => limiter.#reading.missed(),
    });
    await limiter.#table.readAll();
    limiter.#timer = setInterval(() => limiter.#tick(), limits.usageTickMs).unref();
    return limiter;
  }

  /**
   * Counts a call against every limit of its scopes, but for the tokens of its prompt (`Counted.prompt`). Throws LineshaftError
   * `rate_limit_exceeded` (429) or `call_over_limit` (429). Rejects with the signal's reason where the call is stopped while it waits, and
   * with StoreUnavailableError where a share is used up while the database is away.
   */
  begin(use: Use): Counted | Promise<Counted> {
    const found = this.#table.of(use);
    if (found.length === 0) return uncounted;
    const parts = found.map((limit): Part => ({
      limit,
      share: this.#shares.of(limit),
      amount: amountOf(limit, use),
      slot: 0,
    }));
    const counted = (taken: Part[]) =>
      new CountedCall(taken, {
        shares: this.#shares,
        take: (more, promptTokens) => this.#take(more, { ...use, promptTokens }),
        freed: (number) => this.#lines.wake(number),
      });
    const taken = this.#take(parts, use);
    return Array.isArray(taken) ? counted(taken) : taken.then(counted);
  }

  /**
   * What counts now against each of these limits, by its number, in the unit of its dimension. Other processes' part is up to five seconds
   * old. Rejects with StoreUnavailableError where the database is away.
   */
  usedOf(numbers: readonly number[]): Promise<Map<number, number>> {
    return this.#shares.usedOf(numbers);
  }

  /** Reads a limit that this process itself has set or removed, so that it goes by that when it answers. Never rejects. */
  changed(number: number): Promise<void> {
    return this.#reading.heard(number);
  }

  async close(): Promise<void> {
    clearInterval(this.#timer);
    this.#unlisten?.();
    await this.#shares.close();
  }

  /** Counts all of the parts or throws; answers those whose limits are still there. */
  #take(parts: Part[], use: Use): Part[] | Promise<Part[]> {
    for (const part of parts) if (part.amount > part.limit.amount) throw tooMuchAtOnce(part);
    if (parts.every((part) => this.#lines.fits(part))) return taken(parts);
    return this.#waited(parts.toSorted(inOrder), use);
  }

  async #waited(found: Part[], use: Use): Promise<Part[]> {
    const { organisation, signal } = use;
    const full = found.find((part) => this.#lines.isFull(part));
    if (full) throw refusalOf(full, use);
    const bell = new Bell(signal);
    const waiter = this.#lines.enter(organisation, bell.ring);
    const until = this.#now() + limits.usageWaitMs;
    let isTaken = false;
    let recalls = 0;
    try {
      for (;;) {
        signal.throwIfAborted();
        // A limit may be removed meanwhile.
        const parts = found.filter((part) => waiter.kept.includes(part) || this.#table.has(part.limit.number));
        for (const part of parts) part.share = this.#shares.of(part.limit);
        const short = this.#lines.look(waiter, parts);
        if (!short) {
          isTaken = true;
          return taken(parts, waiter.kept);
        }
        const waits = waitsFor(short);
        // A call that waits behind others asks for nothing until it is the first of them.
        if (waits && !this.#lines.isFirst(waiter)) {
          if (this.#now() >= until) throw refusalOf(short, use);
          await bell.rung(until - this.#now());
          continue;
        }
        if (!waits && (this.#refusing.get(short.share.number) ?? 0) > this.#now()) throw refusalOf(short, use);
        const refusal = await this.#shares.need(short.share, short.amount);
        if (!refusal) continue;
        if (refusal.unused > 0 && recalls < limits.usageRecallMs.length) {
          await bell.rung(limits.usageRecallMs[recalls++]!);
          continue;
        }
        if (!waits) this.#refusing.set(short.share.number, this.#now() + limits.usageRefusedMs);
        if (!waits || this.#now() >= until) throw refusalOf(short, use);
        await bell.rung(Math.min(limits.usageRefusedMs, until - this.#now()));
      }
    } catch (error) {
      throw signal.aborted ? signal.reason : error;
    } finally {
      this.#lines.leave(waiter);
      if (!isTaken) this.#giveBack(waiter.kept);
    }
  }

  #giveBack(kept: readonly Part[]): void {
    for (const { limit, amount, slot } of kept) {
      this.#shares.of(limit).giveBack(amount, slot);
      this.#lines.wake(limit.number);
    }
  }

  #heard(told: string): void {
    const [what, number] = told.split(" ");
    if (what === "recall") this.#shares.recall(Number(number));
    else if (what === "limit") void this.#reading.heard(Number(number));
  }

  #tick(): void {
    this.#shares.tick();
    const now = this.#now();
    for (const [number, until] of this.#refusing) if (until <= now) this.#refusing.delete(number);
    if (now - this.#readAt >= limits.usagePulseMs) {
      this.#readAt = now;
      this.#reading.missed();
    } else void this.#reading.read();
    // The next look asks again; shares of the dead only wait a little longer.
    this.#shares.reclaim().catch(() => {});
  }
}

/** What a call counts as before its prompt is counted. */
function amountOf({ dimension }: UsageLimit, { bytes }: Use): number {
  return windows[dimension].unit === "bytes" ? bytes : 1;
}

/** Counts what is not counted yet (`kept` is). */
function taken(parts: Part[], kept: readonly Part[] = []): Part[] {
  for (const part of parts) if (!kept.includes(part)) part.slot = part.share.take(part.amount);
  return parts;
}

/** Of a limit on tokens it says when the whole prompt may come, also where only its first token was asked for. */
function refusalOf(part: Part, { promptTokens }: Use): LineshaftError {
  return overLimit(countsTokens(part) ? { ...part, amount: Math.min(promptTokens, part.limit.amount) } : part);
}

/** Wakes a call that waits. A ring that comes while it does not wait is not lost. */
class Bell {
  readonly #signal: AbortSignal;
  #rung = Promise.withResolvers<void>();
  readonly ring = () => this.#rung.resolve();

  constructor(signal: AbortSignal) {
    this.#signal = signal;
  }

  /** Resolves when it was rung or the signal is aborted, at the latest after `mostMs`. */
  async rung(mostMs: number): Promise<void> {
    let timer: NodeJS.Timeout | undefined;
    const timeout = new Promise<void>((resolve) => (timer = setTimeout(resolve, Math.max(1, mostMs))));
    this.#signal.addEventListener("abort", this.ring);
    await Promise.race([this.#rung.promise, timeout]);
    this.#signal.removeEventListener("abort", this.ring);
    clearTimeout(timer);
    this.#rung = Promise.withResolvers<void>();
  }
}
