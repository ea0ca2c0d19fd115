// Reads the metadata of a GGUF file before the model is loaded: enough to plan the memory of its KV. Format:
// https://github.com/ggml-org/ggml/blob/master/docs/gguf.md (versions 2 and 3).
//
// A reader of our own, because the file may be hostile and the reading must not hold the event loop: only the wanted keys are kept,
// the rest is walked over, and reading ends as soon as enough is known. `@huggingface/gguf` keeps everything (0.6 s in one turn for a
// vocabulary of 262,000; 1.8 GB and 68 s for a hostile header of 46 MB), node-llama-cpp's reader has no bounds (2.3 GB).
import { open } from "node:fs/promises";
import {
  ggufDepthMax,
  ggufHeaderBytes,
  ggufKeysMax,
  ggufLayersMax,
  ggufTextBytesMax,
  ggufValuesMax,
} from "./limits.ts";

/** The facts of a model that its memory plan needs. */
export interface ModelShape {
  /** Bytes of one token's KV in all layers at 16 bits. An upper bound where layers keep a window only. */
  kvBytesPerToken: number;
  /** Longest context it was trained for, in tokens. */
  trainedContextTokens: number;
  /** It makes embeddings: the file names a way of pooling the tokens' vectors into one. */
  embeds: boolean;
}

/** The file is not GGUF, or passes a bound. */
class NotAHeader extends Error {}

/** The header continues behind the bytes that were read. */
class GoesOn extends Error {}

/** The shape of the model in a GGUF file; undefined when the file is not GGUF, lacks the keys, or exceeds a bound of its header. */
export async function readModelShape(path: string): Promise<ModelShape | undefined> {
  const file = await open(path, "r");
  try {
    for (const bytes of ggufHeaderBytes) {
      const { buffer, bytesRead } = await file.read(Buffer.alloc(bytes), 0, bytes, 0);
      try {
        return shapeOf(buffer.subarray(0, bytesRead));
      } catch (error) {
        if (error instanceof NotAHeader) return undefined;
        if (!(error instanceof GoesOn)) throw error;
        if (bytesRead < bytes) return undefined;
      }
    }
    return undefined;
  } finally {
    await file.close();
  }
}

/** Throws NotAHeader or GoesOn. */
function shapeOf(bytes: Buffer): ModelShape | undefined {
  const reader = new Reader(bytes);
  if (reader.text(4) !== "GGUF" || reader.u32() < 2) throw new NotAHeader();
  reader.u64();
  const count = reader.u64();
  if (count > ggufKeysMax) throw new NotAHeader();
  const keys = new Map<string, unknown>();
  for (let left = count; left > 0; left--) {
    const key = reader.string();
    const value = reader.value(reader.u32(), wanted.test(key));
    if (value !== undefined) keys.set(key, value);
    const shape = enough(keys, left === 1);
    if (shape) return shape;
  }
  return undefined;
}

/** Keys that are kept. The architecture leads the name of most, and may come after them. */
const wanted =
  /^general\.architecture$|^tokenizer\.ggml\.model$|\.(?:block_count|context_length|embedding_length|pooling_type)$|\.attention\.(?:head_count|head_count_kv|key_length|value_length)$/;

