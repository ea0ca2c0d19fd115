// Processes for tests of leases: an epoch with its spool, whose records are posted as a poster would.
import { newId, type Database } from "../../store/index.ts";
import { asOwner } from "../../store/testing.ts";
import { Leases, type LeaseClock } from "./leases.ts";
import type { GivenBack } from "../book/types.ts";
import type { LeaseAnswer } from "./types.ts";

/** A settled attempt that a test posts; what is not said is the same for all. */
export interface Settled {
  attempt: string;
  call?: string;
  amountNano: bigint;
  leases?: readonly Omit<GivenBack, "amountNano">[];
  countedAt?: Date;
  organisation?: string;
  project?: string;
  key?: string;
  agent?: string;
  run?: string;
  model?: string;
  heldNano?: bigint;
  suspenseNano?: bigint;
}

/** An epoch with one spool. */
export interface Process {
  leases: Leases;
  epoch: number;
  spool: string;
  /** Number of the last record that was posted. */
  readonly position: number;
  /** Posts a batch of settled attempts. */
  post(settled: readonly Settled[]): Promise<void>;
}

/** Makes the organisation that tests work in. */
export async function makeOrganisation(db: Database, id = "org_1"): Promise<void> {
  await db.query("insert into organisations (id, name, currency) values ($1, $1, 'USD') on conflict do nothing", [id]);
}

/** Begins a process on a database. */
export async function beginProcess(
  db: Database,
  { clock, machine = "m1" }: { clock?: LeaseClock; machine?: string } = {},
): Promise<Process> {
  const spool = newId("req");
  const leases = await Leases.begin({ db, process: 1, machine, spool, ...(clock && { clock }) });
  let position = 0;
  return {
    leases,
    epoch: leases.epoch.id,
    spool,
    get position() {
      return position;
    },
    async post(settled) {
      const outcome = await postBatch(db, spool, position, settled);
      if (outcome !== "posted") throw new Error(`The batch was not posted: ${outcome}.`);
      position += settled.length;
    },
  };
}

/** Posts a batch after `position`, one record for each attempt, and answers the outcome. The chain of a position is its number. */
export async function postBatch(
  db: Database,
  spool: string,
  position: number,
  settled: readonly Settled[],
  chain: (position: number) => number = (at) => at,
): Promise<string> {
  const last = position + settled.length;
  const { rows } = await db.query<{ outcome: string }>("select * from post_batch($1, $2, $3, $4, $5, now(), $6)", [
    spool,
    position + 1,
    last,
    chain(position),
    chain(last),
    JSON.stringify(settled.map(itemOf)),
  ]);
  return rows[0]!.outcome;
}

const itemOf = (one: Settled) => ({
  attempt: one.attempt,
  call: one.call ?? `call_of_${one.attempt}`,
  organisation: one.organisation ?? "org_1",
  project: one.project ?? "prj_1",
  key: one.key,
  agent: one.agent,
  run: one.run,
  model: one.model ?? "small",
  rate_card: "org_1/small/1",
  currency: "USD",
  held: (one.heldNano ?? one.amountNano).toString(),
  counted_at: (one.countedAt ?? new Date()).toISOString(),
  amount: one.amountNano.toString(),
  prompt: 1,
  cached: 0,
  output: 1,
  source: "engine",
  suspense: (one.suspenseNano ?? 0n).toString(),
  leases: (one.leases ?? []).map(({ budget, period }) => [budget, period]),
});

/** Gives the database's clock of money another time, or its own again. */
export async function setLedgerClock(db: Database, at: Date | undefined): Promise<void> {
  const owner = asOwner(db);
  const time = at ? `'${at.toISOString()}'::timestamptz` : "date_trunc('milliseconds', clock_timestamp())";
  await owner.query(
    `create or replace function ledger_now() returns timestamptz language sql volatile as $$ select ${time} $$`,
  );
  await owner.close();
}

/** Takes the same amount on several budgets, `want` of each; answers a row for each. */
export function takeFrom(
  process: Process,
  budgets: readonly string[],
  amountNano: bigint,
  {
    wantNano = amountNano,
    leastNano = amountNano,
    stuckYoungestMs,
  }: { wantNano?: bigint; leastNano?: bigint; stuckYoungestMs?: number } = {},
): Promise<LeaseAnswer[]> {
  const parts = budgets.map((budget) => ({ budget, leastNano, needNano: amountNano, wantNano, stuckYoungestMs }));
  return process.leases.take([{ ask: "ask", parts }]);
}

/** Numbers from 0 to 1 that follow from a seed (mulberry32). */
export function randomFrom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
