// What a person may ask of the whole instance when something went wrong.
import { createRoute, z } from "@hono/zod-openapi";
import type { Agents } from "../../agents/index.ts";
import { idText, strict } from "../../contract/index.ts";
import { action, apiApp, ofInstance } from "../apiApp.ts";
import { answers } from "../helpers.ts";

const rebuild = createRoute({
  method: "post",
  path: "/api/maintenance/rebuild",
  authorise: action("runs.rebuild", ofInstance),
  tags: ["Status"],
  summary: "Start every unfinished run that Restate does not hold again from Postgres",
  responses: answers("How many runs were started again", z.object({ runs: z.number().int() })),
});

const resume = createRoute({
  method: "post",
  path: "/api/maintenance/resume",
  authorise: action("runs.resume", ofInstance),
  tags: ["Status"],
  summary: "Let runs that a restore has paused go on",
  request: {
    body: {
      content: {
        "application/json": {
          schema: strict({
            run: idText.optional().describe("One run; without it, every run that a restore has paused"),
          }),
        },
      },
      required: true,
    },
  },
  responses: answers("How many runs go on", z.object({ runs: z.number().int() })),
});

/** Routes of /api/maintenance: unfinished runs are started again from Postgres, and runs that a restore has paused go on. */
export function maintenanceRoutes(agents: Pick<Agents, "rebuild" | "resumeRestored">) {
  return apiApp()
    .openapi(rebuild, async (c) => c.json({ runs: await agents.rebuild() }, 200))
    .openapi(resume, async (c) => c.json({ runs: await agents.resumeRestored(c.req.valid("json").run) }, 200));
}
