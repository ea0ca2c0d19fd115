// Admission: the ledger's verbs for attempts (DESIGN section 4). It leads one tenure at a time (tenure.ts) and begins another one when the
// database has fenced the first, because this process was taken for dead. Calls go on while the database is away, within what is leased,
// until the offline term is over.
import { LineshaftError } from "../../errors/index.ts";
import { StoreUnavailableError } from "../../store/index.ts";
import { offlineMs, tenureTickMs, wholeLimitTokens } from "../limits.ts";
import type {
  AttemptLedger,
  AttemptSettlement,
  Extended,
  HoldRequest,
  HoldResult,
  Settlement,
  SpoolPosition,
} from "../types.ts";
import { Reign, type ReignOptions } from "./reign.ts";
import { LeaseNeededError } from "./tenure.ts";

interface AdmissionOptions extends Omit<ReignOptions, "clock"> {
  /** This process was taken for dead and works under a new epoch now. */
  onFenced: () => void;
  /** Milliseconds of a clock that never goes back; performance.now() where absent. */
  clock?: () => number;
  /** Without an answer of the database for so long no new call is taken. */
  offlineMs?: number;
}

export class Admission implements AttemptLedger {
  readonly #options: Required<AdmissionOptions>;
  readonly #reigns = new Map<string, Reign>();
  #present: Reign;
  #beginning: Promise<void> | undefined;
  /** Reigns that were fenced, whose attempts are not all settled or not all posted. */
  readonly #retiring = new Set<Reign>();
  readonly #ticks: NodeJS.Timeout;
  /** When the database has answered anything the last time. */
  #answeredMs: number;
  #asking: Promise<void> | undefined;
  #closed = false;

