import { execFile } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { readModelShape } from "./gguf.ts";
import { runs } from "../../test/setup/runs.ts";

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "lineshaft-gguf-"));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

type Value = number | string | number[];

const u32 = (value: number) => Buffer.from(new Uint32Array([value]).buffer);
const u64 = (value: number | bigint) => Buffer.from(new BigUint64Array([BigInt(value)]).buffer);
const text = (value: string) => Buffer.concat([u64(Buffer.byteLength(value)), Buffer.from(value)]);

/** A header with these keys: numbers as u32, arrays of them, strings. */
function header(keys: Record<string, Value>): string {
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
    expect(await readModelShape(header(keys))).toEqual({
      kvBytesPerToken: bytes,
      trainedContextTokens: 8_192,
      embeds: false,
    });
  });

  test.each([
    ["none", 0, false],
    ["the mean", 1, true],
    ["the first token", 2, true],
    ["the last token", 3, true],
    ["a score", 4, false],
  ])("pooling by %s: it makes embeddings: %s", async (_name, pooling, embeds) => {
    const keys = {
      ...plain,
      "llama.attention.head_count_kv": 2,
      "llama.pooling_type": pooling,
      "tokenizer.ggml.model": "x",
    };
    expect(await readModelShape(header(keys))).toMatchObject({ embeds });
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

const start = (pairs: number | bigint) =>
  Buffer.concat([Buffer.from("GGUF"), u32(3), u64(0), u64(pairs), text("general.architecture"), u32(8), text("llama")]);

/** The file's shape as a process reads it whose heap holds 64 MB; rejects when it takes more. */
async function readWithin64Mb(path: string): Promise<unknown> {
  const code = `import { readModelShape } from ${JSON.stringify(new URL("./gguf.ts", import.meta.url).href)};
    console.log(JSON.stringify((await readModelShape(${JSON.stringify(path)})) ?? "nothing"));`;
  const node = ["--max-old-space-size=64", "--input-type=module", "--eval", code];
  return JSON.parse((await promisify(execFile)(process.execPath, node)).stdout);
}

describe("a hostile header", () => {
  const array = (item: number, count: number | bigint) => Buffer.concat([text("a"), u32(9), u32(item), u64(count)]);
  const oneMillion = Buffer.concat([u32(0), u64(1e6), Buffer.alloc(1e6)]);
  const many = (count: number, of: (index: number) => Buffer) => Array.from({ length: count }, (_, index) => of(index));

  test.each<[string, () => Buffer[]]>([
    ["60 million numbers in one array", () => [start(2), array(0, 60e6), Buffer.alloc(60e6)]],
    ["arrays in arrays, 46 million numbers", () => [start(2), array(9, 46), ...many(46, () => oneMillion)]],
    ["seven million empty strings", () => [start(2), array(8, 7e6), Buffer.alloc(56e6)]],
    [
      "an array of a kept key",
      () => [start(2), text("llama.block_count"), u32(9), u32(0), u64(60e6), Buffer.alloc(60e6)],
    ],
    [
      "half a million keys",
      () => [
        start(5e5),
        ...many(5e5 - 1, (index) => Buffer.concat([text(`${index}.block_count`), u32(0), Buffer.alloc(1)])),
      ],
    ],
    ["a key of 60 MB", () => [start(2), u64(60e6), Buffer.alloc(60e6), u32(0), Buffer.alloc(1)]],
    ["a count that no file holds", () => [start(2n ** 60n), Buffer.alloc(1000)]],
    ["a string that no file holds", () => [start(2), text("a"), u32(8), u64(2n ** 62n), Buffer.alloc(1000)]],
    [
      "100,000 arrays inside each other",
      () => [start(2), array(9, 1), ...many(100_000, () => Buffer.concat([u32(9), u64(1)]))],
    ],
  ])("%s fills no memory and is no model", async (name, parts) => {
    const path = join(folder, `${name.replaceAll(/\W/g, "-")}.gguf`);
    writeFileSync(path, Buffer.concat(parts()));
    await expect(readWithin64Mb(path)).resolves.toBe("nothing");
    rmSync(path);
  });

  test("whatever bytes it has, it says a shape in numbers or nothing", async () => {
    const whole = readFileSync(header({ "tokenizer.ggml.scores": [1, 2, 3], ...plain }));
    const path = join(folder, "changed.gguf");
    const changes = fc.array(fc.tuple(fc.nat(whole.length - 1), fc.nat(255)), { minLength: 1, maxLength: 8 });
    await fc.assert(
      fc.asyncProperty(changes, fc.nat(whole.length), async (changed, length) => {
        const bytes = Buffer.from(whole.subarray(0, length));
        for (const [at, value] of changed) if (at < length) bytes[at] = value;
        writeFileSync(path, bytes);
        const shape = await readModelShape(path);
        if (shape) expect(Object.values(shape).every(Number.isFinite)).toBe(true);
      }),
      { numRuns: runs(500), seed: 3 },
    );
  });
});
