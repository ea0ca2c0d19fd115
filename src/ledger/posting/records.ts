// The records of money in the spool, as bytes and back. JSON objects: `k` says what it is, `v` its version. A record of another version is
// not guessed at; the file waits for the release that knows it. What a file says is not trusted: every field is checked when it is read,
// also here, where only this user's processes can write.
//
//   hold -> sent -> extend* -> settle, for each attempt; then one call, after the call's last attempt
//
// A settle says all that its settlement needs, so that posting keeps no state and no earlier record has to be found. The others matter
// when their process dies (crash.ts).
import { z } from "zod";
import { LineshaftError } from "../../errors/index.ts";
import { cardOf, cardRecord } from "../cards.ts";
import type { ShareName } from "../book/types.ts";
import type { HeldAttempt, RateCard, Settlement, TokenCounts } from "../types.ts";

const version = 1;

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

/** The attempt is about to be sent. */
interface SentRecord {
  attempt: string;
  engine: string;
}

/** The hold was extended: what it is from now on, and the output that had been seen by then. */
interface ExtendRecord {
  attempt: string;
  amountNano: bigint;
  coveredTokens: number;
  seenTokens: number;
  shares: readonly ShareName[];
  countedAtMs: number;
}

/** The end of an attempt. `row`: its row, undefined where it has none. */
interface SettleRecord {
  held: Pick<HeldAttempt, "attempt" | "call" | "organisation" | "project" | "key" | "agent" | "run" | "rateCard">;
  heldNano: bigint;
  shares: readonly ShareName[];
  countedAtMs: number;
  settlement: Settlement;
  unanswered: boolean;
  row: unknown;
}

/** The end of a call. */
interface CallEnd {
  call: string;
  row: unknown;
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

const recordSchema = z.discriminatedUnion("k", [
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
  }),
  z.strictObject({ v: z.literal(version), k: z.literal("settle"), item: itemSchema, row: z.unknown().optional() }),
  z.strictObject({ v: z.literal(version), k: z.literal("call"), call: text, row: z.unknown().optional() }),
]);
/** A record as it is written. */
export type WrittenRecord = z.infer<typeof recordSchema>;
type Written<Kind extends WrittenRecord["k"]> = Extract<WrittenRecord, { k: Kind }>;

const encoded = (record: WrittenRecord): Buffer => Buffer.from(JSON.stringify(record));
const sharesOf = (shares: readonly ShareName[]) =>
  shares.map(({ budget, period }): [string, string] => [budget, period]);

/** Rate cards do not change, and one prices many calls. */
const cardTexts = new WeakMap<RateCard, string>();

function cardText(card: RateCard): string {
  let text = cardTexts.get(card);
  if (text === undefined) cardTexts.set(card, (text = JSON.stringify(cardRecord(card))));
  return text;
}

export function encodeHold({ held, amountNano, coveredTokens, shares, countedAtMs }: HoldRecord): Buffer {
  const record: Omit<Written<"hold">, "card"> = {
    v: version,
    k: "hold",
    attempt: held.attempt,
    call: held.call,
    organisation: held.organisation,
    project: held.project,
    key: held.key,
    agent: held.agent,
    run: held.run,
    prompt: held.promptTokens,
    output: held.outputTokens,
    amount: amountNano.toString(),
    covered: coveredTokens,
    shares: sharesOf(shares),
    at: countedAtMs,
    context: held.context,
  };
  const text = JSON.stringify(record);
  return Buffer.from(`${text.slice(0, -1)},"card":${cardText(held.rateCard)}}`);
}

export const encodeSent = ({ attempt, engine }: SentRecord): Buffer =>
  encoded({ v: version, k: "sent", attempt, engine });

export const encodeExtend = (record: ExtendRecord): Buffer =>
  encoded({
    v: version,
    k: "extend",
    attempt: record.attempt,
    amount: record.amountNano.toString(),
    covered: record.coveredTokens,
    seen: record.seenTokens,
    shares: sharesOf(record.shares),
    at: record.countedAtMs,
  });

export const encodeSettle = (record: SettleRecord): Buffer =>
  encoded({ v: version, k: "settle", item: itemOf(record), row: record.row });

export const encodeCall = ({ call, row }: CallEnd): Buffer => encoded({ v: version, k: "call", call, row });