  private constructor(options: Required<AdmissionOptions>, first: Reign) {
    this.#options = options;
    this.#present = first;
    this.#ticks = setInterval(() => this.#present.tenure.tick(), tenureTickMs).unref();
    this.#answeredMs = options.clock();
    options.db.onAnswer(() => (this.#answeredMs = options.clock()));
  }

  /** Begins the first tenure. Throws StoreUnavailableError, and the spool's error where its folder cannot be written. */
  static async open(options: AdmissionOptions): Promise<Admission> {
    const all = { clock: () => performance.now(), offlineMs, ...options };
    const box: { admission?: Admission } = {};
    const first = await Reign.begin(all, (reign) => box.admission?.fenced(reign));
    return (box.admission = new Admission(all, first));
  }

  /**
   * A hold of the whole limit waits for a useful one while others hold the money: it is lowered step by step only where the money for
   * more is gone.
   */
  async hold(request: HoldRequest): Promise<HoldResult> {
    const { whole, outputTokens, leastOutputTokens } = request;
    if (whole)
      for (const tokens of wholeLimitTokens) {
        if (tokens <= leastOutputTokens) break;
        const result = await this.#hold({ ...request, leastOutputTokens: Math.min(tokens, outputTokens) });
        if (result.admitted || result.why !== "spent") return result;
      }
    return this.#hold(request);
  }

  holdNow(request: HoldRequest): HoldResult | undefined {
    // Whether the database is away for too long, `hold` finds out by asking it.
    if (this.#isLongSilent) return undefined;
    const reign = this.#present;
    if (reign.tenure.isFenced) return undefined;
    // A whole limit that is not to be had at once is lowered step by step, by `hold`.
    const { whole, outputTokens } = request;
    const result = reign.tenure.holdNow(whole ? { ...request, leastOutputTokens: outputTokens } : request);
    if (result?.admitted) this.#reigns.set(request.attempt, reign);
    return result;
  }

  async #hold(request: HoldRequest): Promise<HoldResult> {
    for (;;) {
      await this.#assertOnline();
      const reign = await this.#reign();
      try {
        const result = await reign.tenure.hold(request);
        if (result.admitted) this.#reigns.set(request.attempt, reign);
        return result;
      } catch (error) {
        if (!(error instanceof LeaseNeededError)) throw error;
        // A fenced tenure hands its waiting calls on to the next one.
        if (reign.tenure.isFenced && !this.#closed) continue;
        throw new StoreUnavailableError("The budget's money must be leased from the database, which does not answer.", {
          sent: false,
          cause: error,
        });
      }
    }
  }

  sent(attempt: string, engine: string): Promise<void> {
    return this.#of(attempt).tenure.sent(attempt, engine);
  }

  async extend(attempt: string, outputTokens: number, seen: number, stands: boolean): Promise<Extended> {
    return this.#of(attempt).tenure.extend(attempt, outputTokens, seen, stands);
  }

  recount(attempt: string, promptTokens: number): number {
    return this.#of(attempt).tenure.recount(attempt, promptTokens);
  }

  settle(request: AttemptSettlement): Settlement {
    const { tenure } = this.#of(request.attempt);
    const settlement = tenure.settle(request);
    this.#reigns.delete(request.attempt);
    return settlement;
  }

  recordCall(call: string, row: unknown): Promise<void> {
    return this.#present.tenure.recordCall(call, row);
  }

  position(): SpoolPosition {
    return this.#present.spool.position();
  }

  posted(position: SpoolPosition, signal?: AbortSignal): Promise<void> {
    return this.#present.poster.posted(position, signal);
  }

  /** What this process has of a budget, for status and tests. */
  standing(budget: string) {
    return this.#present.tenure.standing(budget);
  }

  /** Records that are written here and, as far as this process knows, not in the database. */
  unposted(): number {
    return [this.#present, ...this.#retiring].reduce((sum, reign) => sum + reign.unposted(), 0);
  }

  /** Posts what is written, gives everything back and ends the tenure. What the database does not take in time, the next start posts. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    clearInterval(this.#ticks);
    await this.#beginning?.catch(() => {});
    await Promise.all([
      this.#present.end({ closeEpoch: true }),
      ...[...this.#retiring].map((reign) => reign.end({ closeEpoch: false })),
    ]);
  }

  /** The process was taken for dead: it goes on under a new epoch. Calls under way stay with the old one until they end. */
  fenced(reign: Reign): void {
    if (reign !== this.#present || this.#closed) return;
    this.#options.onFenced();
    void this.#reign().catch(() => {});
  }

  #of(attempt: string): Reign {
    const reign = this.#reigns.get(attempt);
    if (reign) return reign;
    throw new LineshaftError({
      code: "hold_missing",
      message: `Attempt ${attempt} has no hold, so it cannot be settled.`,
    });
  }

  get #isLongSilent(): boolean {
    const { clock, offlineMs: mostMs } = this.#options;
    return clock() - this.#answeredMs >= mostMs;
  }

  /** A process that was frozen has heard nothing meanwhile, so the database is asked before a call is refused. */
  async #assertOnline(): Promise<void> {
    if (!this.#isLongSilent) return;
    this.#asking ??= this.#options.db
      .query("select 1")
      .then(() => {})
      .finally(() => (this.#asking = undefined));
    await this.#asking.catch((cause: unknown) => {
      throw new StoreUnavailableError("The database has been away for longer than calls go on without it.", {
        sent: false,
        cause,
      });
    });
  }

  /** The present tenure; a new one where it was fenced. */
  async #reign(): Promise<Reign> {
    if (!this.#present.tenure.isFenced) return this.#present;
    this.#beginning ??= this.#succeed(this.#present).finally(() => (this.#beginning = undefined));
    await this.#beginning;
    return this.#present;
  }

  /** Begins the reign that follows a fenced one, which ends when its attempts are settled. */
  async #succeed(fenced: Reign): Promise<void> {
    const next = await Reign.begin(this.#options, (reign) => this.fenced(reign));
    this.#present = next;
    this.#retiring.add(fenced);
    void fenced.tenure
      .atRest()
      .then(() => fenced.end({ closeEpoch: false }))
      .finally(() => this.#retiring.delete(fenced));
  }
}
