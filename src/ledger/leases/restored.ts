// The books after a restore. Processes of before may live on, with money in hand that this database knows nothing of; so they are other
// processes from here on: the incarnation is raised, their epochs are fenced, and what they had out is in suspense by name.
import type { Queryable } from "../../store/index.ts";

/** A restored ledger's new incarnation, and the leases that it booked to suspense: they count as spent in their budgets. */
interface RestoredBooks {
  incarnation: bigint;
  lostLeases: { budget: string; amountNano: bigint; currency: string }[];
}

/**
 * Fences every epoch of a database that was loaded from a backup. To be called as the tables' owner, in the transaction that loads it.
 *
 * An epoch of the database's other life may have any number that this one had not given yet. Numbers of epochs therefore go on from the
 * time of the restore in milliseconds, which no count of starts reaches, and so does the incarnation in seconds: a second restore of the
 * same backup gives others.
 */
export async function fenceRestored(client: Queryable): Promise<RestoredBooks> {
  const { rows: raised } = await client.query<{ incarnation: string }>(
    `update instance_incarnation set incarnation = greatest(incarnation + 1, extract(epoch from now())::bigint)
     returning incarnation::text as incarnation`,
  );
  const { rows: live } = await client.query<{ id: string }>("select id from epochs where state = 'live' order by id");
  const lostLeases: RestoredBooks["lostLeases"] = [];
  for (const { id } of live) {
    const { rows } = await client.query<{ budget: string; amount_nano: string; currency: string }>(
      "select budget, amount_nano::text as amount_nano, currency from fence_epoch($1)",
      [id],
    );
    for (const { budget, amount_nano, currency } of rows)
      lostLeases.push({ budget, amountNano: BigInt(amount_nano), currency });
  }
  await client.query(
    `select setval(pg_get_serial_sequence('epochs', 'id'),
       greatest((extract(epoch from now()) * 1000)::bigint, (select coalesce(max(id), 0) from epochs) + 1))`,
  );
  return { incarnation: BigInt(raised[0]!.incarnation), lostLeases };
}

/** The incarnation of the ledger in this database; undefined where there is no ledger. */
export async function incarnationOf(db: Queryable): Promise<bigint | undefined> {
  const { rows: found } = await db.query("select from pg_class where oid = to_regclass('instance_incarnation')");
  if (found.length === 0) return undefined;
  const { rows } = await db.query<{ incarnation: string }>(
    "select incarnation::text as incarnation from instance_incarnation",
  );
  return rows[0] && BigInt(rows[0].incarnation);
}
