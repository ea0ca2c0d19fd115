// Batches with their price: newest first, by cursor. They are made and cancelled by OpenAI's Batch API (/v1/batches)
// and by Anthropic's (/v1/messages/batches).
import { createRoute, z } from "@hono/zod-openapi";
import { batch, batchStatus, idText, pageFields, pageOf, strict } from "../../contract/index.ts";
import { priceOfBatches } from "../../gateway/index.ts";
import { action, apiApp, ofProject } from "../apiApp.ts";
import type { ApiDependencies } from "../dependencies.ts";
import { answers, notFound, page } from "../helpers.ts";
import { batchResource } from "../resources/batch.ts";

const tags = ["Batches"];
const list = createRoute({
  method: "get",
  path: "/api/batches",
  authorise: action("batches.read", ofProject),
  tags,
  summary: "Batches of the project with their price, newest first",
  request: { query: strict({ ...pageFields, status: batchStatus.optional() }) },
  responses: answers("A page of batches", pageOf(batch), 400),
});
const read = createRoute({
  method: "get",
  path: "/api/batches/{id}",
  authorise: action("batches.read", ofProject),
  tags,
  summary: "One batch with its price",
  request: { params: z.object({ id: idText }) },
  responses: answers("The batch", batch, 404),
});

export function batchRoutes({ db, gateway, batches }: ApiDependencies) {
  return apiApp()
    .openapi(list, async (c) => {
      const { limit, cursor, status } = c.req.valid("query");
      const { project, currency } = c.var.principal;
      await gateway.flushed();
      const found = await batches.list(project, { after: cursor, limit, status });
      const price = await priceOfBatches(
        db,
        found.map(({ id }) => id),
      );
      return c.json(
        page(found, limit, (one) => batchResource(one, price(one.id), currency)),
        200,
      );
    })
    .openapi(read, async (c) => {
      const { id } = c.req.valid("param");
      const { project, currency } = c.var.principal;
      await gateway.flushed();
      const found = await batches.get(project, id);
      if (!found) throw notFound("batch", id, "GET /api/batches lists them.");
      const price = await priceOfBatches(db, [id]);
      return c.json(batchResource(found, price(id), currency), 200);
    });
}
