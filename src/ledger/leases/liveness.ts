// Epochs whose processes seem to be dead. A process lives while its session holds its advisory lock (store/process.ts). The lock of a
// living process is free for a moment after the database restarted, so an epoch is suspected only when its lock was free in two rounds, one
// after the other. Suspicion is no proof: the process may be frozen and come back. A suspected epoch is therefore fenced, so that its money
// goes to suspense for ever (DESIGN section 4, "Death is suspicion").
//
// On the machine where the process ran, its spool can prove the death: the replay posts what is in it and closes the epoch, and then
// nothing is lost. The replay is asked first.
import { processNamespace, type Database } from "../../store/index.ts";
import { fenceEpoch } from "./leases.ts";
import type { LostLease } from "./types.ts";

interface LivenessOptions {
  db: Database;
  /** This process, whose epochs are left alone. */
  process: number;
  machine: string;
  /** Whether the replay on this machine has proven the epoch's process dead and ends the epoch itself. */
  isReplayed(epoch: number): Promise<boolean>;
  /** Told of the leases that a fenced epoch lost, for an alarm. */
  onLost(epoch: number, items: LostLease[]): void;
}

export class Liveness {
  readonly #options: LivenessOptions;
  /** Epochs whose lock was free in the round before. */
  #free = new Set<number>();

  constructor(options: LivenessOptions) {
    this.#options = options;
  }

  /** One round: marks this process as seen, and fences the epochs that are suspected for the second time. Answers those. */
  async round(): Promise<number[]> {
    const { db, process, machine, isReplayed, onLost } = this.#options;
    await db.query("update epochs set seen_at = now() where process = $1 and state = 'live'", [process]);
    const { rows } = await db.query<{ id: bigint; machine: string; free: boolean }>(
      `select id, machine, pg_try_advisory_xact_lock($2, process::int) as free from epochs where state = 'live' and process <> $1 order by id`,
      [process, processNamespace],
    );
    const free = rows.filter((row) => row.free);
    const suspected = free.filter(({ id }) => this.#free.has(Number(id)));
    this.#free = new Set(free.map(({ id }) => Number(id)));
    const fenced: number[] = [];
    for (const { id, machine: of } of suspected) {
      const epoch = Number(id);
      if (of === machine && (await isReplayed(epoch))) continue;
      const items = await fenceEpoch(db, epoch);
      fenced.push(epoch);
      if (items.length > 0) onLost(epoch, items);
    }
    return fenced;
  }
}
