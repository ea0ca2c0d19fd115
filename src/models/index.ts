export { catalogue, defaultEmbeddingModel, defaultModel, findModel } from "./catalogue.ts";
export { verifyCached } from "./cache.ts";
export { ensureModel, type EnsureOptions } from "./ensure.ts";
export { readModelShape, type ModelShape } from "./gguf.ts";
export { defaultRates, type DefaultRates } from "./rates.ts";
export { type CatalogueModel, type LocalModel, type Progress } from "./types.ts";
export { ModelShelf, type ShapedModel } from "./shelf.ts";
