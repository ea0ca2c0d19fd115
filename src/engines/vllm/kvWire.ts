// vLLM's and SGLang's KV events, from the frames of their ZMQ publisher to this room's KvEvent. Decoding only: sockets are
// the shell's.
//
//   frames   topic, sequence (8 bytes, big-endian, one per message), msgpack payload
//   payload  [time, [event, ...], data-parallel rank?]
//   event    a map with `type` (vLLM since 0.24), or an array whose first item is the tag (vLLM before, and SGLang)
//
// Hashes are 64-bit integers, or bytes of which the low 64 bits count. What a message says is all that is answered here: which
// messages were lost, and when the engine began anew, only its subscriber can tell (engines/vllm/feed.ts).
import { decode } from "@msgpack/msgpack";
import type { KvEvent, Tier } from "../../scheduler/types.ts";

/** An event as the engine tells it: without an epoch, which it has none of, and not numbered, since only messages are. */
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
  /** Of the message, from 0 since the engine's start. */
  sequence: number;
  /** Engine's clock when it was published, in seconds. */
  at: number;
  rank: number;
  events: VllmEvent[];
  /** Events of kinds that are not ours: other cache groups (sliding window, Mamba), unknown tags. */
  skipped: number;
}

/** A frame that is not what the protocol says. */
export class KvWireError extends Error {
  readonly code = "kv_wire";

  constructor(what: string, value: unknown) {
    super(`KV event message: ${what}, got ${describe(value)}`);
    this.name = "KvWireError";
  }
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

/** Positions in the array form of BlockStored and BlockRemoved, after the tag; what is absent is left out at the end. */
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

/** Number of a message: the last frame but one. Throws KvWireError when it is none. */
export function messageSequence(frames: readonly Uint8Array[]): number {
  // Replays of some versions come without a topic.
  if (frames.length !== 3 && frames.length !== 2) throw new KvWireError("three frames expected", frames.length);
  const bytes = frames.at(-2)!;
  if (bytes.length !== 8) throw new KvWireError("a sequence of 8 bytes expected", bytes.length);
  return Number(new DataView(bytes.buffer, bytes.byteOffset, 8).getBigUint64(0));
}

/** Reads one publisher's messages. Keep one per publisher: it remembers the cache group that counts. */
export class VllmKvDecoder {
  private group: number | undefined;

  /** Decodes one message. Throws KvWireError when it is malformed; it is then to be counted as lost. */
  decode(frames: readonly Uint8Array[]): VllmMessage {
    const sequence = messageSequence(frames);
    const [at, listed, rankOrNothing] = decodePayload(frames.at(-1)!);
    if (!Array.isArray(listed)) throw new KvWireError("the second item is no list of events", listed);
    const rank =
      rankOrNothing === undefined || rankOrNothing === null ? 0 : numberOf(rankOrNothing, "data_parallel_rank");
    const message: VllmMessage = { sequence, at: numberOf(at, "the time"), rank, events: [], skipped: 0 };
    for (const raw of listed) {
      const fields = fieldsOf(raw);
      const event = this.isOurs(fields) ? eventOf(fields) : undefined;
      if (event === undefined) message.skipped++;
      else message.events.push(event);
    }
    return message;
  }

  /** Hybrid models publish one stream per cache group; prefixes are those of full attention, or of the first group seen. */
  private isOurs(fields: Record<string, unknown>): boolean {
    const group = fields["group_idx"];
    if (typeof group !== "number") return true;
    const kind = fields["kv_cache_spec_kind"];
    if (this.group === undefined && (kind === undefined || kind === null || kind === "full_attention"))
      this.group = group;
    return this.group === undefined || this.group === group;
  }
}

/** Undefined for a tag that is not known here. */
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
    throw new KvWireError(`msgpack does not decode (${(error as Error).message})`, bytes.length);
  }
  if (!Array.isArray(payload)) throw new KvWireError("a list expected", payload);
  return payload;
}

/** Map form as it is; array form by position. */
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
  if (typeof raw !== "object" || raw === null) throw new KvWireError("an event is a map or a list", raw);
  return raw as Record<string, unknown>;
}

function hashesOf(list: unknown): bigint[] {
  if (!Array.isArray(list)) throw new KvWireError("block_hashes is a list", list);
  return list.map(hashOf);
}

/** Low 64 bits. msgpack gives small integers as numbers, 64-bit ones as bigints, digests as bytes. */
function hashOf(value: unknown): bigint {
  if (typeof value === "bigint") return BigInt.asUintN(64, value);
  if (typeof value === "number") return BigInt.asUintN(64, BigInt(value));
  if (value instanceof Uint8Array && value.length >= 8) {
    return new DataView(value.buffer, value.byteOffset + value.length - 8, 8).getBigUint64(0);
  }
  throw new KvWireError("a hash is an integer or at least 8 bytes", value);
}

function tierOf(medium: unknown): Tier {
  return typeof medium === "string" ? (media[medium] ?? "remote") : "device";
}

/** Extra keys of the first block, in order: the adapter's name where there is one, images as pairs, the `cache_salt`. */
function saltOf(extraKeys: unknown, lora: boolean): string | undefined {
  const first: unknown = Array.isArray(extraKeys) ? extraKeys[0] : undefined;
  const keys: unknown[] = Array.isArray(first) ? first : [first];
  return keys.slice(lora ? 1 : 0).find((key) => typeof key === "string");
}

function numberOf(value: unknown, what: string): number {
  if (typeof value === "number" || typeof value === "bigint") return Number(value);
  throw new KvWireError(`${what} is a number`, value);
}

function describe(value: unknown): string {
  return typeof value === "object" ? (Array.isArray(value) ? "a list" : "a map") : String(value);
}
