export { createAgents, type AgentParts, type Agents, type AgentsOptions } from "./agents.ts";
export type { Dependencies } from "./dependencies.ts";
export {
  agentNames,
  agentsAmong,
  findAgents,
  runFigures,
  runsAmong,
  runsBeginning,
  searchAgents,
  type Named,
  type RunFigures,
} from "./find.ts";
export type * from "./record.ts";
export { readAgentFolder } from "./folder.ts";
export { parseManifest } from "./manifest.ts";
export { manifestJsonSchema, type Manifest } from "./manifestSchema.ts";
export { restateCommand, type RestateCommand } from "./restate/server.ts";
export type { DurableOptions } from "./restate/durable.ts";
export { carrySecrets, type CarriedSecret } from "./tools/carriedSecrets.ts";
