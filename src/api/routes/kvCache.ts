// KV caches, stored responses, conversations, files and batches hold prompts: an owner may have all that is kept of the project's erased,
// in memory and on disk.
import { createRoute } from "@hono/zod-openapi";
import type { ApiDependencies } from "../dependencies.ts";
import { action, apiApp, ofProject } from "../apiApp.ts";
import { answers } from "../helpers.ts";
import { kvCacheErased } from "../../contract/index.ts";

const erase = createRoute({
  method: "delete",
  path: "/api/kv-cache",
  authorise: action("kv_cache.erase", ofProject),
  tags: ["Engines"],
  summary:
    "Erase what is kept of the project's prompts: KV caches, kept answers, stored responses, conversations, batches, files",
  description:
    "Clients that send their whole conversation go on; their next turn is computed anew. Endpoints that keep nothing by project (those that were added) are named: what they keep is theirs to erase.",
  responses: answers("What was erased", kvCacheErased, 502),
});

export function kvCacheRoutes({ engines, gateway, stored, batches, files }: ApiDependencies) {
  return apiApp().openapi(erase, async (c) => {
    const { principal } = c.var;
    await gateway.forget(principal.project);
    const { responses, conversations } = await stored.erase(principal.project);
    const erasedBatches = await batches.erase(principal.project);
    const erasedFiles = await files.erase(principal.project);
    const [erased, not_by_project]: [string[], string[]] = [[], []];
    for (const { endpoint, engine } of engines.list(principal.organisation)) {
      // An endpoint that cannot be reached fails the request, so that an answer never names KV that was not erased.
      const isErased = (await engine.kv?.eraseProject(principal.project)) ?? false;
      (isErased ? erased : not_by_project).push(endpoint);
    }
    return c.json(
      {
        project: principal.project,
        erased,
        not_by_project,
        responses,
        conversations,
        batches: erasedBatches,
        files: erasedFiles,
      },
      200,
    );
  });
}