function itemOf({ held, heldNano, shares, countedAtMs, settlement, unanswered }: SettleRecord): SettlementItem {
  const { tokens, claimed, suspenseNano } = settlement;
  return {
    attempt: held.attempt,
    call: held.call,
    organisation: held.organisation,
    project: held.project,
    key: held.key,
    agent: held.agent,
    run: held.run,
    model: held.rateCard.model,
    rate_card: held.rateCard.id,
    currency: settlement.currency,
    held: heldNano.toString(),
    counted_at: new Date(countedAtMs).toISOString(),
    amount: settlement.amountNano.toString(),
    prompt: tokens.promptTokens,
    cached: tokens.cachedTokens,
    cache_write: tokens.cacheWriteTokens,
    cache_write_long: tokens.cacheWriteLongTokens,
    output: tokens.outputTokens,
    reasoning: tokens.reasoningTokens,
    units: tokens.units,
    source: settlement.usageSource,
    suspense: suspenseNano === 0n ? undefined : suspenseNano.toString(),
    unanswered: unanswered || undefined,
    claimed_prompt: claimed?.promptTokens,
    claimed_output: claimed?.outputTokens,
    leases: sharesOf(shares),
  };
}

/** Reads a record. Throws RecordError. */
export function decodeRecord(payload: Buffer): WrittenRecord {
  const value = parsed(payload);
  const result = recordSchema.safeParse(value);
  if (result.success) return result.data;
  const found = (value as { v?: unknown } | null)?.v;
  if (typeof found === "number" && found !== version)
    throw new RecordError("record_version", `A record has version ${found}, and this release reads ${version}.`);
  throw new RecordError("record_invalid", "A record of the spool cannot be read.", result.error);
}

/** What posting needs of a record: of those that write nothing, which call a hold belongs to. */
export type PostedRecord =
  | Written<"settle">
  | Written<"call">
  | Pick<Written<"hold">, "k" | "call">
  | { k: "sent" | "extend" };

const beginnings = (["hold", "sent", "extend"] as const).map((kind) => ({
  kind,
  bytes: Buffer.from(`{"v":${version},"k":"${kind}",`),
}));

/** Reads a record for posting, most of them without looking further than their kind. Throws RecordError. */
export function decodePosted(payload: Buffer): PostedRecord {
  const light = beginnings.find(({ bytes }) => payload.subarray(0, bytes.length).equals(bytes))?.kind;
  if (light === "sent" || light === "extend") return { k: light };
  if (light !== "hold") return decodeRecord(payload);
  const { call } = parsed(payload) as { call?: unknown };
  return typeof call === "string" ? { k: "hold", call } : decodeRecord(payload);
}

function parsed(payload: Buffer): unknown {
  try {
    return JSON.parse(payload.toString("utf8"));
  } catch (error) {
    throw new RecordError("record_invalid", "A record of the spool is not JSON.", error);
  }
}

/** What the record of a hold says. Throws SyntaxError where a price of its card is no whole number. */
export function holdOf(record: Written<"hold">): HoldRecord {
  return {
    held: {
      attempt: record.attempt,
      call: record.call,
      organisation: record.organisation,
      project: record.project,
      key: record.key,
      agent: record.agent,
      run: record.run,
      rateCard: cardOf(record.card),
      promptTokens: record.prompt,
      outputTokens: record.output,
      context: record.context,
    },
    amountNano: BigInt(record.amount),
    coveredTokens: record.covered,
    shares: record.shares.map(([budget, period]) => ({ budget, period })),
    countedAtMs: record.at,
  };
}

/** The settlement that an item says. */
export function settlementOf(item: SettlementItem): Settlement {
  const tokens: TokenCounts = {
    promptTokens: item.prompt,
    cachedTokens: item.cached,
    outputTokens: item.output,
  };
  if (item.cache_write !== undefined) tokens.cacheWriteTokens = item.cache_write;
  if (item.cache_write_long !== undefined) tokens.cacheWriteLongTokens = item.cache_write_long;
  if (item.reasoning !== undefined) tokens.reasoningTokens = item.reasoning;
  if (item.units !== undefined) tokens.units = item.units;
  return {
    attempt: item.attempt,
    amountNano: BigInt(item.amount),
    suspenseNano: BigInt(item.suspense ?? 0),
    tokens,
    claimed:
      item.claimed_prompt === undefined
        ? undefined
        : {
            promptTokens: item.claimed_prompt,
            cachedTokens: item.cached,
            outputTokens: item.claimed_output ?? 0,
          },
    usageSource: item.source,
    currency: item.currency,
    repeated: false,
  };
}
