// Admission: the ledger's verbs for attempts (DESIGN section 4). It leads one tenure at a time (tenure.ts) and begins another one when the
// database has fenced the first, because this process was taken for dead. Calls go on while the database is away, within what is leased,
// until the offline term is over.
import { LineshaftError } from "../../errors/index.ts";
import { newSpoolId, SpoolWriter, StoreUnavailableError, type Database, type Session } from "../../store/index.ts";
import { Leases } from "../leases/leases.ts";
import { watchLeases } from "../leases/watch.ts";
import { closeMostMs, offlineMs, tenureTickMs, wholeLimitTokens } from "../limits.ts";
import type { PostingAlarm } from "../posting/failures.ts";
import { Poster } from "../posting/poster.ts";
import type {
  AttemptLedger,
  AttemptSettlement,
  Extended,
  ProgressiveHold,
  ProgressiveHoldResult,
  RecordRows,
  Settlement,
  SpoolPosition,
} from "../types.ts";
import { LeaseNeededError, Tenure } from "./tenure.ts";

interface AdmissionOptions {
  db: Database;
  session: Session;
  /** The folder of this home's spools. */
  spools: string;
  /** Names the machine. */
  machine: string;
  rows: RecordRows;
  /** The spool has failed and goes on in another file. */
  onSpoolFailure: (error: Error) => void;
  /** Records cannot be posted, or were put aside. */
  onAlarm: (alarm: PostingAlarm) => void;
  /** This process was taken for dead and works under a new epoch now. */
  onFenced: () => void;
  clock?: () => number;
}

/** A tenure with all that belongs to it. */
interface Reign {
  tenure: Tenure;
  leases: Leases;
  spool: SpoolWriter;
  poster: Poster;
  stopWatching: () => void;
}

export class Admission implements AttemptLedger {
  readonly #options: Required<AdmissionOptions>;
  readonly #reigns = new Map<string, Reign>();
  #present: Reign;
  #beginning: Promise<Reign> | undefined;
  readonly #retiring = new Set<Promise<void>>();
  readonly #ticks: NodeJS.Timeout;
  #silentSinceMs: number | undefined;
  #closed = false;

