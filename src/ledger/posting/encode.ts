// Records of money as bytes. What a reader looks for first stands first, so that posting finds it without reading the rest (decode.ts).
import { cardRecord } from "../cards.ts";
import type { ShareName } from "../book/types.ts";
import type { HeldAttempt, RateCard, Settlement } from "../types.ts";
import { version, type HoldRecord, type SettlementItem, type WrittenRecord, type Written } from "./records.ts";

/** The attempt is about to be sent. */
interface SentRecord {
  attempt: string;
  engine: string;
}

/**
 * The hold has changed: what it is from now on, and the output that had been seen by then. `promptTokens`: where the prompt was counted, and
 * is smaller than what was held for it.
 */
interface ExtendRecord {
  attempt: string;
  amountNano: bigint;
  coveredTokens: number;
  seenTokens: number;
  shares: readonly ShareName[];
  countedAtMs: number;
  promptTokens?: number;
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
    units: held.units,
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
    prompt: record.promptTokens,
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
