// vLLM's and SGLang's KV events, from the frames of their ZMQ publisher to this room's KvEvent. Decoding only: sockets are
// the shell's.
//
//   frames   topic, sequence (8 bytes, big-endian, one per message), msgpack payload
//   payload  [time, [event, ...], data-parallel rank?]
//   event    a map with `type` (vLLM since 0.24), or an array whose first item is the tag (vLLM before, and SGLang)
//
// Hashes are 64-bit integers, or bytes of which the low 64 bits count. The stream has no epoch and starts at 0 again when
// the engine does; so an epoch is made here: it changes when the sequence goes back. A message holds several events, while
// the index counts events, so they are numbered anew; a hole between messages is passed on as a hole.
import { decode } from "@msgpack/msgpack";
import type { KvEvent, Tier } from "../types.ts";

export interface VllmMessage {
  rank: number;
  events: KvEvent[];
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

/** The stream of one publisher. Keep one per endpoint: it remembers sequence, epoch and the cache group that counts. */
export class VllmKvStream {
  private readonly name: string;
  private last = -1;
  private starts = 0;
  private readonly next = new Map<number, number>();
  private group: number | undefined;

  /** `name` makes epochs of different publishers differ. */
  constructor(name: string) {
    this.name = name;
  }

  get epoch(): string {
    return `${this.name}/${this.starts}`;
  }

  /** Decodes one message. Throws KvWireError when it is malformed; the stream then counts it as lost. */
  decode(frames: readonly Uint8Array[]): VllmMessage {
    const sequence = this.sequenceOf(frames);
    const payload = decodePayload(frames.at(-1)!);
    const [, listed, rankOrNothing] = payload;
    if (!Array.isArray(listed)) throw new KvWireError("the second item is no list of events", listed);
    const rank =
      rankOrNothing === undefined || rankOrNothing === null ? 0 : numberOf(rankOrNothing, "data_parallel_rank");
    this.arrived(sequence);
    const message: VllmMessage = { rank, events: [], skipped: 0 };
    for (const raw of listed) {
      const fields = fieldsOf(raw);
      const event = this.isOurs(fields) ? this.eventOf(fields, rank) : undefined;
      if (event === undefined) message.skipped++;
      else message.events.push(event);
    }
    return message;
  }

  private sequenceOf(frames: readonly Uint8Array[]): number {
    // Replays of some versions come without a topic.
    if (frames.length !== 3 && frames.length !== 2) throw new KvWireError("three frames expected", frames.length);
    const bytes = frames.at(-2)!;
    if (bytes.length !== 8) throw new KvWireError("a sequence of 8 bytes expected", bytes.length);
    return Number(new DataView(bytes.buffer, bytes.byteOffset, 8).getBigUint64(0));
  }

  /** Notes restarts and holes. */
  private arrived(sequence: number): void {
    if (sequence <= this.last) {
      this.starts++;
      this.next.clear();
      if (sequence > 0) this.hole();
    } else if (sequence > this.last + 1) {
      this.hole();
    }
    this.last = sequence;
  }

  /** Leaves out a number for every rank, known or not, so that the index sees the gap. */
  private hole(): void {
    this.holes++;
    for (const [rank, next] of this.next) this.next.set(rank, next + 1);
  }

  private holes = 0;

  private number(rank: number): number {
    const next = this.next.get(rank) ?? (this.holes > 0 ? 1 : 0);
    this.next.set(rank, next + 1);
    return next;
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

  private eventOf(fields: Record<string, unknown>, rank: number): KvEvent | undefined {
    const base = { epoch: this.epoch, tier: tierOf(fields["medium"]) };
    switch (fields["type"]) {
      case "AllBlocksCleared":
        return { type: "cleared", sequence: this.number(rank), epoch: this.epoch };
      case "BlockRemoved":
        return { type: "removed", sequence: this.number(rank), ...base, blocks: hashesOf(fields["block_hashes"]) };
      case "BlockStored": {
        const parent = fields["parent_block_hash"];
        const tokens = fields["token_ids"];
        return {
          type: "stored",
          sequence: this.number(rank),
          ...base,
          blocks: hashesOf(fields["block_hashes"]),
          parent: parent === undefined || parent === null ? null : hashOf(parent),
          tokens: Array.isArray(tokens) && tokens.length > 0 ? (tokens as number[]) : undefined,
          salt: saltOf(fields["extra_keys"]),
        };
      }
      default:
        return undefined;
    }
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

/** A `cache_salt` is the first extra key of the first block. */
function saltOf(extraKeys: unknown): string | undefined {
  const first: unknown = Array.isArray(extraKeys) ? extraKeys[0] : undefined;
  const salt: unknown = Array.isArray(first) ? first[0] : first;
  return typeof salt === "string" ? salt : undefined;
}

function numberOf(value: unknown, what: string): number {
  if (typeof value === "number" || typeof value === "bigint") return Number(value);
  throw new KvWireError(`${what} is a number`, value);
}

function describe(value: unknown): string {
  return typeof value === "object" ? (Array.isArray(value) ? "a list" : "a map") : String(value);
}
