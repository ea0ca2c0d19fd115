export { Disk } from "./disk.ts";
export { programEnvironment } from "./environment.ts";
export { explainEnding } from "./errors.ts";
export { Home, type Credentials, type MainRecord, type Secrets } from "./home.ts";
export { bindShared, type SharedListener } from "./listener.ts";
export { endOrphans, endOrphansOf } from "./orphans.ts";
export { assertPortFree, freePort, isLoopback, portError, portHolder } from "./ports.ts";
export { commandLine, treeMemory } from "./processes.ts";
export { Supervisor } from "./supervisor.ts";
export type { ChildSpec, ChildState, ChildStatus, SupervisorOptions } from "./types.ts";
export * from "./manifest.ts";
export * from "./deployments/types.ts";
export {
  checkDeployment,
  deploymentJsonSchema,
  deploymentManifest,
  deploymentName,
  manifestOf,
  parseDeployment,
  type DeploymentManifest,
} from "./deployments/manifest.ts";
export { shortageText } from "./deployments/memory.ts";
export { shortageOf, type FleetWorker, type Machine, type WantedDeployment } from "./deployments/plan.ts";
export { Reconciler, type WorkerHands } from "./deployments/reconciler.ts";
export { Deployments, type DeploymentState, type Hands as DeploymentHands } from "./deployments/deployments.ts";
export { contextNotes, threadNotes } from "./deployments/notes.ts";
export { deploymentNames, DeploymentTable } from "./deployments/table.ts";
