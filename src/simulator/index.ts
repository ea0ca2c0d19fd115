// What other rooms use of the simulator. It only exports.
export { runCalibrateCommand, runPlanCommand, runSimulateCommand } from "./commands.ts";
export type { CalibrateOptions, CommandResult, PlanOptions, Progress, SimulateOptions } from "./commands.ts";
export { fitProfile, measureEndpoint } from "./calibrate.ts";
export type { FittedProfile, MeasuredRow, ProbeAnswer, ProbeRequest, ProfileFrame, Send } from "./calibrate.ts";
export { profileSchema, type EngineProfile } from "./engine/profile.ts";
export { fleetSchema, parseFleet, readFleet, type Fleet, type FleetInput } from "./fleet.ts";
export {
  parsePlan,
  planFleet,
  planSchema,
  smallestFleet,
  type Plan,
  type PlanAnswer,
  type PlanRequest,
} from "./plan.ts";
export { loadProfile, profileNames } from "./profiles/index.ts";
export { htmlReport } from "./report/html.ts";
export { jsonReport } from "./report/json.ts";
export { summarise, type RunSummary } from "./report/summary.ts";
export { counterfactuals, type Counterfactual } from "./run/counterfactual.ts";
export { runExperiment, type Experiment, type ExperimentOptions } from "./run/experiment.ts";
export { simulate, type SimulationResult } from "./run/simulation.ts";
export { callLogSchema, type CallLogLine } from "./traces/callLog.ts";
export { openWorkload, traceFormats, type OpenOptions, type TraceFormat } from "./traces/open.ts";
export { SimulatorError, type SimCall, type Workload } from "./types.ts";
