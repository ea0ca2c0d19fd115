// The proof: the ledger agrees with itself and with the records of attempts, to the nano, in one snapshot of the database, or it says
// where it does not.
//
//   bill (usage_days) = settlements = records of attempts = entries of journals = balances of accounts = what budgets have spent;
//   what is leased and what is in suspense stands there by name.
//
// A whole proof reads everything. An incremental one reads what was posted since the proof before: batches that were proven are
// remembered with a checksum (proven_batches), which only the whole proof compares.
import type { PoolClient } from "pg";
import { migratedAt, storeLimits, type Database, type Queryable } from "../../store/index.ts";
import { proofLimits } from "../limits.ts";
import { checksums } from "./batchChecks.ts";
import type { ProofKind } from "./check.ts";
import { attemptRangeSql, comparedSql, statementsOf } from "./checks.ts";
import { compareRecords, type AttemptRange, type RecordProof } from "./records.ts";
import type { Compared, Discrepancy, ProofReport, ProofRule } from "./report.ts";

interface DiscrepancyRow {
  [column: string]: unknown;
  rule: ProofRule;
  id: string;
  organisation: string | null;
  expected: bigint;
  found: bigint;
}

interface Proven {
  [column: string]: unknown;
  batch: string;
  settlements: bigint;
  checksum: bigint;
}

/** What was found in the snapshot, and the batches that may be remembered. */
interface Snapshot {
  beganAt: Date;
  compared: Compared;
  discrepancies: Discrepancy[];
  proven: Proven[];
}

/**
 * Runs a proof and keeps its report. `records`: the room that owns the records of attempts; without it they are not compared. Takes
 * seconds for a million attempts, while the server answers other statements. Throws StoreUnavailableError.
 */
export async function proveLedger(
  db: Database,
  kind: ProofKind,
  records: RecordProof | undefined,
): Promise<ProofReport> {
  const { beganAt, compared, discrepancies, proven } = await compareAll(db, kind, records);
  await remember(db, proven);
  const kept = discrepancies.slice(0, proofLimits.discrepanciesKept);
  const { rows } = await db.query<{ ended_at: Date }>(
    `insert into proofs (kind, began_at, ended_at, compared, discrepancy_count, discrepancies)
     values ($1, $2, clock_timestamp(), $3, $4, $5) returning ended_at`,
    [kind, beganAt, compared, discrepancies.length, JSON.stringify(kept.map(storedOf))],
  );
  const report = { kind, beganAt, endedAt: rows[0]!.ended_at, compared, discrepancies: kept };
  return { ...report, discrepancyCount: discrepancies.length };
}

/** Hashing a million rows needs room, and no sort; compiling the statements costs more than it saves. */
const settings = `set local work_mem = '${proofLimits.workMemoryMiB}MB'; set local enable_sort = off; set local jit = off`;

/** Runs work in a transaction that only reads, in a snapshot of its own or in one that another transaction has exported. */
function inSnapshot<Result>(
  db: Database,
  snapshot: string | undefined,
  work: (client: PoolClient) => Promise<Result>,
): Promise<Result> {
  const reading = async (client: PoolClient) => {
    await client.query("set transaction isolation level repeatable read, read only");
    if (snapshot !== undefined) await client.query(`set transaction snapshot ${client.escapeLiteral(snapshot)}`);
    await client.query(settings);
    return work(client);
  };
  return db.transaction(reading, { boundMs: storeLimits.longMs });
}

/**
 * Everything in one snapshot, so that work under way is no discrepancy. The records are compared on a connection of their own at the same
 * time, in the same snapshot.
 */
function compareAll(db: Database, kind: ProofKind, records: RecordProof | undefined): Promise<Snapshot> {
  return inSnapshot(db, undefined, async (client) => {
    const { rows } = await client.query<{ snapshot: string; now: Date }>(
      "select pg_export_snapshot() as snapshot, now()",
    );
    const { snapshot, now } = rows[0]!;
    // Both are waited for also when one fails, because the snapshot ends with this transaction.
    const [ledger, recorded] = await Promise.allSettled([
      compareLedger(client, kind),
      records ? inSnapshot(db, snapshot, (other) => compareRecordsOf(other, kind, records)) : [],
    ]);
    if (ledger.status === "rejected") throw ledger.reason;
    if (recorded.status === "rejected") throw recorded.reason;
    const { ofBatches, others, compared } = ledger.value;
    // What stands against new batches must be found again by the next incremental proof.
    const isClean = ofBatches.length + recorded.value.length === 0;
    const proven = isClean ? (await client.query<Proven>(checksums, [proofLimits.batchesRemembered])).rows : [];
    return { beganAt: now, compared, discrepancies: [...ofBatches, ...recorded.value, ...others], proven };
  });
}

