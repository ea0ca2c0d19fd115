// Who works on a run: this process, as an advisory lock of one database session. When the process ends, however it ends, the
// session ends and the lock is free; others see it at once, with no clock and no heartbeat. When only the session breaks, the
// process takes a new lock, and the fence of every run (runs.fence) keeps what it had begun from being written twice.
import { randomInt } from "node:crypto";
import { HeldLock } from "../store/index.ts";

/** Namespace of these locks (`classid` in pg_locks). */
export const ownerNamespace = 1_279_870_290;

/** True in SQL when the owner in a column of `runs` is gone. */
export const ownerGone = `not exists (select from pg_locks where locktype = 'advisory' and classid = ${ownerNamespace}
  and objid = runs.owner::oid and objsubid = 2 and granted
  and database = (select oid from pg_database where datname = current_database()))`;

export class Owner {
  /** 31 random bits. */
  readonly id = randomInt(1, 2 ** 31 - 1);
  readonly #lock: HeldLock;

  constructor(databaseUrl: string) {
    this.#lock = new HeldLock(databaseUrl, "lineshaft agents", [ownerNamespace, this.id]);
  }

  open(): Promise<void> {
    return this.#lock.open();
  }

  close(): Promise<void> {
    return this.#lock.close();
  }
}
