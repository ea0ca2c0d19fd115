import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { readModelShape } from "./gguf.ts";

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "lineshaft-gguf-"));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

type Value = number | string | number[];

/** A header with these keys: numbers as u32, arrays of them, strings. */
function header(keys: Record<string, Value>): string {
  const u32 = (value: number) => Buffer.from(new Uint32Array([value]).buffer);
  const u64 = (value: number) => Buffer.from(new BigUint64Array([BigInt(value)]).buffer);
  const text = (value: string) => Buffer.concat([u64(Buffer.byteLength(value)), Buffer.from(value)]);
  const typed = (value: Value) =>
    typeof value === "string"
      ? [u32(8), text(value)]
      : Array.isArray(value)
        ? [u32(9), u32(4), u64(value.length), ...value.map(u32)]
        : [u32(4), u32(value)];
  const path = join(folder, `${Math.abs(hash(JSON.stringify(keys)))}.gguf`);
  const pairs = Object.entries(keys).flatMap(([key, value]) => [text(key), ...typed(value)]);
  writeFileSync(path, Buffer.concat([Buffer.from("GGUF"), u32(3), u64(0), u64(Object.keys(keys).length), ...pairs]));
  return path;
}

const hash = (text: string) => [...text].reduce((sum, letter) => (sum * 31 + letter.charCodeAt(0)) | 0, 7);

const plain = {
  "general.architecture": "llama",
  "llama.block_count": 10,
  "llama.context_length": 8192,
  "llama.embedding_length": 512,
  "llama.attention.head_count": 8,
};

describe("what a GGUF file says of its KV", () => {
  test.each<[string, Record<string, Value>, number]>([
    ["without grouped heads each head has its own KV", plain, 10 * 8 * 128 * 2],
    ["grouped heads share it", { ...plain, "llama.attention.head_count_kv": 2 }, 10 * 2 * 128 * 2],
    [
      "lengths of their own",
      {
        ...plain,
        "llama.attention.head_count_kv": 2,
        "llama.attention.key_length": 128,
        "llama.attention.value_length": 64,
      },
      10 * 2 * 192 * 2,
    ],
    ["a number per layer", { ...plain, "llama.attention.head_count_kv": [4, 0, 4, 0, 4] }, 12 * 128 * 2],
    ["a vocabulary is walked over", { "tokenizer.ggml.scores": [1, 2, 3], ...plain }, 10 * 8 * 128 * 2],
  ])("%s", async (_name, keys, bytes) => {
    expect(await readModelShape(header(keys))).toEqual({ kvBytesPerToken: bytes, trainedContextTokens: 8_192 });
  });

  test("what does not say, or is none, is undefined", async () => {
    expect(await readModelShape(header({ "general.architecture": "llama" }))).toBeUndefined();
    const broken = join(folder, "broken.gguf");
    writeFileSync(broken, "GGUF and nothing after it");
    expect(await readModelShape(broken)).toBeUndefined();
    const other = join(folder, "other.gguf");
    writeFileSync(other, "PK");
    expect(await readModelShape(other)).toBeUndefined();
  });
});
