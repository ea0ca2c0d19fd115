// The gateway's records of attempts, summed up for the proof of the ledger, which compares them with settlements (ledger/proof/records.ts).
import { leastId } from "../../store/index.ts";
import { bucketOf, checksumOf, type RecordProof } from "../../ledger/index.ts";

const within = "($1::text is null or id >= $1) and ($2::text is null or id <= $2)";

/**
 * Calls are compared with their attempts in sets as well: both sides sum prices up by a hash of the call's id, once plainly and once
 * weighted by another hash, so that two errors that cancel out in the plain sum show in the weighted one.
 */
const callBucket = (call: string): string => `(hashtext(${call}) & 1023)`;
/** Weights are small, so that no sum of a call's prices times one passes 64 bits. */
const bucketSums =
  "hash & 1023 as bucket, sum(price_nano) as price, sum(price_nano * ((hash >> 12) & 255)) as weighted";

/**
 * An attempt is recorded when it is settled, its call when that has ended. A call that began before this has ended, so it must have its
 * record.
 */
const callEndedMs = 2 * 60 * 60_000;

interface Unequal {
  [column: string]: unknown;
  call: string;
  organisation: string | null;
  expected: bigint;
  found: bigint;
}

/** Calls that began before `$2`, of some buckets: a call without attempts and attempts without their call are among them. */
const unequalOld = `
  select coalesce(c.id, a.call) as call, c.organisation, coalesce(a.price, 0) as expected, coalesce(c.price_nano, 0) as found
  from (select id, organisation, price_nano from calls where ${callBucket("id")} = any($1) and id < $2) c
  full join (
    select call, sum(price_nano) as price from attempts where ${callBucket("call")} = any($1) and call < $2 group by call) a on a.call = c.id
  where coalesce(a.price, 0) <> coalesce(c.price_nano, 0) order by 1 limit 10000`;

/** Calls that have ended and their attempts, one by one. `which` is a condition on the call `c`. */
const unequalOf = (which: string): string => `
  select c.id as call, c.organisation, a.price as expected, c.price_nano as found
  from calls c cross join lateral (select coalesce(sum(price_nano), 0) as price from attempts where call = c.id) a
  where ${which} and a.price <> c.price_nano order by 1 limit 10000`;

/** Buckets of calls that began before `$1` in which the two sides differ. */
const unequalBuckets = `
  select coalesce(c.bucket, a.bucket) as bucket
  from (
    select ${bucketSums}
    from (select hashtext(id) as hash, price_nano from calls where id < $1 and price_nano <> 0 offset 0) c group by 1) c
  full join (
    select ${bucketSums}
    from (select hashtext(call) as hash, price_nano from attempts where call < $1 and price_nano <> 0 offset 0) a group by 1) a
    on a.bucket = c.bucket
  where (a.price, a.weighted) is distinct from (c.price, c.weighted)`;

/** The gateway's side of `RecordProof`: over the tables `attempts` and `calls`, in the transaction of the client given. */
export const recordProof: RecordProof = {
  async buckets(client, { first, last }) {
    const { rows } = await client.query<{ bucket: number; rows: bigint; checksum: bigint }>(
      `select ${bucketOf("id")} as bucket, count(*) as rows,
         ${checksumOf("id", "prompt_tokens", "cached_tokens", "output_tokens", "price_nano", "suspense_nano")} as checksum
       from attempts where ${within} group by 1`,
      [first, last],
    );
    return rows;
  },

  async rows(client, { first, last }, buckets) {
    const { rows } = await client.query<{
      id: string;
      prompt_tokens: bigint;
      cached_tokens: bigint;
      output_tokens: bigint;
      price_nano: bigint;
      suspense_nano: bigint;
    }>(
      `select id, prompt_tokens, cached_tokens, output_tokens, price_nano, suspense_nano
       from attempts where ${within} and ${bucketOf("id")} = any($3)`,
      [first, last, buckets],
    );
    return rows.map((row) => ({
      attempt: row.id,
      promptTokens: row.prompt_tokens,
      cachedTokens: row.cached_tokens,
      outputTokens: row.output_tokens,
      priceNano: row.price_nano,
      suspenseNano: row.suspense_nano,
    }));
  },

  async unequalCalls(client, { first, last }) {
    if (first !== null) {
      const ofAttempts = "c.id in (select call from attempts where id >= $1 and id <= $2)";
      return (await client.query<Unequal>(unequalOf(ofAttempts), [first, last])).rows;
    }
    const { rows: now } = await client.query<{ now: Date }>("select now()");
    const recent = leastId("call", now[0]!.now.getTime() - callEndedMs);
    const { rows: buckets } = await client.query<{ bucket: number }>(unequalBuckets, [recent]);
    const old =
      buckets.length === 0
        ? []
        : (await client.query<Unequal>(unequalOld, [buckets.map(({ bucket }) => bucket), recent])).rows;
    return [...old, ...(await client.query<Unequal>(unequalOf("c.id >= $1"), [recent])).rows];
  },
};
