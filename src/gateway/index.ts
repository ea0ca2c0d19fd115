// What other rooms may use of the gateway. Shapes of calls and answers are documented in types.ts and modelCall.ts.
export { createGateway } from "./pipeline.ts";
export { hasEngine } from "./engines.ts";
export { KeptAnswers } from "./sharing/keptAnswers.ts";
export { ModelRoutes } from "./modelRoutes.ts";
export { watchPrices } from "./prices.ts";
export { restoreEngines, syncEngines } from "./storedEngines.ts";
export {
  attemptsOfCall,
  callsBeginning,
  costsOfCalls,
  listCalls,
  priceOfBatches,
  queuedMsOfRun,
  usageOfRuns,
  type CallCost,
  type CallUsage,
} from "./calls/read.ts";
export { callRecords } from "./calls/post.ts";
export { callFigures, callSeries, prefillSavedMs } from "./calls/figures.ts";
export { recordProof } from "./calls/proof.ts";
export type { AttemptRecord, CallEvent, CallRecord, CandidateRecord, DecisionRecord } from "./calls/record.ts";
export { keepProbing } from "./probing.ts";
export type { CallAnswer, CallRequest, Gateway } from "./types.ts";
export type { Message, Part, Tool } from "../engines/index.ts";
export type { ModelCall } from "./modelCall.ts";
export { chatCall } from "./protocols/chat/compose.ts";
export { PostgresCarrier } from "./scheduling/postgresCarrier.ts";
export type { SchedulerSnapshot } from "../scheduler/index.ts";
