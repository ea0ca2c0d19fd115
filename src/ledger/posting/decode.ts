// Records of money read from their bytes: whole, for the replay of a dead process, and as far as posting needs them.
import { cardOf } from "../cards.ts";
import type { Settlement, TokenCounts } from "../types.ts";
import {
  RecordError,
  recordSchema,
  version,
  type HoldRecord,
  type SettlementItem,
  type Written,
  type WrittenRecord,
} from "./records.ts";

/** Reads a record. Throws RecordError. */
export function decodeRecord(payload: Buffer): WrittenRecord {
  const value = parsed(payload.toString("utf8"));
  const result = recordSchema.safeParse(value);
  if (result.success) return result.data;
  const found = (value as { v?: unknown } | null)?.v;
  if (typeof found === "number" && found !== version)
    throw new RecordError("record_version", `A record has version ${found}, and this release reads ${version}.`);
  throw new RecordError("record_invalid", "A record of the spool cannot be read.", result.error);
}

/**
 * What posting needs of a record: of those that write nothing, which call a hold belongs to. Rows and items are JSON as it stands in the
 * record: Postgres parses it, so posting need not. They are parts of the payload, and valid as long as it is. `isFree`: the settlement's
 * amount is 0.
 */
export type PostedRecord =
  | { k: "settle"; call: string; isFree: boolean; item: Buffer; row: Buffer | undefined }
  | { k: "call"; call: string; row: Buffer | undefined }
  | { k: "hold"; call: string }
  | { k: "sent" | "extend" };

const kindAt = `{"v":${version},"k":"`.length;
/** The beginning of a record, in which its kind and the name of its call stand. */
const headBytes = 256;
const holdBegin = new RegExp(`^\\{"v":${version},"k":"hold","attempt":"[^"\\\\]*","call":"([!#-\\[\\]-~]*)",`);
const callBegin = new RegExp(`^\\{"v":${version},"k":"call","call":"([!#-\\[\\]-~]*)","row":\\{`);
const itemAt = `{"v":${version},"k":"settle","item":`.length;
const rowName = ',"row":';
const settlement = settlementPattern();

/**
 * A settlement as `encodeSettle` writes it, up to its row, of whose bytes each is read as one character: its places are places in the bytes.
 * What matches has passed `itemSchema`: every field is there, in its order and of its kind. To parse an item and to check it with zod takes
 * three times as long, and leaves more garbage, for every call. A text with an escape, a call whose name is not ASCII, a count of more than
 * 15 digits and an item with units do not match, and are read the longer way.
 */
function settlementPattern(): RegExp {
  const text = '"[^"\\\\\\u0000-\\u001f]*"';
  const count = "(?:0|[1-9]\\d{0,14})";
  const nano = '"\\d{1,19}"';
  const share = `\\[${text},${text}\\]`;
  const item = [
    `"attempt":${text}`,
    `,"call":"[!#-\\[\\]-~]*"`,
    ...["organisation", "project", "key"].map((name) => `,"${name}":${text}`),
    ...["agent", "run"].map((name) => `(?:,"${name}":${text})?`),
    ...["model", "rate_card", "currency"].map((name) => `,"${name}":${text}`),
    `,"held":${nano},"counted_at":${text},"amount":${nano}`,
    `,"prompt":${count},"cached":${count}(?:,"cache_write":${count})?(?:,"cache_write_long":${count})?`,
    `,"output":${count}(?:,"reasoning":${count})?,"source":"(?:engine|counted|estimated)"`,
    `(?:,"suspense":${nano})?(?:,"unanswered":true)?`,
    `(?:,"claimed_prompt":${count})?(?:,"claimed_output":${count})?`,
    `,"leases":\\[(?:${share}(?:,${share})*)?\\]`,
  ];
  return new RegExp(`\\{"v":${version},"k":"settle","item":\\{${item.join("")}\\}(?=\\}$|${rowName})`, "y");
}

/** Reads a record for posting: no further than posting needs it, where it stands as encode.ts writes it. Throws RecordError. */
export function decodePosted(payload: Buffer): PostedRecord {
  const head = payload.toString("latin1", 0, headBytes);
  switch (head.charAt(kindAt) + head.charAt(kindAt + 1)) {
    case "se":
      return head.startsWith("sent", kindAt) ? lightOf(payload, head, "sent") : settleOf(payload);
    case "ex":
      return lightOf(payload, head, "extend");
    case "ho": {
      const call = holdBegin.exec(head)?.[1];
      if (call !== undefined) return { k: "hold", call };
      break;
    }
    case "ca": {
      const call = callBegin.exec(head);
      if (call) return { k: "call", call: call[1]!, row: payload.subarray(call[0].length - 1, -1) };
    }
  }
  return wholly(payload);
}

function lightOf(payload: Buffer, head: string, kind: "sent" | "extend"): PostedRecord {
  return head.startsWith(`{"v":${version},"k":"${kind}",`) ? { k: kind } : wholly(payload);
}

function settleOf(payload: Buffer): PostedRecord {
  const text = payload.toString("latin1");
  settlement.lastIndex = 0;
  if (!settlement.test(text) || !text.endsWith("}")) return wholly(payload);
  const itemEnd = settlement.lastIndex;
  const callAt = text.indexOf(callName, itemAt) + callName.length;
  return {
    k: "settle",
    // Read from the bytes: a part of the text would keep all of it in memory.
    call: payload.toString("latin1", callAt, text.indexOf('"', callAt)),
    isFree: text.lastIndexOf(free, itemEnd) > 0,
    item: payload.subarray(itemAt, itemEnd),
    row: itemEnd === text.length - 1 ? undefined : payload.subarray(itemEnd + rowName.length, -1),
  };
}

const callName = ',"call":"';
const free = ',"amount":"0"';

/** A record that does not stand as this release writes it. */
function wholly(payload: Buffer): PostedRecord {
  const record = decodeRecord(payload);
  switch (record.k) {
    case "settle":
      return {
        k: "settle",
        call: record.item.call,
        isFree: record.item.amount === "0",
        item: Buffer.from(JSON.stringify(record.item)),
        row: jsonOf(record.row),
      };
    case "call":
      return { k: "call", call: record.call, row: jsonOf(record.row) };
    case "hold":
      return { k: "hold", call: record.call };
    default:
      return { k: record.k };
  }
}

const jsonOf = (row: unknown): Buffer | undefined => (row === undefined ? undefined : Buffer.from(JSON.stringify(row)));

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
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
      ...(record.units && { units: record.units }),
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
