// The wire format of vLLM's and SGLang's KV events: from the frames of their ZMQ publisher to typed events. This file only decodes; the
// sockets are in sockets.ts.
//
//   frames   topic, sequence (8 bytes, big-endian, one per message), msgpack payload
//   payload  [time, [event, ...], data-parallel rank?]
//   event    a map with `type` (vLLM since 0.24), or an array whose first item is the tag (vLLM before, and SGLang)
//
// Hashes are 64-bit integers, or bytes of which the low 64 bits count. A decoded message tells nothing of lost messages or of a restart
// of the engine: the subscriber finds those out from the sequence (stream.ts).
//
// Source: vLLM's `vllm/distributed/kv_events.py`; fixtures/ holds frames recorded from version 0.32.
import { decode } from "@msgpack/msgpack";
import { EngineError } from "../types.ts";
import type { KvEvent } from "../kv.ts";
import type { Tier } from "../types.ts";

/** An event as vLLM publishes it. It has no epoch and no number of its own: vLLM numbers messages, not events. */
export interface VllmEvent {
  type: KvEvent["type"];
  /** Absent where all tiers are meant. */
  tier?: Tier;
  /** The engine's own hashes, 64 bits each. */
  blocks?: bigint[];
  parent?: bigint | null;
  /** Token ids of the blocks; absent for copies to lower tiers. */
  tokens?: number[];
  /** Tokens in each block. */
  blockTokens?: number;
  /** `cache_salt` of the prompt; told with its first block only. */
  salt?: string;
  /** Adapter that the blocks were computed with. */
  lora?: string;
}

export interface VllmMessage {
  /** The message's number, counted from 0 since the engine's start. */
  sequence: number;
  /** The engine's clock when it published the message, in seconds. */
  at: number;
  rank: number;
  events: VllmEvent[];
  /** Number of events that were left out: of other cache groups (sliding window, Mamba), or with unknown tags. */
  skipped: number;
}

const malformedCode = "kv_wire";

/** True for the error of a message that does not follow the wire format. */
export const isMalformed = (error: unknown): boolean => error instanceof EngineError && error.code === malformedCode;

/** Retryable: the next message may be well-formed. */
function malformed(what: string, value: unknown): EngineError {
  return new EngineError({
    status: 502,
    code: malformedCode,
    message: `KV event message: ${what}, got ${describe(value)}.`,
    retryable: true,
  });
}

/** Names of `medium` in both engines. */
const media: Record<string, Tier> = {
  GPU: "device",
  CPU: "host",
  CPU_PINNED: "host",
  DISK: "disk",
  STORAGE: "disk",
  FS: "disk",
  OBJ: "remote",
  EXTERNAL: "remote",
};

/** Field names of the array form by position, after the tag. Absent fields are left out at the end. */
const arrayFields: Record<string, readonly string[]> = {
  BlockStored: [
    "block_hashes",
    "parent_block_hash",
    "token_ids",
    "block_size",
    "lora_id",
    "medium",
    "lora_name",
    "extra_keys",
    "group_idx",
    "kv_cache_spec_kind",
  ],
  BlockRemoved: ["block_hashes", "medium", "group_idx"],
  AllBlocksCleared: [],
};

/** A message's number, from the last frame but one. Throws EngineError `kv_wire` when that frame holds no number. */
export function messageSequence(frames: readonly Uint8Array[]): number {
  // Some versions send replays without a topic frame.
  if (frames.length !== 3 && frames.length !== 2) throw malformed("three frames expected", frames.length);
  const bytes = frames.at(-2)!;
  if (bytes.length !== 8) throw malformed("a sequence of 8 bytes expected", bytes.length);
  return Number(new DataView(bytes.buffer, bytes.byteOffset, 8).getBigUint64(0));
}

/** Decodes the messages of one publisher. Use one decoder per publisher: it remembers which cache group it reads. */
export class VllmKvDecoder {
  private group: number | undefined;

  /** Decodes one message. Throws EngineError `kv_wire` when it is malformed; the caller counts that message as lost. */
  decode(frames: readonly Uint8Array[]): VllmMessage {
    const sequence = messageSequence(frames);
    const [at, listed, rankOrNothing] = decodePayload(frames.at(-1)!);
    if (!Array.isArray(listed)) throw malformed("the second item is no list of events", listed);
    const rank =
      rankOrNothing === undefined || rankOrNothing === null ? 0 : numberOf(rankOrNothing, "data_parallel_rank");
    const message: VllmMessage = { sequence, at: numberOf(at, "the time"), rank, events: [], skipped: 0 };
    for (const raw of listed) {
      const fields = fieldsOf(raw);
      const event = this.isOfReadGroup(fields) ? eventOf(fields) : undefined;
      if (event === undefined) message.skipped++;
      else message.events.push(event);
    }
    return message;
  }

