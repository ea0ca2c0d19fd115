export { relayed, type HouseEvent } from "./resources/live.ts";
export { closeServer, createServer } from "./http/server.ts";
export { agentRoutes } from "./routes/agents.ts";
export { alarmResource } from "./routes/alarms.ts";
export { deploymentRoutes, deploymentVerbs, type DeploymentVerbs } from "./routes/deployments.ts";
export { maintenanceRoutes } from "./routes/maintenance.ts";
export { secretRoutes } from "./routes/secrets.ts";
export {
  componentOf,
  endpointViews,
  instanceStatus,
  type EndpointView,
  type InstanceStatus,
} from "./resources/status.ts";
