// What other rooms use of the simulator. It only exports.
export { runCalibrateCommand, runPlanCommand, runSimulateCommand } from "./commands.ts";
export type { ProbeAnswer, ProbeRequest, Send } from "./calibrate.ts";
export { profileSchema } from "./engine/profile.ts";
export { parseFleet } from "./fleet.ts";
export { parsePlan, smallestFleet } from "./plan.ts";
export { jsonReport } from "./report/json.ts";
export { simulate } from "./run/simulation.ts";
