// What other rooms may use of the gateway. Shapes of calls and answers are documented in types.ts and modelCall.ts.
export { createGateway } from "./pipeline.ts";
export { hasEngine, listEngines, restoreEngines, type EngineRecord } from "./engines.ts";
export {
  attemptsOfCall,
  callsBeginning,
  costsOfCalls,
  listCalls,
  queuedMsOfRun,
  usageOfRuns,
  type CallCost,
  type CallFilter,
  type CallUsage,
} from "./calls/read.ts";
export {
  callFigures,
  callSeries,
  prefillSavedMs,
  type CallFigures,
  type CallPoint,
  type Range,
} from "./calls/figures.ts";
export type {
  AttemptRecord,
  BilledTokens,
  CallEvent,
  CallRecord,
  CandidateRecord,
  DecisionRecord,
  EndedCall,
  Phase,
} from "./calls/record.ts";
export { keepProbing } from "./probing.ts";
export { asLineshaftError } from "./errors.ts";
export type { AnswerChunk, CallAnswer, CallRequest, Gateway, GatewayDependencies } from "./types.ts";
export type { Message, ModelCall, Tool } from "./modelCall.ts";
export { chatCall } from "./protocols/chat/compose.ts";
export { PostgresCarrier } from "./scheduling/postgresCarrier.ts";
