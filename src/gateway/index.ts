export { createGateway, type Gateway, type GatewayDependencies } from "./pipeline.ts";
export { hasEngine, restoreEngines } from "./engines.ts";
export { keepProbing } from "./probing.ts";
export { asGatewayError, GatewayError } from "./errors.ts";
export type { CallAnswer, CallRecord, CallRequest } from "./types.ts";
export { PostgresCarrier } from "./scheduling/postgresCarrier.ts";
