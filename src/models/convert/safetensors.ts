// Reads a safetensors file (https://github.com/huggingface/safetensors): eight bytes of length, a header in JSON, then the tensors' bytes.
import { z } from "zod";
import { safetensorsHeaderBytesMax } from "../limits.ts";

export interface SafeTensor {
  name: string;
  /** `F32`, `I64` and so on, as the file names it. */
  type: string;
  /** Slowest-changing dimension first. */
  shape: readonly number[];
  data: Buffer;
}

const entryOf = z.object({
  dtype: z.string(),
  shape: z.array(z.number().int().nonnegative()),
  data_offsets: z.tuple([z.number().int().nonnegative(), z.number().int().nonnegative()]),
});

/** The tensors in the order of the header; their bytes are views of the file's. Throws an Error where the file is not whole. */
export function readSafetensors(file: Buffer): SafeTensor[] {
  const length = file.length < 8 ? Number.NaN : Number(file.readBigUInt64LE(0));
  if (!(length <= safetensorsHeaderBytesMax && 8 + length <= file.length))
    throw new Error("it is not a safetensors file");
  const header = z.record(z.string(), z.unknown()).parse(JSON.parse(file.toString("utf8", 8, 8 + length)) as unknown);
  const body = file.subarray(8 + length);
  return Object.entries(header)
    .filter(([name]) => name !== "__metadata__")
    .map(([name, value]) => {
      const { dtype, shape, data_offsets: offsets } = entryOf.parse(value);
      const [start, end] = offsets;
      if (start > end || end > body.length) throw new Error(`the tensor ${name} lies outside the file`);
      const data = body.subarray(start, end);
      const bytes = shape.reduce((product, size) => product * size, 1) * (dtype === "F32" ? 4 : 0);
      if (dtype === "F32" && bytes !== data.length)
        throw new Error(`the tensor ${name} has not as many values as its shape`);
      return { name, type: dtype, shape, data };
    });
}
