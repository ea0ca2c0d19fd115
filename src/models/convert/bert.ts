// A BERT encoder for sentence embeddings, as its makers publish it (safetensors, tokenizer.json, config.json), written as the GGUF file
// that llama.cpp loads (architecture `bert`). Names of tensors and metadata are those of llama.cpp's convert_hf_to_gguf.py. Matrices become
// 16-bit floats; vectors and the embeddings of positions and token types stay at 32 bits, because llama.cpp adds them.
import { z } from "zod";
import { type GgufTensor, type GgufValue, writeGguf } from "./gguf.ts";
import { readSafetensors, type SafeTensor } from "./safetensors.ts";

/** What is read of config.json. */
const configOf = z.object({
  architectures: z.tuple([z.literal("BertModel")]),
  hidden_act: z.literal("gelu"),
  hidden_size: z.number().int().positive(),
  intermediate_size: z.number().int().positive(),
  layer_norm_eps: z.number().positive(),
  max_position_embeddings: z.number().int().positive(),
  num_attention_heads: z.number().int().positive(),
  num_hidden_layers: z.number().int().positive(),
  position_embedding_type: z.literal("absolute").default("absolute"),
  type_vocab_size: z.number().int().positive(),
});

/** What is read of tokenizer.json: a WordPiece vocabulary with its special tokens. */
const tokenizerOf = z.object({
  normalizer: z.object({ type: z.literal("BertNormalizer"), lowercase: z.literal(true) }),
  model: z.object({
    type: z.literal("WordPiece"),
    continuing_subword_prefix: z.literal("##"),
    vocab: z.record(z.string(), z.number().int().nonnegative()),
  }),
  added_tokens: z.array(z.object({ id: z.number().int(), content: z.string(), special: z.boolean() })),
});

export interface BertFiles {
  name: string;
  licence: string;
  config: Buffer;
  tokenizer: Buffer;
  safetensors: Buffer;
}

/** The GGUF file in pieces. The embedding of a text is the mean of its tokens'. Throws an Error for a model of another kind. */
export function* convertBert(files: BertFiles): Generator<Buffer> {
  const config = configOf.parse(JSON.parse(files.config.toString("utf8")));
  const tokenizer = tokenizerOf.parse(JSON.parse(files.tokenizer.toString("utf8")));
  const metadata = new Map<string, GgufValue>([
    ["general.architecture", { type: "string", value: "bert" }],
    ["general.name", { type: "string", value: files.name }],
    ["general.license", { type: "string", value: files.licence }],
    // Mostly 16-bit floats.
    ["general.file_type", { type: "u32", value: 1 }],
    ["bert.block_count", { type: "u32", value: config.num_hidden_layers }],
    ["bert.context_length", { type: "u32", value: config.max_position_embeddings }],
    ["bert.embedding_length", { type: "u32", value: config.hidden_size }],
    ["bert.feed_forward_length", { type: "u32", value: config.intermediate_size }],
    ["bert.attention.head_count", { type: "u32", value: config.num_attention_heads }],
    ["bert.attention.layer_norm_epsilon", { type: "f32", value: config.layer_norm_eps }],
    ["bert.attention.causal", { type: "bool", value: false }],
    // 1: the mean of all tokens.
    ["bert.pooling_type", { type: "u32", value: 1 }],
    ...vocabulary(tokenizer, config.type_vocab_size),
  ]);
  yield* writeGguf(metadata, tensorsOf(readSafetensors(files.safetensors)));
}

/** Types of tokens in GGUF. */
const tokenTypes = { normal: 1, control: 3 } as const;

