// Anthropic's routes in the API's document, made from the schemas that check their bodies.
import type { OpenAPIHono } from "@hono/zod-openapi";
import { z } from "@hono/zod-openapi";
import { countBody, messagesBody } from "../gateway/protocols/messages/schema.ts";
import type { Action } from "../governance/index.ts";
import type { ApiEnv } from "./helpers.ts";

const error = z
  .object({
    type: z.literal("error"),
    error: z.object({ type: z.string(), message: z.string(), code: z.string() }),
    request_id: z.string().optional(),
  })
  .openapi("AnthropicError");

const refused = (description: string) => ({ description, content: { "application/json": { schema: error } } });
const errors = {
  400: refused("A field is wrong, or not supported by the engine; or the budget is spent (`billing_error`)"),
  401: refused("No key, or one that is not known"),
  403: refused("The model has no price"),
  404: refused("There is no such model"),
  429: refused("The engine is busy, or a limit on use is reached (`Retry-After`)"),
  529: refused("No endpoint can take the call now, or other calls hold the rest of a budget: try again"),
};
const anyObject = z.looseObject({});

export function registerAnthropicApi(app: OpenAPIHono<ApiEnv>): void {
  const tags = ["Models (Anthropic's shapes)"];
  app.openAPIRegistry.registerPath({
    method: "post",
    path: "/v1/messages",
    "x-lineshaft-action": "call.create" satisfies Action,
    tags,
    summary: "A message, streamed or whole",
    description:
      "Fields and blocks that the model's engine does not honour are refused by name; tools that Anthropic's servers run are left out and named in x-lineshaft-left-out. Headers of the answer are those of chat completions.",
    request: { body: { required: true, content: { "application/json": { schema: messagesBody } } } },
    responses: {
      200: {
        description: "A message, or events from message_start to message_stop",
        content: { "application/json": { schema: anyObject }, "text/event-stream": { schema: z.string() } },
      },
      ...errors,
    },
  });
  app.openAPIRegistry.registerPath({
    method: "post",
    path: "/v1/messages/count_tokens",
    "x-lineshaft-action": "models.read" satisfies Action,
    tags,
    summary: "How many tokens a prompt has; x-lineshaft-counted says whether the engine counted or they were estimated",
    request: { body: { required: true, content: { "application/json": { schema: countBody } } } },
    responses: {
      200: {
        description: "The number of tokens",
        content: { "application/json": { schema: z.object({ input_tokens: z.number().int() }) } },
      },
      400: errors[400],
      401: errors[401],
      404: errors[404],
    },
  });
}
