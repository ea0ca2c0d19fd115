// Writes a GGUF file, version 3 (https://github.com/ggml-org/ggml/blob/master/docs/gguf.md): metadata, then tensors, each at a multiple of
// 32 bytes. The same input gives the same bytes, so that the result has a digest that can be pinned.

/** A value of the metadata. Integers are written as 32 bits, other numbers as 32-bit floats. */
export type GgufValue =
  | { type: "u32" | "f32"; value: number }
  | { type: "bool"; value: boolean }
  | { type: "string"; value: string }
  | { type: "strings"; value: readonly string[] }
  | { type: "i32s"; value: readonly number[] };

export interface GgufTensor {
  name: string;
  /** Fastest-changing dimension first, as GGUF has it. */
  shape: readonly number[];
  kind: "f32" | "f16";
  data: Buffer;
}

/** Numbers of the format for types of values and of tensors. */
const valueTypes = { i32: 5, u32: 4, f32: 6, bool: 7, string: 8, array: 9 } as const;
const tensorTypes = { f32: 0, f16: 1 } as const;
const alignment = 32;

/** The bytes of a GGUF file, in pieces. */
export function* writeGguf(
  metadata: ReadonlyMap<string, GgufValue>,
  tensors: readonly GgufTensor[],
): Generator<Buffer> {
  const header = [Buffer.from("GGUF"), u32(3), u64(tensors.length), u64(metadata.size)];
  for (const [key, value] of metadata) header.push(text(key), ...valueBytes(value));
  let offset = 0;
  for (const { name, shape, kind, data } of tensors) {
    header.push(text(name), u32(shape.length), ...shape.map(u64), u32(tensorTypes[kind]), u64(offset));
    offset = aligned(offset + data.length);
  }
  const bytes = Buffer.concat(header);
  yield bytes;
  yield padding(bytes.length);
  for (const { data } of tensors) {
    yield data;
    yield padding(data.length);
  }
}

function valueBytes(value: GgufValue): Buffer[] {
  switch (value.type) {
    case "u32":
      return [u32(valueTypes.u32), u32(value.value)];
    case "f32":
      return [u32(valueTypes.f32), f32(value.value)];
    case "bool":
      return [u32(valueTypes.bool), Buffer.from([value.value ? 1 : 0])];
    case "string":
      return [u32(valueTypes.string), text(value.value)];
    case "strings":
      return [u32(valueTypes.array), u32(valueTypes.string), u64(value.value.length), ...value.value.map(text)];
    case "i32s":
      return [u32(valueTypes.array), u32(valueTypes.i32), u64(value.value.length), ...value.value.map(u32)];
  }
}

const aligned = (bytes: number): number => Math.ceil(bytes / alignment) * alignment;
const padding = (bytes: number): Buffer => Buffer.alloc(aligned(bytes) - bytes);

function u32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes;
}

function u64(value: number): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(BigInt(value));
  return bytes;
}

function f32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeFloatLE(value);
  return bytes;
}

function text(value: string): Buffer {
  const bytes = Buffer.from(value);
  return Buffer.concat([u64(bytes.length), bytes]);
}
