// What a project keeps in stored responses and conversations, and for how long.
import { createRoute } from "@hono/zod-openapi";
import { responseStorage, responseStorageSet } from "../../contract/index.ts";
import type { ProjectStorage } from "../../gateway/responses/storage.ts";
import { action, apiApp, ofProject } from "../apiApp.ts";
import type { ApiDependencies } from "../dependencies.ts";
import { answers } from "../helpers.ts";

const tags = ["Models (OpenAI's shapes)"];
const get = createRoute({
  method: "get",
  path: "/api/response-storage",
  authorise: action("responses.read", ofProject),
  tags,
  summary: "What the project keeps in stored responses and conversations",
  responses: answers("As it is now", responseStorage),
});
const set = createRoute({
  method: "put",
  path: "/api/response-storage",
  authorise: action("responses.configure", ofProject),
  tags,
  summary: "Set how much the project may keep in stored responses, and for how long",
  description:
    "A member that is left out stays as it is; null stands for the installation's own. A shorter retention holds for what is kept already. Other gateway processes know it within seconds.",
  request: { body: { required: true, content: { "application/json": { schema: responseStorageSet } } } },
  responses: answers("As it is now", responseStorage, 400),
});

export function responseStorageRoutes({ stored }: ApiDependencies) {
  return apiApp()
    .openapi(get, async (c) => {
      const { project } = c.var.principal;
      return c.json(resourceOf(project, await stored.storage.read(project)), 200);
    })
    .openapi(set, async (c) => {
      const { project } = c.var.principal;
      const { limit_bytes: mostBytes, retention_days: retentionDays } = c.req.valid("json");
      return c.json(resourceOf(project, await stored.storage.set(project, { mostBytes, retentionDays })), 200);
    });
}

const resourceOf = (project: string, { bytes, mostBytes, retentionDays }: ProjectStorage) => ({
  project,
  bytes,
  limit_bytes: mostBytes,
  retention_days: retentionDays,
});
