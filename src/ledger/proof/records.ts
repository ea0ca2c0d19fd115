// Settlements beside the records of attempts, which the gateway owns. Neither room reads the other's table: each sums its rows up into
// the same buckets (by a hash of the attempt's id: how many, and a checksum over what they say), and only the rows of buckets that
// differ are looked at one by one.
import type { Queryable } from "../../store/index.ts";
import type { Discrepancy } from "./report.ts";

/** A set of rows. Two rooms have the same rows in a bucket when count and checksum are equal. */
interface Bucket {
  bucket: number;
  rows: bigint;
  checksum: bigint;
}

/** What a settlement and the record of its attempt both say. */
interface RecordFigures {
  attempt: string;
  promptTokens: bigint;
  cachedTokens: bigint;
  outputTokens: bigint;
  priceNano: bigint;
  suspenseNano: bigint;
}

/** Ids of attempts, both ends included; null for all. */
export interface AttemptRange {
  first: string | null;
  last: string | null;
}

/** The records as the room that owns them answers for them. The statements of all three run in the proof's snapshot. */
export interface RecordProof {
  /** The buckets of the attempts' records, by `bucketOf` and `checksumOf`. */
  buckets(client: Queryable, range: AttemptRange): Promise<Bucket[]>;
  /** The records in some buckets. */
  rows(client: Queryable, range: AttemptRange, buckets: number[]): Promise<RecordFigures[]>;
  /** Calls whose price is not the sum of their attempts' prices. */
  unequalCalls(
    client: Queryable,
    range: AttemptRange,
  ): Promise<{ call: string; organisation: string | null; expected: bigint; found: bigint }[]>;
}

/** Rows of buckets that differ are read so many buckets at a time. */
const bucketsAtOnce = 128;
const bucketCount = 1024;

/** SQL of the bucket of an id. */
export const bucketOf = (id: string): string => `(hashtext(${id}) & ${bucketCount - 1})`;

/** SQL of the checksum of a set of rows, from the expressions of what `RecordFigures` names, in its order. */
export const checksumOf = (
  id: string,
  prompt: string,
  cached: string,
  output: string,
  price: string,
  suspense: string,
): string =>
  `bit_xor(hashint8extended(${price}, hashint8extended(${suspense}, hashint8extended(${output},
     hashint8extended(${cached}, hashtextextended(${id}, ${prompt}))))))`;

interface BucketRow {
  [column: string]: unknown;
  bucket: number;
  rows: bigint;
  checksum: bigint;
}

interface FiguresRow {
  [column: string]: unknown;
  attempt: string;
  organisation: string;
  prompt_tokens: bigint;
  cached_tokens: bigint;
  output_tokens: bigint;
  amount_nano: bigint;
  suspense_nano: bigint;
  /** Settled before there were batches: its record was written apart, and a crash may have lost it. */
  is_old: boolean;
}

const within = "($1::text is null or attempt >= $1) and ($2::text is null or attempt <= $2)";

async function settledBuckets(client: Queryable, { first, last }: AttemptRange): Promise<Bucket[]> {
  const { rows } = await client.query<BucketRow>(
    `select ${bucketOf("attempt")} as bucket, count(*) as rows,
       ${checksumOf("attempt", "prompt_tokens", "cached_tokens", "output_tokens", "amount_nano", "suspense_nano")} as checksum
     from settlements where ${within} group by 1`,
    [first, last],
  );
  return rows;
}

async function settledRows(client: Queryable, { first, last }: AttemptRange, buckets: number[]): Promise<FiguresRow[]> {
  const { rows } = await client.query<FiguresRow>(
    `select attempt, organisation, prompt_tokens, cached_tokens, output_tokens, amount_nano, suspense_nano, batch is null as is_old
     from settlements where ${within} and ${bucketOf("attempt")} = any($3)`,
    [first, last, buckets],
  );
  return rows;
}

/** Every settlement must have one record with the same figures, every record one settlement, and every call its attempts' price. */
export async function compareRecords(
  client: Queryable,
  records: RecordProof,
  range: AttemptRange,
): Promise<Discrepancy[]> {
  const settled = new Map((await settledBuckets(client, range)).map((of) => [of.bucket, of]));
  const recorded = new Map((await records.buckets(client, range)).map((of) => [of.bucket, of]));
  const unequal = [...new Set([...settled.keys(), ...recorded.keys()])].filter((bucket) => {
    const [one, other] = [settled.get(bucket), recorded.get(bucket)];
    return one?.rows !== other?.rows || one?.checksum !== other?.checksum;
  });
  const found: Discrepancy[] = [];
  for (let from = 0; from < unequal.length; from += bucketsAtOnce) {
    const buckets = unequal.slice(from, from + bucketsAtOnce);
    const settlements = await settledRows(client, range, buckets);
    found.push(...differences(settlements, await records.rows(client, range, buckets)));
  }
  const calls = await records.unequalCalls(client, range);
  return [
    ...found,
    ...calls.map(({ call, organisation, expected, found: price }) => ({
      rule: "call_price" as const,
      id: call,
      organisation: organisation ?? undefined,
      expected,
      found: price,
    })),
  ];
}

function differences(settlements: FiguresRow[], records: RecordFigures[]): Discrepancy[] {
  const byAttempt = new Map(records.map((record) => [record.attempt, record]));
  const found: Discrepancy[] = [];
  for (const settled of settlements) {
    const { attempt, organisation } = settled;
    const record = byAttempt.get(attempt);
    byAttempt.delete(attempt);
    if (!record) {
      if (!settled.is_old) found.push({ rule: "record_missing", id: attempt, organisation, expected: 1n, found: 0n });
      continue;
    }
    for (const [name, expected, has] of [
      ["price", settled.amount_nano, record.priceNano],
      ["suspense", settled.suspense_nano, record.suspenseNano],
      ["prompt tokens", settled.prompt_tokens, record.promptTokens],
      ["cached tokens", settled.cached_tokens, record.cachedTokens],
      ["output tokens", settled.output_tokens, record.outputTokens],
    ] as const)
      if (expected !== has)
        found.push({ rule: "record_differs", id: `${attempt}: ${name}`, organisation, expected, found: has });
  }
  for (const attempt of byAttempt.keys())
    found.push({ rule: "record_orphan", id: attempt, organisation: undefined, expected: 0n, found: 1n });
  return found;
}
