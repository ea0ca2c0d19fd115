// What a GGUF file says of its model before anything is loaded: enough to foresee the memory of its KV. Only the header is
// read, and of it only as much as holds the keys that are looked for.
// Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md (versions 2 and 3).
import { open } from "node:fs/promises";

export interface ModelShape {
  /** Bytes of one token's KV in all layers at 16 bits. An upper bound where layers keep a window only. */
  kvBytesPerToken: number;
  /** Longest context it was trained for, in tokens. */
  trainedContextTokens: number;
}

/** The header is read in pieces that grow; one that is larger than the last of them is no header. */
const pieces = [1, 8, 64].map((mebi) => mebi * 1024 ** 2);

/** Undefined when the file is not GGUF or does not say. */
export async function readModelShape(path: string): Promise<ModelShape | undefined> {
  const file = await open(path, "r");
  try {
    for (const bytes of pieces) {
      const { buffer, bytesRead } = await file.read(Buffer.alloc(bytes), 0, bytes, 0);
      const shape = shapeOf(buffer.subarray(0, bytesRead));
      if (shape !== "more") return shape;
      if (bytesRead < bytes) return undefined;
    }
    return undefined;
  } finally {
    await file.close();
  }
}

function shapeOf(bytes: Buffer): ModelShape | undefined | "more" {
  const reader = new Reader(bytes);
  const keys = new Map<string, unknown>();
  try {
    if (reader.text(4) !== "GGUF" || reader.u32() < 2) return undefined;
    reader.u64();
    for (let left = reader.u64(); left > 0; left--) {
      const key = reader.string();
      keys.set(key, reader.value(reader.u32(), key.startsWith("tokenizer.")));
      const shape = enough(keys, left === 1);
      if (shape) return shape;
    }
    return undefined;
  } catch (error) {
    if (error instanceof RangeError) return "more";
    // A type that this format does not have.
    if (error instanceof TypeError) return undefined;
    throw error;
  }
}

function enough(keys: Map<string, unknown>, last: boolean): ModelShape | undefined {
  const of = (name: string) => keys.get(`${String(keys.get("general.architecture"))}.${name}`);
  const [layers, heads, width] = [of("block_count"), of("attention.head_count"), of("embedding_length")].map(largest);
  const context = largest(of("context_length"));
  const kvHeads = of("attention.head_count_kv") ?? (last ? heads : undefined);
  if (layers === undefined || kvHeads === undefined || context === undefined) return undefined;
  const usual = heads !== undefined && width !== undefined ? width / heads : undefined;
  const [keyLength, valueLength] = [of("attention.key_length"), of("attention.value_length")].map(largest);
  // Both lengths are optional and may come later than the rest: the usual ones count only when all was read.
  const headBytes =
    keyLength !== undefined && valueLength !== undefined
      ? keyLength + valueLength
      : last || keys.has("tokenizer.ggml.model")
        ? usual && 2 * usual
        : undefined;
  if (headBytes === undefined) return undefined;
  const headsOfAllLayers = Array.isArray(kvHeads)
    ? (kvHeads as number[]).reduce((sum, count) => sum + count, 0)
    : layers * (kvHeads as number);
  return { kvBytesPerToken: headsOfAllLayers * headBytes * 2, trainedContextTokens: context };
}

/** Some files give a number per layer. */
function largest(value: unknown): number | undefined {
  if (Array.isArray(value)) return Math.max(...(value as number[]));
  return typeof value === "number" ? value : undefined;
}

/** Reads little-endian values one after the other; RangeError when they go on behind the end. */
class Reader {
  readonly #bytes: Buffer;
  #at = 0;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  #take(count: number): number {
    const at = this.#at;
    if (count < 0 || at + count > this.#bytes.length) throw new RangeError("behind the end");
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
    const at = this.#take(length);
    return this.#bytes.toString("utf8", at, at + length);
  }

  string(): string {
    return this.text(this.u64());
  }

  /** `skip`: walks over it without keeping it; a vocabulary is large. */
  value(type: number, skip: boolean): unknown {
    if (type === 8) return skip ? void this.#take(this.u64()) : this.string();
    if (type === 9) {
      const item = this.u32();
      const count = this.u64();
      const width = widths[item];
      if (skip && width !== undefined) return void this.#take(width * count);
      const values: unknown[] = [];
      for (let index = 0; index < count; index++) {
        const value = this.value(item, skip);
        if (!skip) values.push(value);
      }
      return values;
    }
    return this.#number(type);
  }

  #number(type: number): number {
    const at = this.#take(widths[type] ?? 0);
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
      case 12:
        return bytes.readDoubleLE(at);
      default:
        throw new TypeError(`GGUF has no type ${type}.`);
    }
  }
}

/** Bytes of a value by type; strings (8) and arrays (9) say their length themselves. */
const widths: Partial<Record<number, number>> = {
  0: 1,
  1: 1,
  2: 2,
  3: 2,
  4: 4,
  5: 4,
  6: 4,
  7: 1,
  10: 8,
  11: 8,
  12: 8,
};
