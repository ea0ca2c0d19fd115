// Every route of the surface, made without the parts behind it: what is declared can be read without a database.
import { allRoutes } from "../app.ts";
import type { ApiApp } from "../apiApp.ts";
import type { ApiDependencies } from "../dependencies.ts";
import { agentRoutes } from "../routes/agents.ts";
import { deploymentRoutes } from "../routes/deployments.ts";
import { maintenanceRoutes } from "../routes/maintenance.ts";
import { secretRoutes } from "../routes/secrets.ts";

/** Dependencies of a server with all routes that the composition root gives (instance/start.ts). No request reaches what they stand for. */
export function everyRouteDependencies(): ApiDependencies {
  const nothing = {} as never;
  return {
    routes: [
      agentRoutes({ dependencies: {} } as never),
      deploymentRoutes(nothing),
      maintenanceRoutes(nothing),
      secretRoutes(nothing),
    ],
  } as unknown as ApiDependencies;
}

export function everyRoute(): ApiApp {
  return allRoutes(everyRouteDependencies(), () => {
    throw new TypeError("The document is not asked for here.");
  });
}
