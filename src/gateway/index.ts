// What other rooms may use of the gateway. Shapes of calls and answers are documented in types.ts and modelCall.ts.
export { createGateway } from "./pipeline.ts";
export { hasEngine, restoreEngines } from "./engines.ts";
export { keepProbing } from "./probing.ts";
export { asGatewayError, GatewayError } from "./errors.ts";
export type { AnswerChunk, CallAnswer, CallRecord, CallRequest, Gateway, GatewayDependencies } from "./types.ts";
export type { Message, ModelCall, Tool } from "./modelCall.ts";
export { chatCall } from "./protocols/chat/compose.ts";
export { PostgresCarrier } from "./scheduling/postgresCarrier.ts";