  /** Hybrid models publish events per cache group. Prefixes are read from the full-attention group, else from the first group seen. */
  private isOfReadGroup(fields: Record<string, unknown>): boolean {
    const group = fields["group_idx"];
    if (typeof group !== "number") return true;
    const kind = fields["kv_cache_spec_kind"];
    if (this.group === undefined && (kind === undefined || kind === null || kind === "full_attention"))
      this.group = group;
    return this.group === undefined || this.group === group;
  }
}

/** Undefined for an unknown tag. */
function eventOf(fields: Record<string, unknown>): VllmEvent | undefined {
  switch (fields["type"]) {
    case "AllBlocksCleared":
      return { type: "cleared" };
    case "BlockRemoved":
      return { type: "removed", tier: tierOf(fields["medium"]), blocks: hashesOf(fields["block_hashes"]) };
    case "BlockStored": {
      const { parent_block_hash: parent, token_ids: tokens, block_size: size, lora_name: lora } = fields;
      const salt = saltOf(fields["extra_keys"], typeof lora === "string");
      return {
        type: "stored",
        tier: tierOf(fields["medium"]),
        blocks: hashesOf(fields["block_hashes"]),
        parent: parent === undefined || parent === null ? null : hashOf(parent),
        ...(Array.isArray(tokens) && tokens.length > 0 && { tokens: tokens as number[] }),
        ...(size !== undefined && { blockTokens: numberOf(size, "block_size") }),
        ...(salt !== undefined && { salt }),
        ...(typeof lora === "string" && { lora }),
      };
    }
    default:
      return undefined;
  }
}

function decodePayload(bytes: Uint8Array): unknown[] {
  let payload: unknown;
  try {
    payload = decode(bytes, { useBigInt64: true });
  } catch (error) {
    throw malformed(`msgpack does not decode (${(error as Error).message})`, bytes.length);
  }
  if (!Array.isArray(payload)) throw malformed("a list expected", payload);
  return payload;
}

/** An event's fields by name: the map form as it is, the array form by position. */
function fieldsOf(raw: unknown): Record<string, unknown> {
  if (Array.isArray(raw)) {
    const [tag, ...items] = raw as unknown[];
    const names = typeof tag === "string" ? arrayFields[tag] : undefined;
    const fields: Record<string, unknown> = { type: tag };
    names?.forEach((name, at) => {
      fields[name] = items[at];
    });
    return fields;
  }
  if (typeof raw !== "object" || raw === null) throw malformed("an event is a map or a list", raw);
  return raw as Record<string, unknown>;
}

function hashesOf(list: unknown): bigint[] {
  if (!Array.isArray(list)) throw malformed("block_hashes is a list", list);
  return list.map(hashOf);
}

/** The low 64 bits of a hash. msgpack decodes small integers as numbers, 64-bit ones as bigints and digests as bytes. */
function hashOf(value: unknown): bigint {
  if (typeof value === "bigint") return BigInt.asUintN(64, value);
  if (typeof value === "number") return BigInt.asUintN(64, BigInt(value));
  if (value instanceof Uint8Array && value.length >= 8) {
    return new DataView(value.buffer, value.byteOffset + value.length - 8, 8).getBigUint64(0);
  }
  throw malformed("a hash is an integer or at least 8 bytes", value);
}

function tierOf(medium: unknown): Tier {
  return typeof medium === "string" ? (media[medium] ?? "remote") : "device";
}

/** The `cache_salt` among the first block's extra keys, which are in order: the adapter's name if any, images as pairs, the salt. */
function saltOf(extraKeys: unknown, lora: boolean): string | undefined {
  const first: unknown = Array.isArray(extraKeys) ? extraKeys[0] : undefined;
  const keys: unknown[] = Array.isArray(first) ? first : [first];
  return keys.slice(lora ? 1 : 0).find((key) => typeof key === "string");
}

function numberOf(value: unknown, what: string): number {
  if (typeof value === "number" || typeof value === "bigint") return Number(value);
  throw malformed(`${what} is a number`, value);
}

function describe(value: unknown): string {
  return typeof value === "object" ? (Array.isArray(value) ? "a list" : "a map") : String(value);
}