  private constructor(options: Required<AdmissionOptions>, first: Reign) {
    this.#options = options;
    this.#present = first;
    this.#ticks = setInterval(() => this.#present.tenure.tick(), tenureTickMs).unref();
    options.db.onSilence((silent) => (this.#silentSinceMs = silent ? options.clock() : undefined));
  }

  /** Begins the first tenure. Throws StoreUnavailableError, and the spool's error where its folder cannot be written. */
  static async open(options: AdmissionOptions): Promise<Admission> {
    const all = { clock: () => performance.now(), ...options };
    const box: { admission?: Admission } = {};
    const first = await begin(all, (reign) => box.admission?.fenced(reign));
    return (box.admission = new Admission(all, first));
  }

  /**
   * A hold of the whole limit waits for a useful one while others hold the money: it is lowered step by step only where the money for
   * more is gone.
   */
  async hold(request: ProgressiveHold): Promise<ProgressiveHoldResult> {
    const { whole, outputTokens, leastOutputTokens } = request;
    if (whole)
      for (const tokens of wholeLimitTokens) {
        if (tokens <= leastOutputTokens) break;
        const result = await this.#hold({ ...request, leastOutputTokens: Math.min(tokens, outputTokens) });
        if (result.admitted || result.why !== "spent") return result;
      }
    return this.#hold(request);
  }

  async #hold(request: ProgressiveHold): Promise<ProgressiveHoldResult> {
    for (;;) {
      this.#assertOnline();
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

  sent(attempt: string, engine: string): void {
    this.#of(attempt).tenure.sent(attempt, engine);
  }

  async extend(attempt: string, outputTokens: number, seen: number, stands: boolean): Promise<Extended> {
    return this.#of(attempt).tenure.extend(attempt, outputTokens, seen, stands);
  }

  settle(request: AttemptSettlement): Settlement {
    const { tenure } = this.#of(request.attempt);
    const settlement = tenure.settle(request);
    this.#reigns.delete(request.attempt);
    return settlement;
  }

  recordCall(call: string, row: unknown): void {
    this.#present.tenure.recordCall(call, row);
  }

  position(): SpoolPosition {
    return this.#present.spool.position();
  }

  posted(position: SpoolPosition): Promise<void> {
    return this.#present.poster.posted(position);
  }

  /** What this process has of a budget, for status and tests. */
  standing(budget: string) {
    return this.#present.tenure.standing(budget);
  }

  /** Records that are written here and, as far as this process knows, not in the database. */
  unposted(): number {
    const reigns = new Set([this.#present, ...this.#reigns.values()]);
    return [...reigns].reduce((sum, { spool, poster }) => sum + unpostedOf(spool, poster.numbers()), 0);
  }

  /** Posts what is written, gives everything back and ends the tenure. What the database does not take in time, the next start posts. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    clearInterval(this.#ticks);
    await Promise.all([retire(this.#present, { closeEpoch: true }), ...this.#retiring]);
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

  #assertOnline(): void {
    if (this.#silentSinceMs === undefined || this.#options.clock() - this.#silentSinceMs < offlineMs) return;
    throw new StoreUnavailableError("The database has been away for longer than calls go on without it.", {
      sent: false,
    });
  }

  /** The present tenure; a new one where it was fenced. */
  async #reign(): Promise<Reign> {
    if (!this.#present.tenure.isFenced) return this.#present;
    this.#beginning ??= begin(this.#options, (reign) => this.fenced(reign)).finally(
      () => (this.#beginning = undefined),
    );
    const fenced = this.#present;
    const next = await this.#beginning;
    if (this.#present === fenced) {
      this.#present = next;
      const retiring = fenced.tenure.atRest().then(() => retire(fenced, { closeEpoch: false }));
      this.#retiring.add(retiring);
      void retiring.finally(() => this.#retiring.delete(retiring));
    }
    return this.#present;
  }
}

function unpostedOf(spool: SpoolWriter, posted: Record<string, number>): number {
  const newest = spool.position();
  return spool.trail.reduce((sum, { spool: id, upTo }) => {
    const last = id === newest.spool ? newest.number : upTo;
    return sum + Math.max(0, last - (posted[id] ?? 0));
  }, 0);
}

async function begin(options: Required<AdmissionOptions>, onFenced: (reign: Reign) => void): Promise<Reign> {
  const { db, session, spools, machine, rows, clock, onSpoolFailure, onAlarm } = options;
  const id = newSpoolId();
  const leases = await Leases.begin({ db, process: session.processId, machine, spool: id, clock });
  const spool = SpoolWriter.open({ root: spools, id, epoch: String(leases.epoch.id), onFailure: onSpoolFailure });
  const poster = new Poster({ db, spool, rows, onAlarm, openSinceMs: () => tenure.openSinceMs() });
  const tenure = new Tenure({
    leases,
    spool,
    clock,
    exclusively: (work) => poster.exclusively(work),
    posted: (position) => poster.posted(position),
    numbers: () => poster.numbers(),
    onFenced: () => onFenced(reign),
  });
  const stopWatching = await watchLeases({
    db,
    session,
    epoch: leases.epoch,
    onChanges: (changes) => tenure.changed(changes),
    onRecalled: (shares) => tenure.recalled(shares),
    onReturned: () => tenure.returned(),
    onFenced: () => tenure.fenced(),
  });
  const reign: Reign = { tenure, leases, spool, poster, stopWatching };
  return reign;
}

async function retire({ tenure, leases, spool, poster, stopWatching }: Reign, { closeEpoch }: { closeEpoch: boolean }) {
  stopWatching();
  const late = AbortSignal.timeout(closeMostMs);
  const inTime = <Result>(work: Promise<Result>) =>
    Promise.race([work, new Promise<never>((_, reject) => late.addEventListener("abort", () => reject(late.reason)))]);
  try {
    if (closeEpoch) await inTime(tenure.giveAllBack());
    await inTime(poster.drained());
    // An epoch with an attempt that could not be settled stays, so that the next start settles it by the spool.
    if (closeEpoch && !tenure.hasOpen) await inTime(leases.close(poster.numbers()));
  } catch {
    // The next start of a process on this machine posts what is left, and closes the epoch.
  }
  leases.stop();
  await poster.close();
  await spool.close();
}
