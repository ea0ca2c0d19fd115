// GET /api/scheduler: what waits, what endpoints bear, how much is known of caches, and how right that knowledge was.
import { createRoute } from "@hono/zod-openapi";
import type { ServerDependencies } from "../dependencies.ts";
import type { SchedulerSnapshot } from "../../gateway/index.ts";
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

export function schedulerRoutes({ engines, gateway, schedulers }: ServerDependencies) {
  return apiApp().openapi(route, async (c) => {
    const { endpoints, waiting, workingSets, index, truth, programs, splits } = merged(
      schedulers ? await schedulers() : [gateway.scheduler()],
    );
    const visible = engines.list(c.var.principal.organisation);
    const models = new Set(visible.map(({ name }) => name));
    return c.json(
      {
        deployments: waiting
          .filter(({ name }) => models.has(name))
          .map(({ name, policy, calls, tokens }) => {
            const programs = workingSets.filter(({ deployment }) => deployment === name);
            const sum = (read: (one: (typeof programs)[number]) => number) =>
              programs.reduce((total, one) => total + read(one), 0);
            return {
              name,
              policy,
              waiting_calls: calls,
              waiting_tokens: tokens,
              live_programs: sum(({ live }) => live),
              paused_programs: sum(({ paused }) => paused),
              paused_programs_with_calls: sum((one) => one.waiting),
              working_set_share: sum(({ load }) => load),
            };
          }),
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

/**
 * The schedulers of several processes as one view. Each knows only the calls that wait with it, so these are added up; the load of an
 * endpoint is in each of them that of all processes together, so the largest is the newest.
 */
function merged(
  all: SchedulerSnapshot[],
): Pick<SchedulerSnapshot, "endpoints" | "waiting" | "workingSets" | "index" | "truth" | "programs" | "splits"> {
  const [first, ...others] = all;
  if (others.length === 0) return first!;
  const sum = (read: (one: SchedulerSnapshot) => number) => all.reduce((total, one) => total + read(one), 0);
  const waiting = Map.groupBy(
    all.flatMap((one) => one.waiting),
    ({ name }) => name,
  );
  const endpoints = Map.groupBy(
    all.flatMap((one) => one.endpoints),
    ({ spec }) => spec.id,
  );
  return {
    waiting: [...waiting.values()].map((of) => ({
      ...of[0]!,
      calls: of.reduce((total, { calls }) => total + calls, 0),
      tokens: of.reduce((total, { tokens }) => total + tokens, 0),
    })),
    endpoints: [...endpoints.values()].map((of) =>
      of.reduce((most, one) => (one.load.inFlight > most.load.inFlight ? one : most)),
    ),
    workingSets: all.flatMap((one) => one.workingSets),
    index: {
      ...first!.index,
      blocks: Math.max(...all.map(({ index }) => index.blocks)),
      bytes: sum(({ index }) => index.bytes),
      maxBytes: sum(({ index }) => index.maxBytes),
    },
    truth: {
      ...first!.truth,
      calls: sum(({ truth }) => truth.calls),
      predictedTokens: sum(({ truth }) => truth.predictedTokens),
      reportedTokens: sum(({ truth }) => truth.reportedTokens),
      gapTokens: sum(({ truth }) => truth.gapTokens),
    },
    programs: sum(({ programs }) => programs),
    splits: sum(({ splits }) => splits),
  };
}
