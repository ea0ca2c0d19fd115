// The proof job: checks that the ledger agrees with itself, in one snapshot, and says where it does not.
import type { PoolClient } from "pg";
import { migratedAt, storeLimits, type Database } from "../store/index.ts";

export interface ProofReport {
  journals: number;
  /** Empty when everything agrees. */
  discrepancies: { what: string; id: string; expected: bigint; found: bigint }[];
}

/** `since`: the migration from which on the rule holds; its time is `$1` of the statement. */
const checks: { what: string; sql: string; since?: string }[] = [
  {
    what: "entries of a journal must sum to zero",
    sql: "select journal as id, 0::bigint as expected, sum(amount_nano) as found from entries group by 1 having sum(amount_nano) <> 0",
  },
  {
    what: "the balance of an account must be the sum of its entries",
    sql: `select a.id, coalesce(sum(e.amount_nano), 0) as expected, a.balance_nano as found
      from accounts a left join entries e on e.account = a.id group by a.id having coalesce(sum(e.amount_nano), 0) <> a.balance_nano`,
  },
  {
    what: "a settlement must have posted its amount",
    sql: `select s.attempt as id, s.amount_nano as expected, coalesce(max(e.amount_nano), 0) as found
      from settlements s left join entries e on e.journal = 'settlement:' || s.attempt where s.batch is null
      group by s.attempt having coalesce(max(e.amount_nano), 0) <> s.amount_nano`,
  },
  {
    what: "a settlement must have posted to suspense what was claimed beyond its hold",
    sql: `select s.attempt as id, s.suspense_nano as expected, coalesce(max(e.amount_nano), 0) as found
      from settlements s left join entries e on e.journal = 'suspense:' || s.attempt where s.batch is null
      group by s.attempt having coalesce(max(e.amount_nano), 0) <> s.suspense_nano`,
  },
  {
    what: "a settlement must not pass its hold",
    sql: `select s.attempt as id, s.held_nano as expected, s.amount_nano as found
      from settlements s where s.amount_nano > s.held_nano and s.created_at >= $1`,
    since: "suspense",
  },
  {
    what: "an outcome that passed must have posted its price",
    sql: `select o.run as id, o.price_nano as expected, coalesce(max(e.amount_nano), 0) as found
      from outcomes o left join entries e on e.journal = 'result:' || o.run
      group by o.id having coalesce(max(e.amount_nano), 0) <> o.price_nano`,
  },
  {
    what: "a budget must hold what its open holds hold",
    sql: `select b.id, coalesce(sum(h.amount_nano), 0) as expected, b.held_nano as found
      from budgets b left join holds h on not h.settled and b.id = any(h.budgets) group by b.id having coalesce(sum(h.amount_nano), 0) <> b.held_nano`,
  },
  {
    what: "a budget must have spent what was charged in its period",
    sql: `select id, spent_since(organisation, scope_kind, scope_id, period_start) as expected, spent_nano as found from budgets
      where spent_since(organisation, scope_kind, scope_id, period_start) <> spent_nano`,
  },
];

/** Runs every check in one snapshot of the database, so that work under way is no discrepancy. */
export async function proveLedger(db: Database): Promise<ProofReport> {
  const work = async (client: PoolClient) => {
    await client.query("set transaction isolation level repeatable read, read only");
    const discrepancies: ProofReport["discrepancies"] = [];
    for (const check of checks) {
      const values = check.since === undefined ? [] : [await migratedAt(client, check.since)];
      const { rows } = await client.query<{ id: string; expected: bigint; found: bigint }>(check.sql, values);
      discrepancies.push(...rows.map((row) => ({ what: check.what, ...row })));
    }
    const { rows } = await client.query<{ journals: bigint }>("select count(*) as journals from journals");
    return { journals: Number(rows[0]!.journals), discrepancies };
  };
  // Over a ledger of years this takes minutes, while the server answers other statements.
  return db.transaction(work, { boundMs: storeLimits.longMs });
}
