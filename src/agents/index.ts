export { createAgents, type AgentParts, type Agents } from "./agents.ts";
export type { Dependencies } from "./dependencies.ts";
export { agentNames, agentsAmong, findAgents, runFigures, runsAmong, runsBeginning, searchAgents } from "./find.ts";
export type * from "./record.ts";
export { readAgentFolder } from "./folder.ts";
export { takeRestoredRuns } from "./restored.ts";
export { restateCommand } from "./restate/server.ts";
export type { DurableOptions } from "./restate/durable.ts";
export { carrySecrets, type CarriedSecret } from "./tools/carriedSecrets.ts";
