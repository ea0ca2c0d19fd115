// What other rooms use of the engines. It only exports.
export type { Engine } from "./engine.ts";
export type { FactReceipt, KvEngine, KvEvent, KvHint, Prefilled, RuntimeFact } from "./kv.ts";
export type * from "./asked.ts";
export * from "./types.ts";
export { engineBaseUrl } from "./baseUrl.ts";
export { createOpenAiEngine } from "./openai/adapter.ts";
export { embeddedWorkers } from "./embedded/fleetWorker.ts";
export { workerEngine, type WorkerEngine } from "./embedded/workerEngine.ts";
export { embeddingFields } from "./wire/embeddings/read.ts";
export { rerankFields } from "./wire/rerank/read.ts";
export { presets } from "./presets/index.ts";
export { EngineRegistry, type Endpoint as RegisteredEndpoint, type EndpointRole } from "./registry.ts";
export { estimateTokens, promptLength } from "./wire/chat/usage.ts";
export { WholeAnswer } from "./wire/chat/assemble.ts";
export { chunkOf } from "./wire/chat/deltas.ts";
export { kindOf, shapeFor, writerOf } from "./wire/writers.ts";
export { bareName, fieldsOfSoftware, knownField, neverAllowed } from "./wire/chat/fields.ts";
export { chatToolName, writeChat } from "./wire/chat/write.ts";
