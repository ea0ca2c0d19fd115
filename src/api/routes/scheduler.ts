// GET /api/scheduler: what waits, what endpoints bear, how much is known of caches, and how right that knowledge was.
import { createRoute } from "@hono/zod-openapi";
import type { ServerDependencies } from "../dependencies.ts";
import { action, apiApp, ofOrganisation } from "../apiApp.ts";
import { answers } from "../helpers.ts";
import { schedulerView } from "../../contract/index.ts";

const route = createRoute({
  method: "get",
  path: "/api/scheduler",
  authorise: action("scheduler.read", ofOrganisation),
  tags: ["Engines"],
  summary: "Queues, load and cache knowledge of the scheduler",
  responses: answers(
    "The scheduler's view now, of the endpoints that the caller's organisation may use",
    schedulerView,
  ),
});

export function schedulerRoutes({ engines, gateway }: ServerDependencies) {
  return apiApp().openapi(route, (c) => {
    const { endpoints, waiting, index, truth, programs, splits } = gateway.scheduler();
    const visible = engines.list(c.var.principal.organisation);
    const models = new Set(visible.map(({ name }) => name));
    return c.json(
      {
        deployments: waiting
          .filter(({ name }) => models.has(name))
          .map(({ name, policy, calls, tokens }) => ({
            name,
            policy,
            waiting_calls: calls,
            waiting_tokens: tokens,
          })),
        endpoints: endpoints
          .filter(({ spec }) => models.has(spec.deployment))
          .map(({ spec, load, health, standing = "serving" }) => ({
            endpoint: spec.id,
            deployment: spec.deployment,
            role: spec.role,
            running: load.inFlight,
            health: health === "ready" && standing !== "serving" ? standing : health,
            waiting_tokens: load.prefillTokens,
            kv_tokens: load.kvTokens,
            kv_capacity_tokens: spec.kvCapacityTokens,
            prefill_tokens_per_second: spec.speed.prefillTokensPerSecond,
            decode_tokens_per_second: spec.speed.decodeTokensPerSecond,
          })),
        index: { blocks: index.blocks, bytes: index.bytes, bytes_most: index.maxBytes },
        cached_tokens: {
          calls: truth.calls,
          predicted: truth.predictedTokens,
          reported: truth.reportedTokens,
          gap: truth.gapTokens,
        },
        programs,
        split_calls: splits,
      },
      200,
    );
  });
}
