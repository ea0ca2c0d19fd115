// The conversion of a small BERT, value by value; embedder.test.ts has the real model's numbers.
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { readModelShape } from "../gguf.ts";
import { convertBert, type BertFiles } from "./bert.ts";
import { readSafetensors } from "./safetensors.ts";

const width = 4;
const config = {
  architectures: ["BertModel"],
  hidden_act: "gelu",
  hidden_size: width,
  intermediate_size: 8,
  layer_norm_eps: 1e-12,
  max_position_embeddings: 16,
  num_attention_heads: 2,
  num_hidden_layers: 1,
  position_embedding_type: "absolute",
  type_vocab_size: 2,
};
const words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "pump", "##s"];
const tokenizer = {
  normalizer: { type: "BertNormalizer", lowercase: true },
  model: {
    type: "WordPiece",
    continuing_subword_prefix: "##",
    vocab: Object.fromEntries(words.map((word, id) => [word, id])),
  },
  added_tokens: words.slice(0, 5).map((content, id) => ({ id, content, special: true })),
};

/** Tensors of one layer, and two that an embedding does not need; each value is its place divided by 8. */
const shapes: Record<string, number[]> = {
  "embeddings.position_ids": [1, 16],
  "embeddings.word_embeddings.weight": [words.length, width],
  "embeddings.position_embeddings.weight": [16, width],
  "embeddings.token_type_embeddings.weight": [2, width],
  "embeddings.LayerNorm.weight": [width],
  "encoder.layer.0.attention.self.query.weight": [width, width],
  "encoder.layer.0.intermediate.dense.weight": [8, width],
  "encoder.layer.0.output.LayerNorm.bias": [width],
  "pooler.dense.weight": [width, width],
};

function safetensors(of: Record<string, number[]>): Buffer {
  const header: Record<string, unknown> = { __metadata__: { format: "pt" } };
  const pieces: Buffer[] = [];
  let offset = 0;
  for (const [name, shape] of Object.entries(of)) {
    const isIds = name.endsWith("position_ids");
    const values = shape.reduce((product, size) => product * size, 1);
    const bytes = isIds
      ? Buffer.alloc(8 * values)
      : Buffer.from(Float32Array.from({ length: values }, (_, index) => index / 8).buffer);
    header[name] = { dtype: isIds ? "I64" : "F32", shape, data_offsets: [offset, offset + bytes.length] };
    pieces.push(bytes);
    offset += bytes.length;
  }
  const json = Buffer.from(JSON.stringify(header));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(json.length));
  return Buffer.concat([length, json, ...pieces]);
}

function files(changes: { config?: object; tokenizer?: object; shapes?: Record<string, number[]> } = {}): BertFiles {
  return {
    name: "small",
    licence: "Apache-2.0",
    config: Buffer.from(JSON.stringify({ ...config, ...changes.config })),
    tokenizer: Buffer.from(JSON.stringify({ ...tokenizer, ...changes.tokenizer })),
    safetensors: safetensors(changes.shapes ?? shapes),
  };
}

const converted = (given = files()) => Buffer.concat([...convertBert(given)]);

test("the file says what it is, and is the same every time", async () => {
  const bytes = converted();
  expect(converted().equals(bytes)).toBe(true);
  const folder = mkdtempSync(join(tmpdir(), "lineshaft-bert-"));
  try {
    writeFileSync(join(folder, "small.gguf"), bytes);
    expect(await readModelShape(join(folder, "small.gguf"))).toEqual({
      kvBytesPerToken: 1 * 2 * 4 * 2,
      trainedContextTokens: 16,
      embeds: true,
    });
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test("tensors get llama.cpp's names, matrices 16 bits; what an embedding does not need is left out", () => {
  const bytes = converted();
  const names = ["token_embd.weight", "position_embd.weight", "blk.0.attn_q.weight", "blk.0.ffn_up.weight"];
  for (const name of [...names, "blk.0.layer_output_norm.bias", "token_embd_norm.weight"])
    expect(bytes.includes(name)).toBe(true);
  for (const name of ["pooler", "position_ids"]) expect(bytes.includes(name)).toBe(false);
  expect(bytes.length % 32).toBe(0);
  // The last tensor is the bias, in 32-bit floats: 0, 1/8, 2/8, 3/8, then the padding.
  const last = bytes.subarray(-32);
  expect([0, 1, 2, 3].map((index) => last.readFloatLE(4 * index))).toEqual([0, 0.125, 0.25, 0.375]);
  // The one before it is a matrix of 8 times 4 halves.
  const matrix = bytes.subarray(-32 - 64, -32);
  expect([0, 1, 31].map((index) => new DataView(matrix.buffer, matrix.byteOffset).getFloat16(2 * index, true))).toEqual(
    [0, 0.125, 3.875],
  );
});

test("tokens that begin a word have a mark, those that go on in one have no hashes", () => {
  const bytes = converted();
  expect(bytes.includes("\u2581pump")).toBe(true);
  expect(bytes.includes("##s")).toBe(false);
  expect(bytes.includes("\u2581[CLS]")).toBe(false);
});

test.each([
  ["of another architecture", files({ config: { architectures: ["RobertaModel"] } })],
  ["with relative positions", files({ config: { position_embedding_type: "relative_key" } })],
  ["with another tokenizer", files({ tokenizer: { model: { type: "BPE" } } })],
  ["with case", files({ tokenizer: { normalizer: { type: "BertNormalizer", lowercase: false } } })],
  ["without a special token", files({ tokenizer: { added_tokens: [] } })],
  ["with a tensor that is not known", files({ shapes: { "encoder.layer.0.adapter.weight": [2] } })],
])("a model %s is refused", (_name, given) => {
  expect(() => converted(given)).toThrow();
});

test("a safetensors file that is cut, or that claims more than it has, is refused", () => {
  const whole = safetensors(shapes);
  expect(readSafetensors(whole)).toHaveLength(Object.keys(shapes).length);
  for (const bytes of [0, 7, 20, whole.length - 4]) expect(() => readSafetensors(whole.subarray(0, bytes))).toThrow();
  const huge = Buffer.from(whole);
  huge.writeBigUInt64LE(2n ** 60n);
  expect(() => readSafetensors(huge)).toThrow("not a safetensors file");
});
