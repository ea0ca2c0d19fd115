// The sampling that a model's file asks for, as node-llama-cpp reads it.
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { readGgufFileInfo } from "node-llama-cpp";
import { expect, it } from "vitest";
import { samplingFor } from "./samplingDefaults.ts";

/** The head of a GGUF file (version 3) with these keys: texts, and numbers as 32-bit floats. */
function ggufWith(keys: Record<string, string | number>): Buffer {
  const text = (value: string) => {
    const length = Buffer.alloc(8);
    length.writeBigUInt64LE(BigInt(Buffer.byteLength(value)));
    return Buffer.concat([length, Buffer.from(value)]);
  };
  const entries = Object.entries(keys).map(([key, value]) => {
    const type = Buffer.alloc(4);
    type.writeUInt32LE(typeof value === "string" ? 8 : 6);
    if (typeof value === "string") return Buffer.concat([text(key), type, text(value)]);
    const number = Buffer.alloc(4);
    number.writeFloatLE(value);
    return Buffer.concat([text(key), type, number]);
  });
  const head = Buffer.alloc(24);
  head.write("GGUF");
  head.writeUInt32LE(3, 4);
  head.writeBigUInt64LE(BigInt(entries.length), 16);
  return Buffer.concat([head, ...entries]);
}

it("sampling is read from a file as the library reads it", async () => {
  const folder = mkdtempSync(join(tmpdir(), "lineshaft-gguf-"));
  try {
    const path = join(folder, "model.gguf");
    const keys = { "general.architecture": "llama", "general.sampling.temp": 0.6, "general.sampling.top_p": 0.95 };
    writeFileSync(path, ggufWith(keys));
    const { metadata } = await readGgufFileInfo(path, { readTensorInfo: false, logWarnings: false });
    const { sampling } = metadata.general as { sampling?: unknown };
    expect(samplingFor(undefined, sampling)).toMatchObject({
      values: { temperature: 0.6, topP: 0.95, topK: 0 },
      source: "file",
    });
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});
