// What is told as it happens, and what a search finds.
import { z } from "@hono/zod-openapi";
import { run, step } from "./agents.ts";
import { batchStatus } from "./batches.ts";
import { call } from "./calls.ts";
import { alarm, componentStatus } from "./status.ts";

/** Server-sent events of /api/events: `event` is `type`, `id` a sequence for Last-Event-ID, `data` the object named here. */
export const liveEvent = z.discriminatedUnion("type", [
  z.object({ type: z.literal("call"), call }),
  z.object({ type: z.literal("run"), run }),
  z.object({
    type: z.literal("batch"),
    batch: z.object({ id: z.string(), status: batchStatus }).describe("It is in this state now"),
  }),
  z.object({ type: z.literal("step"), run: z.string(), step }),
  z.object({ type: z.literal("component"), component: componentStatus }),
  z.object({ type: z.literal("alarm"), change: z.enum(["raised", "gone"]), alarm }),
]);

export const searchResults = z.object({
  data: z.array(z.object({ kind: z.enum(["model", "agent", "run", "call", "key"]), id: z.string(), name: z.string() })),
});

export type LiveEvent = z.infer<typeof liveEvent>;