function vocabulary(tokenizer: z.infer<typeof tokenizerOf>, types: number): [string, GgufValue][] {
  const special = new Map(
    tokenizer.added_tokens.filter((token) => token.special).map(({ id, content }) => [id, content]),
  );
  const byId: string[] = [];
  for (const [token, id] of Object.entries(tokenizer.model.vocab)) byId[id] = token;
  for (let id = 0; id < byId.length; id++)
    if (byId[id] === undefined) throw new Error(`the vocabulary lacks token ${id}`);
  const idOf = (content: string): GgufValue => {
    const found = [...special].find(([, token]) => token === content);
    if (!found) throw new Error(`the tokenizer has no ${content}`);
    return { type: "u32", value: found[0] };
  };
  return [
    ["tokenizer.ggml.model", { type: "string", value: "bert" }],
    ["tokenizer.ggml.token_type_count", { type: "u32", value: types }],
    ["tokenizer.ggml.tokens", { type: "strings", value: byId.map((token, id) => phantom(token, special.has(id))) }],
    [
      "tokenizer.ggml.token_type",
      { type: "i32s", value: byId.map((_, id) => (special.has(id) ? tokenTypes.control : tokenTypes.normal)) },
    ],
    ["tokenizer.ggml.bos_token_id", idOf("[CLS]")],
    ["tokenizer.ggml.eos_token_id", idOf("[SEP]")],
    ["tokenizer.ggml.unknown_token_id", idOf("[UNK]")],
    ["tokenizer.ggml.seperator_token_id", idOf("[SEP]")],
    ["tokenizer.ggml.padding_token_id", idOf("[PAD]")],
    ["tokenizer.ggml.cls_token_id", idOf("[CLS]")],
    ["tokenizer.ggml.mask_token_id", idOf("[MASK]")],
  ];
}

/** A token as llama.cpp's WordPiece expects it: a mark leads those that begin a word, and `##` is left out of those that go on in one. */
function phantom(token: string, isSpecial: boolean): string {
  if (isSpecial) return token;
  return token.startsWith("##") ? token.slice(2) : `\u2581${token}`;
}

/** Names in a layer, without `.weight` and `.bias`. */
const layerNames: Record<string, string> = {
  "attention.self.query": "attn_q",
  "attention.self.key": "attn_k",
  "attention.self.value": "attn_v",
  "attention.output.dense": "attn_output",
  "attention.output.LayerNorm": "attn_output_norm",
  "intermediate.dense": "ffn_up",
  "output.dense": "ffn_down",
  "output.LayerNorm": "layer_output_norm",
};

const otherNames: Record<string, string> = {
  "embeddings.word_embeddings": "token_embd",
  "embeddings.token_type_embeddings": "token_types",
  "embeddings.position_embeddings": "position_embd",
  "embeddings.LayerNorm": "token_embd_norm",
};

/** Tensors that an embedding does not need: a constant, and the classifier's layer. */
const unused = /^embeddings\.position_ids$|^pooler\./;

/** In the order of their names in the source. Throws an Error for a tensor that is not known. */
function tensorsOf(tensors: readonly SafeTensor[]): GgufTensor[] {
  return tensors
    .filter(({ name }) => !unused.test(name))
    .map((tensor) => {
      const name = ggufName(tensor.name);
      const keeps = tensor.shape.length === 1 || name.startsWith("position_embd") || name.startsWith("token_types");
      return {
        name,
        shape: tensor.shape.toReversed(),
        kind: keeps ? "f32" : "f16",
        data: keeps ? floats(tensor) : halves(tensor),
      };
    });
}

function ggufName(name: string): string {
  const [, base, part] = /^(.+)\.(weight|bias)$/.exec(name) ?? [];
  const [, layer, inside] = /^encoder\.layer\.(\d+)\.(.+)$/.exec(base ?? "") ?? [];
  const known = inside === undefined ? otherNames[base ?? ""] : layerNames[inside];
  if (known === undefined) throw new Error(`the tensor ${name} is not of a BERT encoder`);
  return `${layer === undefined ? "" : `blk.${layer}.`}${known}.${part}`;
}

function floats({ name, type, data }: SafeTensor): Buffer {
  if (type !== "F32") throw new Error(`the tensor ${name} has type ${type}, not F32`);
  return data;
}

/** 32-bit floats rounded to 16 bits, ties to even. */
function halves(tensor: SafeTensor): Buffer {
  const data = floats(tensor);
  const source = new DataView(data.buffer, data.byteOffset, data.length);
  const halved = Buffer.alloc(data.length / 2);
  const target = new DataView(halved.buffer, halved.byteOffset, halved.length);
  for (let index = 0; index < data.length / 4; index++)
    target.setFloat16(index * 2, source.getFloat32(index * 4, true), true);
  return halved;
}
