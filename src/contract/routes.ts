// What is said of a model's name: which model serves it, and what follows when it fails.
import { z } from "@hono/zod-openapi";
import { idText, strict, time } from "./common.ts";

/** A model's name, or its beginning with `*` behind it. */
const routeName = z.string().min(1).max(200);
const modelName = z.string().min(1).max(200);

const routeFields = {
  serves: modelName.optional().describe("The model that serves calls of this name: the name is an alias then"),
  fallbacks: z
    .array(modelName)
    .max(8)
    .optional()
    .describe("Models that serve a call which its own model cannot, in their order; each is priced by its own card"),
  retry: strict({
    most: z.number().int().min(1).max(6).optional().describe("Attempts at one model; 3 where absent"),
    wait_most_ms: z
      .number()
      .int()
      .min(0)
      .max(60_000)
      .optional()
      .describe("The longest wait that an engine may ask for by `Retry-After`, with no money held; 0 where absent"),
  }).optional(),
  hedge: strict({
    after_ms: z.number().int().min(1).max(600_000).describe("Milliseconds without a first token"),
    share: z
      .number()
      .min(0)
      .max(1)
      .describe("Of the newest 1,000 calls of each gateway process, the most that get one"),
  })
    .optional()
    .describe(
      "A call that streams and has no token after so long gets a second attempt at another endpoint; the first to answer serves it, and both are billed for what they did",
    ),
  continues: z
    .boolean()
    .optional()
    .describe(
      "Whether an answer of text that breaks off in mid-stream is continued by another endpoint of its model, as an attempt of its own; true where absent",
    ),
  marks: z
    .literal("auto")
    .optional()
    .describe(
      "Prompts of clients that mark nothing are marked for the prompt cache of Anthropic's API; what it writes there has a price of its own",
    ),
  cache: strict({
    projects: z.array(idText).min(1).max(1_000).describe("Ids of the projects whose identical calls share answers"),
    when: z
      .enum(["temperature_0", "any"])
      .optional()
      .describe("temperature_0, the default: calls that say temperature 0"),
    tools: z.boolean().optional().describe("Calls with tools too; false where absent"),
    keep_seconds: z
      .number()
      .int()
      .min(0)
      .max(2_592_000)
      .optional()
      .describe("How long an answer is kept; 0 where absent: only calls that are under way together share it"),
  }).optional(),
};

export const modelRoute = z.object({ model: routeName, ...routeFields, updated_at: time });
export const modelRouteSet = strict({ model: routeName, ...routeFields });

export type ModelRouteResource = z.infer<typeof modelRoute>;
export type ModelRouteSet = z.infer<typeof modelRouteSet>;
