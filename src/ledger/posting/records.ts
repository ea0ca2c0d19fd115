// The records of money in the spool: their shapes. JSON objects: `k` says what it is, `v` its version. A record of another version is
// not guessed at; the file waits for the release that knows it. What a file says is not trusted: every field is checked when it is read,
// also here, where only this user's processes can write.
//
//   hold -> sent -> extend* -> settle, for each attempt; then one call, after the call's last attempt
//
// A settle says all that its settlement needs, so that posting keeps no state and no earlier record has to be found. The others matter
// when their process dies (crash.ts). encode.ts writes records, decode.ts reads them.
import { z } from "zod";
import { LineshaftError } from "../../errors/index.ts";
import type { cardOf } from "../cards.ts";
import type { ShareName } from "../book/types.ts";
import type { HeldAttempt } from "../types.ts";

export const version = 1;

/** The first hold of an attempt. */
export interface HoldRecord {
  held: HeldAttempt;
  amountNano: bigint;
  /** Output tokens that the hold covers. */
  coveredTokens: number;
  shares: readonly ShareName[];
  /** The moment that it counts at, by the database's clock. */
  countedAtMs: number;
}

/** `record_invalid`: the bytes are no record. `record_version`: another release wrote it. */
export class RecordError extends LineshaftError {
  constructor(code: "record_invalid" | "record_version", message: string, cause?: unknown) {
    super({ code, message, cause });
  }
}

const text = z.string();
const count = z.int().nonnegative();
const nano = z.string().regex(/^\d{1,19}$/);
const counts = z.record(z.string(), count);
const share = z.tuple([text, text]);

/** A settlement as `post_batch` takes it. */
const itemSchema = z.strictObject({
  attempt: text,
  call: text,
  organisation: text,
  project: text,
  key: text,
  agent: text.optional(),
  run: text.optional(),
  model: text,
  rate_card: text,
  currency: text,
  held: nano,
  counted_at: text,
  amount: nano,
  prompt: count,
  cached: count,
  cache_write: count.optional(),
  cache_write_long: count.optional(),
  output: count,
  reasoning: count.optional(),
  units: counts.optional(),
  source: z.enum(["engine", "counted", "estimated"]),
  suspense: nano.optional(),
  unanswered: z.literal(true).optional(),
  claimed_prompt: count.optional(),
  claimed_output: count.optional(),
  leases: z.array(share),
});
export type SettlementItem = z.infer<typeof itemSchema>;

export const recordSchema = z.discriminatedUnion("k", [
  z.strictObject({
    v: z.literal(version),
    k: z.literal("hold"),
    attempt: text,
    call: text,
    organisation: text,
    project: text,
    key: text,
    agent: text.optional(),
    run: text.optional(),
    card: z.custom<Parameters<typeof cardOf>[0]>((value) => typeof value === "object" && value !== null),
    prompt: count,
    output: count,
    units: counts.optional(),
    amount: nano,
    covered: count,
    shares: z.array(share),
    at: z.number(),
    context: z.unknown().optional(),
  }),
  z.strictObject({ v: z.literal(version), k: z.literal("sent"), attempt: text, engine: text }),
  z.strictObject({
    v: z.literal(version),
    k: z.literal("extend"),
    attempt: text,
    amount: nano,
    covered: count,
    seen: count,
    shares: z.array(share),
    at: z.number(),
    /** Of a hold whose prompt was counted afterwards. */
    prompt: count.optional(),
  }),
  z.strictObject({ v: z.literal(version), k: z.literal("settle"), item: itemSchema, row: z.unknown().optional() }),
  z.strictObject({ v: z.literal(version), k: z.literal("call"), call: text, row: z.unknown().optional() }),
]);
/** A record as it is written. */
export type WrittenRecord = z.infer<typeof recordSchema>;
export type Written<Kind extends WrittenRecord["k"]> = Extract<WrittenRecord, { k: Kind }>;
