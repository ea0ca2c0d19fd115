// Whether a call may begin under the limits on use. Calls are admitted in memory against the process's shares (share.ts), on all limits in
// one step or on none; a statement is made only where a share is used up.
//
// Requests and tokens are refused once their limit is used up, because what is used leaves the window within a minute or a day and
// clients know when to come back. Calls and bytes under way end within seconds, so a call waits for them, in the order of arrival and up to
// ten seconds. Tokens are counted by the prompt before the call and by the output as it comes; an answer that has begun is never cut,
// and what it used beyond the limit is missing for the calls after it.
import { setTimeout as sleep } from "node:timers/promises";
import type { Database, Session } from "../../store/index.ts";
import { limits } from "../limits.ts";
import { LimitTable } from "./definitions.ts";
import { limitHeaders } from "./headers.ts";
import { overLimit, tooMuchAtOnce } from "./refusals.ts";
import type { Part } from "./share.ts";
import { Shares } from "./shares.ts";
import { windows, type UsageLimit } from "./types.ts";

/** What is known of a call when it may begin. */
export interface Use {
  organisation: string;
  project: string;
  key: string;
  model: string;
  /** Prompt tokens, counted or estimated. `Counted.end` corrects them. */
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
  readonly #now: () => number;
  /** Calls that wait for others to end, by the number of their limit, in the order of arrival. */
  readonly #lines = new Map<number, (() => void)[]>();
  /** Limits that have refused just now: until when calls are refused without a statement. */
  readonly #refusing = new Map<number, number>();
  #timer: NodeJS.Timeout | undefined;
  #unlisten: (() => void) | undefined;

  private constructor({ db, session, now = () => performance.now() }: LimiterOptions) {
    this.#table = new LimitTable(db);
    const removed = (number: number) => this.#table.drop(number);
    this.#shares = new Shares({ db, process: session.processId, now, removed });
    this.#now = now;
  }

