// The models of one instance: each is fetched once, however many deployments serve it, and its shape is read once.
import { catalogue, findModel } from "./catalogue.ts";
import { ensureModel } from "./ensure.ts";
import { readModelShape, type ModelShape } from "./gguf.ts";
import type { LocalModel, Progress } from "./types.ts";
import { LineshaftError, nearest } from "../errors/index.ts";

interface ModelSources {
  cacheFolder: string;
  /** The model of a deployment that names none: LINESHAFT_MODEL. */
  usual: string | undefined;
  report: { download(progress: Progress): void; note(line: string): void };
  /** Aborts running fetches. */
  signal: AbortSignal;
}

/** A model on this machine; `shape` is undefined when its file lacks it. */
export interface ShapedModel {
  model: LocalModel;
  shape: ModelShape | undefined;
}

/** Fetches each model once; several deployments of one model share the fetch. */
export class ModelShelf {
  readonly #sources: ModelSources;
  readonly #models = new Map<string, Promise<ShapedModel>>();
  /** Names whose last fetch failed. */
  readonly #missing = new Set<string>();

  constructor(sources: ModelSources) {
    this.#sources = sources;
  }

  /** A model of the catalogue or a file. A failed fetch is tried again when `again` is set. Throws LineshaftError. */
  get(wanted: string | undefined, again = false): Promise<ShapedModel> {
    const name = wanted ?? this.#sources.usual;
    const key = name ?? "";
    let model = this.#models.get(key);
    if (!model || (again && this.#missing.has(key))) {
      model = this.#fetch(name);
      this.#models.set(key, model);
      this.#missing.delete(key);
      model.catch(() => this.#missing.add(key));
    }
    return model;
  }

  /**
   * The model of a name or path if it is on this machine; undefined for a catalogue model that is still to be fetched. Throws
   * LineshaftError for a name that the catalogue lacks and for a file that is not a model.
   */
  async asked(wanted: string | undefined): Promise<ShapedModel | undefined> {
    const isPath = wanted !== undefined && /[/\\]/.test(wanted);
    if (wanted !== undefined && !isPath && !findModel(wanted)) throw unknownModel(wanted);
    if (wanted !== undefined && !isPath && (!this.#models.has(wanted) || this.#missing.has(wanted))) return undefined;
    try {
      return await this.get(wanted, true);
    } catch (error) {
      const { code, message, why, hint } = error as { code?: string; message: string; why?: string; hint?: string };
      throw new LineshaftError({
        code: code ?? "model_file_broken",
        status: 400,
        param: "model",
        hint,
        message: why ? `${message} ${why}` : message,
      });
    }
  }

  async #fetch(name: string | undefined): Promise<ShapedModel> {
    const { cacheFolder, report, signal } = this.#sources;
    const model = await ensureModel(name, {
      cacheFolder,
      onProgress: (progress) => report.download(progress),
      onFailure: (line) => report.note(line),
      signal,
    });
    const shape = await readModelShape(model.path);
    return { model: { ...model, embeds: shape?.embeds ?? false }, shape };
  }
}

function unknownModel(wanted: string): LineshaftError {
  const names = catalogue.map(({ name }) => name);
  const near = nearest(wanted, names);
  return new LineshaftError({
    code: "model_unknown",
    message: `No model is named ${wanted}.`,
    param: "model",
    hint: `${near === undefined ? "" : `Did you mean ${near}? `}The catalogue has ${names.join(", ")}.`,
  });
}
