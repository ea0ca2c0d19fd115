// The gateway's records of attempts, summed up for the proof of the ledger, which compares them with settlements (ledger/proof/records.ts).
import { bucketOf, checksumOf, type RecordProof } from "../../ledger/index.ts";

const within = "($1::text is null or id >= $1) and ($2::text is null or id <= $2)";

/**
 * Calls are compared with their attempts in sets as well: both sides sum prices up by a hash of the call's id, once plainly and once
 * weighted by another hash, so that two errors that cancel out in the plain sum show in the weighted one.
 */
const callBucket = (call: string): string => `(hashtext(${call}) & 1023)`;
const callSums = (call: string): string =>
  `sum(price_nano) as price, sum(price_nano::numeric * (hashtextextended(${call}, 1) & 65535)) as weighted`;

/** Calls whose price is not the sum of their attempts', among those of some buckets. */
const unequalOf = `
  select coalesce(c.id, a.call) as call, c.organisation, coalesce(a.price, 0) as expected, coalesce(c.price_nano, 0) as found
  from (select id, organisation, price_nano from calls where ${callBucket("id")} = any($1)) c
  full join (select call, sum(price_nano) as price from attempts where ${callBucket("call")} = any($1) group by call) a on a.call = c.id
  where coalesce(a.price, 0) <> coalesce(c.price_nano, 0) order by 1 limit 10000`;

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
    type Unequal = { call: string; organisation: string | null; expected: bigint; found: bigint };
    if (first !== null) {
      const { rows } = await client.query<Unequal>(
        `select c.id as call, c.organisation, a.price as expected, c.price_nano as found
         from calls c
         cross join lateral (select coalesce(sum(price_nano), 0) as price from attempts where call = c.id) a
         where c.id in (select call from attempts where id >= $1 and id <= $2) and a.price <> c.price_nano
         order by 1 limit 10000`,
        [first, last],
      );
      return rows;
    }
    const { rows: buckets } = await client.query<{ bucket: number }>(
      `select coalesce(c.bucket, a.bucket) as bucket
       from (select ${callBucket("id")} as bucket, ${callSums("id")} from calls where price_nano <> 0 group by 1) c
       full join (select ${callBucket("call")} as bucket, ${callSums("call")} from attempts where price_nano <> 0 group by 1) a on a.bucket = c.bucket
       where (a.price, a.weighted) is distinct from (c.price, c.weighted)`,
    );
    if (buckets.length === 0) return [];
    const { rows } = await client.query<Unequal>(unequalOf, [buckets.map(({ bucket }) => bucket)]);
    return rows;
  },
};