  /** Reads the limits and begins to hear of changes. Rejects where the database does not answer. */
  static async open(options: LimiterOptions): Promise<Limiter> {
    const limiter = new Limiter(options);
    const readAgain = () => void limiter.#table.readAll().catch(() => {});
    limiter.#unlisten = await options.session.listen("lineshaft_usage", (told) => limiter.#heard(told), {
      back: readAgain,
    });
    await limiter.#table.readAll();
    limiter.#timer = setInterval(() => limiter.#tick(), limits.usageTickMs).unref();
    return limiter;
  }

  /**
   * Counts a call against every limit of its scopes, or throws LineshaftError `rate_limit_exceeded` (429) or `call_over_limit` (429). Rejects with
   * the signal's reason where the call is stopped while it waits, and with StoreUnavailableError where a share is used up while the
   * database is away.
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
    for (const part of parts) if (part.amount > part.limit.amount) throw tooMuchAtOnce(part);
    if (parts.every((part) => this.#fits(part))) return this.#taken(parts);
    return this.#waited(parts, use.signal);
  }

  /**
   * What counts now against each of these limits, by its number, in the unit of its dimension. Other processes' part is up to five seconds
   * old. Rejects with StoreUnavailableError where the database is away.
   */
  usedOf(numbers: readonly number[]): Promise<Map<number, number>> {
    return this.#shares.usedOf(numbers);
  }

  async close(): Promise<void> {
    clearInterval(this.#timer);
    this.#unlisten?.();
    await this.#shares.close();
  }

  /** A share has room, and no call that came before waits for it. */
  #fits({ share, amount }: Part, ours?: () => void): boolean {
    const first = this.#lines.get(share.number)?.[0];
    return share.fits(amount) && (first === undefined || first === ours);
  }

  #taken(parts: Part[]): Counted {
    for (const part of parts) part.slot = part.share.take(part.amount);
    return new CountedCall(parts, this.#shares, (number) => this.#wake(number));
  }

  async #waited(found: Part[], signal: AbortSignal): Promise<Counted> {
    const place = new Place(this.#lines, signal);
    const until = this.#now() + limits.usageWaitMs;
    let recalls = 0;
    try {
      for (;;) {
        signal.throwIfAborted();
        // A limit may be removed meanwhile.
        const parts = found.filter(({ limit }) => this.#table.has(limit.number));
        for (const part of parts) part.share = this.#shares.of(part.limit);
        const short = parts.find((part) => !this.#fits(part, place.wake));
        if (!short) return this.#taken(parts);
        const waits = windows[short.limit.dimension].slotMs === undefined;
        if (waits && place.isIn(short.share.number) === undefined && !place.join(short.share.number))
          throw overLimit(short);
        // A call that waits behind others asks for nothing until it is the first of them.
        if (waits && !place.isFirst(short.share.number)) {
          if (this.#now() >= until) throw overLimit(short);
          await place.woken(until - this.#now());
          continue;
        }
        if (!waits && (this.#refusing.get(short.share.number) ?? 0) > this.#now()) throw overLimit(short);
        const refusal = await this.#shares.need(short.share, short.amount);
        if (!refusal) continue;
        if (refusal.unused > 0 && recalls < limits.usageRecallMs.length) {
          await sleep(limits.usageRecallMs[recalls++]!, undefined, { signal });
          continue;
        }
        if (!waits) this.#refusing.set(short.share.number, this.#now() + limits.usageRefusedMs);
        if (!waits || this.#now() >= until) throw overLimit(short);
        await place.woken(Math.min(limits.usageRefusedMs, until - this.#now()));
      }
    } catch (error) {
      throw signal.aborted ? signal.reason : error;
    } finally {
      for (const number of place.leave()) this.#wake(number);
    }
  }

  #wake(number: number): void {
    this.#lines.get(number)?.[0]?.();
  }

  #heard(told: string): void {
    const [what, number] = told.split(" ");
    if (what === "recall") this.#shares.recall(Number(number));
    else if (what === "limit") void this.#changed(Number(number)).catch(() => {});
  }

  /** A limit was set, changed or removed. Its share is told anew, so that a lower amount holds at once. */
  async #changed(number: number): Promise<void> {
    await this.#table.read(number);
    this.#shares.recall(number);
  }

  #tick(): void {
    this.#shares.tick();
    const now = this.#now();
    for (const [number, until] of this.#refusing) if (until <= now) this.#refusing.delete(number);
    // The next look asks again; shares of the dead only wait a little longer.
    this.#shares.reclaim().catch(() => {});
  }
}

function amountOf({ dimension }: UsageLimit, { promptTokens, bytes }: Use): number {
  switch (windows[dimension].unit) {
    case "tokens":
      return promptTokens;
    case "bytes":
      return bytes;
    default:
      return 1;
  }
}

/** A call's places in the lines that it waits in. */
class Place {
  readonly #lines: Map<number, (() => void)[]>;
  readonly #in = new Set<number>();
  readonly #signal: AbortSignal;
  #woken = Promise.withResolvers<void>();
  readonly wake = () => this.#woken.resolve();

  constructor(lines: Map<number, (() => void)[]>, signal: AbortSignal) {
    this.#lines = lines;
    this.#signal = signal;
  }

  isIn(number: number): true | undefined {
    return this.#in.has(number) || undefined;
  }

  isFirst(number: number): boolean {
    return this.#lines.get(number)?.[0] === this.wake;
  }

  /** False where too many wait already. */
  join(number: number): boolean {
    const line = this.#lines.get(number) ?? [];
    if (line.length >= limits.usageWaitingMost) return false;
    line.push(this.wake);
    this.#lines.set(number, line);
    this.#in.add(number);
    return true;
  }

  /** Resolves when a call before it has left or a call under way has ended, at the latest after `mostMs`. */
  async woken(mostMs: number): Promise<void> {
    let timer: NodeJS.Timeout | undefined;
    const timeout = new Promise<void>((resolve) => (timer = setTimeout(resolve, Math.max(1, mostMs))));
    this.#signal.addEventListener("abort", this.wake);
    await Promise.race([this.#woken.promise, timeout]);
    this.#signal.removeEventListener("abort", this.wake);
    clearTimeout(timer);
    this.#woken = Promise.withResolvers<void>();
  }

  /** Leaves every line; answers which. */
  leave(): number[] {
    for (const number of this.#in) {
      const line = this.#lines.get(number)!;
      line.splice(line.indexOf(this.wake), 1);
      if (line.length === 0) this.#lines.delete(number);
    }
    return [...this.#in];
  }
}

/** A call that is counted. */
export interface Counted {
  /** Output tokens that have come so far. */
  output(tokens: number): void;
  /** The call has ended: prompt and output tokens that all of its attempts used, 0 where it reached no engine. */
  end(tokens: number): void;
  /** The standing of the limits that are nearest, in the headers that OpenAI's and Anthropic's clients read. */
  headers(): Record<string, string>;
}

/** A call that counts against nothing. */
const uncounted: Counted = { output: () => {}, end: () => {}, headers: () => ({}) };

class CountedCall implements Counted {
  readonly #parts: Part[];
  readonly #shares: Shares;
  readonly #freed: (number: number) => void;
  #output = 0;
  #ended = false;

  constructor(parts: Part[], shares: Shares, freed: (number: number) => void) {
    this.#parts = parts;
    this.#shares = shares;
    this.#freed = freed;
  }

  output(tokens: number): void {
    if (this.#ended || tokens <= this.#output) return;
    this.#countTokens(tokens - this.#output);
    this.#output = tokens;
  }

  end(tokens: number): void {
    if (this.#ended) return;
    this.#ended = true;
    for (const { limit, amount, slot } of this.#parts) {
      const share = this.#shares.of(limit);
      const { unit, slotMs } = windows[limit.dimension];
      if (slotMs === undefined) {
        share.giveBack(amount, slot);
        this.#freed(limit.number);
      }
      if (unit !== "tokens") continue;
      const counted = amount + this.#output;
      if (tokens > counted) share.charge(tokens - counted);
      else share.giveBack(counted - tokens, slot);
    }
  }

  headers(): Record<string, string> {
    for (const part of this.#parts) part.share = this.#shares.of(part.limit);
    return limitHeaders(this.#parts);
  }

  #countTokens(tokens: number): void {
    for (const { limit } of this.#parts)
      if (windows[limit.dimension].unit === "tokens") this.#shares.of(limit).charge(tokens);
  }
}
