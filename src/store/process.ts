// The identity of a process: one number, made once at its start, that stands on the holds and the runs that the process works on and
// in the load messages that it sends. An advisory lock of that number says that the process lives: Postgres frees the lock when the
// session ends, however the process ended, so that neither a clock nor a heartbeat is needed.
//
// A free lock is suspicion, not proof: a restart of Postgres frees the locks of processes that live. The ledger waits for two rounds
// (ledger/sweep.ts), and runs are fenced (runs.fence).
import { randomInt } from "node:crypto";

/** Namespace of the locks of processes: the first half of the key, `classid` in pg_locks. */
export const processNamespace = 4070_0002;

/** 31 random bits, so that the number is positive in a Postgres integer. */
export function newProcessId(): number {
  return randomInt(1, 2 ** 31 - 1);
}

/** Where processes of the version before hold the locks that stand on runs: beside one of those no process of this version takes a run. */
const earlierRunNamespace = 1_279_870_290;

/** SQL that is true when no session holds the lock of the process whose id stands in `column`. */
export function processGone(column: string): string {
  return `not exists (select from pg_locks where locktype = 'advisory' and classid in (${processNamespace}, ${earlierRunNamespace})
  and objid = ${column}::int::oid and objsubid = 2 and granted
  and database = (select oid from pg_database where datname = current_database()))`;
}
