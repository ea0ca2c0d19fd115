// A reign: one tenure of this process with all that belongs to it: its epoch and leases, its spool, the poster of the spool, and the watch
// over changes and recalls. They begin together and end together. A beginning that fails half way is taken back: a live epoch that hears
// of nothing would leave every changed budget pending, and no bill would close.
import { setTimeout as sleep } from "node:timers/promises";
import { isStoreAway, newSpoolId, SpoolWriter, type Database, type Session } from "../../store/index.ts";
import { closeEpoch, fenceEpoch, Leases } from "../leases/leases.ts";
import { watchLeases } from "../leases/watch.ts";
import { closeMostMs, doubtfulAgainMs } from "../limits.ts";
import type { PostingAlarm } from "../posting/failures.ts";
import { Poster } from "../posting/poster.ts";
import type { RecordRows } from "../types.ts";
import { Tenure } from "./tenure.ts";

export interface ReignOptions {
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
  clock: () => number;
}

export class Reign {
  readonly tenure: Tenure;
  readonly spool: SpoolWriter;
  readonly poster: Poster;
  readonly #leases: Leases;
  #stopWatching: (() => void) | undefined;
  #ending: Promise<void> | undefined;

  private constructor(options: ReignOptions, leases: Leases, spool: SpoolWriter, onFenced: (reign: Reign) => void) {
    const { db, rows, clock, onAlarm } = options;
    const poster = new Poster({
      db,
      spool,
      rows,
      onAlarm,
      openSinceMs: () => this.tenure.openSinceMs(),
      onStopped: () => void this.#abandon(db),
    });
    this.#leases = leases;
    this.spool = spool;
    this.poster = poster;
    this.tenure = new Tenure({
      leases,
      spool,
      clock,
      exclusively: (work) => poster.exclusively(work),
      // Patient: while it waits, budgets that were set since serve nothing.
      posted: () => poster.drained(),
      numbers: () => poster.numbers(),
      onFenced: () => onFenced(this),
    });
  }

  /**
   * Begins an epoch with its spool. `onFenced`: the process was taken for dead. Throws StoreUnavailableError, `storage_full` and the errors
   * of the spool's system calls; what was begun by then is ended.
   */
  static async begin(options: ReignOptions, onFenced: (reign: Reign) => void): Promise<Reign> {
    const { db, session, spools, machine, clock, onSpoolFailure } = options;
    const id = newSpoolId();
    let reign: Reign | undefined;
    try {
      const leases = await Leases.begin({ db, process: session.processId, machine, spool: id, clock });
      const spool = SpoolWriter.open({ root: spools, id, epoch: String(leases.epoch.id), onFailure: onSpoolFailure });
      reign = new Reign(options, leases, spool, onFenced);
      await reign.#watch(options);
      return reign;
    } catch (error) {
      if (reign) await reign.#close();
      void closeBegun(db, id);
      throw error;
    }
  }

  /** Records that are written and, as far as this process knows, not in the database. */
  unposted(): number {
    const newest = this.spool.position();
    const posted = this.poster.numbers();
    return this.spool.trail.reduce((sum, { spool, upTo }) => {
      const last = spool === newest.spool ? newest.number : upTo;
      return sum + Math.max(0, last - (posted[spool] ?? 0));
    }, 0);
  }

  /**
   * Posts what is written and ends. `closeEpoch`: gives everything back too, and closes the epoch where no attempt is open. What the
   * database does not take in time, the next start of a process on this machine posts. Called again it answers the same end.
   */
  end(how: { closeEpoch: boolean }): Promise<void> {
    return (this.#ending ??= this.#end(how));
  }

  /**
   * Nothing of the spool is posted any more. Its lease is booked to suspense by name and the process goes on under another epoch: else new
   * budgets would wait for ever for what is not posted.
   */
  async #abandon(db: Database): Promise<void> {
    for (;;) {
      try {
        await fenceEpoch(db, this.#leases.epoch.id);
        return this.tenure.fenced();
      } catch (error) {
        if (!isStoreAway(error)) return;
        await sleep(doubtfulAgainMs, undefined, { ref: false });
      }
    }
  }

  async #watch({ db, session }: ReignOptions): Promise<void> {
    const { tenure } = this;
    this.#stopWatching = await watchLeases({
      db,
      session,
      epoch: this.#leases.epoch,
      onChanges: (changes) => tenure.changed(changes),
      onRecalled: (shares) => tenure.recalled(shares),
      onReturned: () => tenure.returned(),
      onFenced: () => tenure.fenced(),
    });
  }

  async #end({ closeEpoch: closes }: { closeEpoch: boolean }): Promise<void> {
    const { tenure, poster } = this;
    this.#stopWatching?.();
    const late = Promise.withResolvers<never>();
    late.promise.catch(() => {});
    const timer = setTimeout(() => late.reject(new Error("The database has not taken it in time.")), closeMostMs);
    const inTime = <Result>(work: Promise<Result>) => Promise.race([work, late.promise]);
    try {
      if (closes) await inTime(tenure.giveAllBack());
      await inTime(poster.drained());
      // An epoch with an attempt that could not be settled stays, so that the next start settles it by the spool.
      if (closes && !tenure.hasOpen) await inTime(this.#leases.close(poster.numbers()));
    } catch {
      // The next start of a process on this machine posts what is left, and closes the epoch.
    }
    clearTimeout(timer);
    await this.#close();
  }

  async #close(): Promise<void> {
    this.#leases.stop();
    await this.poster.close();
    this.spool.close();
  }
}

/**
 * Closes the epoch of a spool in which nothing was written, also where it is not known whether the epoch began. It is tried until the
 * database has answered. The spool's folder is removed by the next round of the replay.
 */
async function closeBegun(db: Database, spool: string): Promise<void> {
  for (;;) {
    try {
      const { rows } = await db.query<{ epoch: bigint }>("select epoch from spools where id = $1", [spool]);
      if (rows[0]) await closeEpoch(db, Number(rows[0].epoch), { [spool]: 0 });
      return;
    } catch (error) {
      // Of an epoch that was fenced meanwhile nothing is left to close.
      if (!isStoreAway(error)) return;
      await sleep(doubtfulAgainMs, undefined, { ref: false });
    }
  }
}