async function compareRecordsOf(client: PoolClient, kind: ProofKind, records: RecordProof): Promise<Discrepancy[]> {
  const { rows } = await client.query<AttemptRange & { [column: string]: unknown }>(attemptRangeSql(kind));
  if (kind === "incremental" && rows[0]!.first === null) return [];
  return compareRecords(client, records, rows[0]!);
}

/** What is wrong with batches, what is wrong with anything else, and how much was compared. */
interface LedgerCompared {
  ofBatches: Discrepancy[];
  others: Discrepancy[];
  compared: Compared;
}

async function compareLedger(client: PoolClient, kind: ProofKind): Promise<LedgerCompared> {
  const suspenseSince = await migratedAt(client, "suspense");
  const ofBatches: Discrepancy[] = [];
  const others: Discrepancy[] = [];
  for (const { sql, takesTime, isOfBatches } of statementsOf(kind)) {
    const { rows } = await client.query<DiscrepancyRow>(sql, takesTime ? [suspenseSince] : []);
    (isOfBatches ? ofBatches : others).push(...rows.map(discrepancyOf));
  }
  const compared = await client.query<Record<keyof Compared, bigint>>(comparedSql(kind));
  return { ofBatches, others, compared: comparedOf(compared.rows[0]!) };
}

const discrepancyOf = ({ organisation, ...row }: DiscrepancyRow): Discrepancy => ({
  ...row,
  organisation: organisation ?? undefined,
});

const comparedOf = (row: Record<keyof Compared, bigint>): Compared => ({
  settlements: Number(row.settlements),
  batches: Number(row.batches),
  entries: Number(row.entries),
  accounts: Number(row.accounts),
  budgets: Number(row.budgets),
  days: Number(row.days),
  suspense: Number(row.suspense),
});

async function remember(db: Queryable, proven: Proven[]): Promise<void> {
  for (let from = 0; from < proven.length; from += proofLimits.batchesInStatement) {
    const some = proven.slice(from, from + proofLimits.batchesInStatement);
    await db.query(
      `insert into proven_batches (batch, settlements, checksum)
       select * from unnest($1::text[], $2::bigint[], $3::bigint[]) on conflict (batch) do nothing`,
      [
        some.map(({ batch }) => batch),
        some.map(({ settlements }) => settlements),
        some.map(({ checksum }) => checksum),
      ],
    );
  }
}

interface StoredDiscrepancy {
  rule: ProofRule;
  id: string;
  organisation: string | null;
  /** Text, since a JSON number does not hold 64 bits. */
  expected: string;
  found: string;
}

const storedOf = ({ rule, id, organisation, expected, found }: Discrepancy): StoredDiscrepancy => ({
  rule,
  id,
  organisation: organisation ?? null,
  expected: expected.toString(),
  found: found.toString(),
});

interface ProofRow {
  [column: string]: unknown;
  kind: ProofKind;
  began_at: Date;
  ended_at: Date;
  compared: Compared;
  discrepancy_count: bigint;
  discrepancies: StoredDiscrepancy[];
}

/** The newest proof of each kind, newest first. */
export async function lastProofs(db: Queryable): Promise<ProofReport[]> {
  const { rows } = await db.query<ProofRow>(
    `select kind, began_at, ended_at, compared, discrepancy_count, discrepancies from proofs
     where id in (select max(id) from proofs group by kind) order by id desc`,
  );
  return rows.map((row) => ({
    kind: row.kind,
    beganAt: row.began_at,
    endedAt: row.ended_at,
    compared: row.compared,
    discrepancyCount: Number(row.discrepancy_count),
    discrepancies: row.discrepancies.map(({ organisation, expected, found, ...rest }) => ({
      ...rest,
      organisation: organisation ?? undefined,
      expected: BigInt(expected),
      found: BigInt(found),
    })),
  }));
}