function enough(keys: Map<string, unknown>, last: boolean): ModelShape | undefined {
  // The architecture's keys come before the tokenizer's, and any of them may be the last.
  if (!last && !keys.has("tokenizer.ggml.model")) return undefined;
  const of = (name: string) => keys.get(`${String(keys.get("general.architecture"))}.${name}`);
  const [layers, heads, width] = [of("block_count"), of("attention.head_count"), of("embedding_length")].map(largest);
  const context = largest(of("context_length"));
  const kvHeads = of("attention.head_count_kv") ?? heads;
  if (layers === undefined || kvHeads === undefined || context === undefined) return undefined;
  const usual = heads !== undefined && width !== undefined ? width / heads : undefined;
  const [keyLength, valueLength] = [of("attention.key_length"), of("attention.value_length")].map(largest);
  const headBytes = keyLength !== undefined && valueLength !== undefined ? keyLength + valueLength : usual && 2 * usual;
  if (headBytes === undefined) return undefined;
  const headsOfAllLayers = Array.isArray(kvHeads)
    ? (kvHeads as number[]).reduce((sum, count) => sum + count, 0)
    : layers * (kvHeads as number);
  const kvBytesPerToken = headsOfAllLayers * headBytes * 2;
  if (!Number.isFinite(kvBytesPerToken + context)) return undefined;
  // 0 is no pooling, 4 a score instead of a vector.
  const embeds = [1, 2, 3].includes(largest(of("pooling_type")) ?? 0);
  return { kvBytesPerToken, trainedContextTokens: context, embeds };
}

/** The number, or the largest where a file gives one for each layer. */
function largest(value: unknown): number | undefined {
  if (Array.isArray(value)) return Math.max(...(value as number[]));
  return typeof value === "number" ? value : undefined;
}

/** Reads little-endian values one after the other. Throws GoesOn behind the end, NotAHeader at a bound or an unknown type. */
class Reader {
  readonly #bytes: Buffer;
  #at = 0;
  #values = 0;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  #take(count: number): number {
    const at = this.#at;
    if (at + count > this.#bytes.length) throw new GoesOn();
    this.#at += count;
    return at;
  }

  u32(): number {
    return this.#bytes.readUInt32LE(this.#take(4));
  }

  u64(): number {
    return Number(this.#bytes.readBigUInt64LE(this.#take(8)));
  }

  text(length: number): string {
    if (length > ggufTextBytesMax) throw new NotAHeader();
    const at = this.#take(length);
    return this.#bytes.toString("utf8", at, at + length);
  }

  string(): string {
    return this.text(this.u64());
  }

  /** The next value: a number, a string or an array of them; undefined, walked over, unless it is kept. */
  value(type: number, keep: boolean, depth = 0): unknown {
    if (++this.#values > ggufValuesMax) throw new NotAHeader();
    if (type === stringType) return keep ? this.string() : void this.#take(this.u64());
    if (type === arrayType) return this.#array(keep, depth);
    return keep ? this.#number(type) : void this.#take(widthOf(type));
  }

  #array(keep: boolean, depth: number): unknown[] | undefined {
    const item = this.u32();
    const count = this.u64();
    if (depth >= ggufDepthMax || (keep && count > ggufLayersMax)) throw new NotAHeader();
    if (!keep && item !== stringType && item !== arrayType) return void this.#take(widthOf(item) * count);
    const values: unknown[] = [];
    for (let index = 0; index < count; index++) {
      const value = this.value(item, keep, depth + 1);
      if (keep) values.push(value);
    }
    return keep ? values : undefined;
  }

  #number(type: number): number {
    const at = this.#take(widthOf(type));
    const bytes = this.#bytes;
    switch (type) {
      case 0:
      case 7:
        return bytes.readUInt8(at);
      case 1:
        return bytes.readInt8(at);
      case 2:
        return bytes.readUInt16LE(at);
      case 3:
        return bytes.readInt16LE(at);
      case 4:
        return bytes.readUInt32LE(at);
      case 5:
        return bytes.readInt32LE(at);
      case 6:
        return bytes.readFloatLE(at);
      case 10:
        return Number(bytes.readBigUInt64LE(at));
      case 11:
        return Number(bytes.readBigInt64LE(at));
      default:
        return bytes.readDoubleLE(at);
    }
  }
}

/** Types of variable length; for other types the array has their size in bytes, by type number. */
const stringType = 8;
const arrayType = 9;
const widths = [1, 1, 2, 2, 4, 4, 4, 1, undefined, undefined, 8, 8, 8];

function widthOf(type: number): number {
  const width = widths[type];
  if (width === undefined) throw new NotAHeader();
  return width;
}
