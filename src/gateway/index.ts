export { createGateway, type Gateway, type GatewayDependencies } from "./pipeline.ts";
export { closeServer, createServer, type ServerDependencies } from "../api/http/server.ts";
export { restoreEngines } from "./engines.ts";
export { keepProbing } from "./probing.ts";
export { asGatewayError, GatewayError } from "./errors.ts";
export { nearest } from "./nearest.ts";
export { answers, ApiError, apiApp, idempotent, notFound, ownerOnly, page, type ApiEnv } from "../api/helpers.ts";
export type { CallAnswer, CallRecord, CallRequest } from "./types.ts";
export { PostgresCarrier } from "./scheduling/postgresCarrier.ts";
