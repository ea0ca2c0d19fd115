// Google's routes in the API's document, made from the schemas that check their bodies.
import type { OpenAPIHono } from "@hono/zod-openapi";
import { z } from "@hono/zod-openapi";
import { geminiBody, geminiCountBody } from "../gateway/protocols/gemini/schema.ts";
import { geminiBatchEmbedBody, geminiEmbedBody } from "../gateway/protocols/geminiEmbeddings/schema.ts";
import type { Action } from "../governance/index.ts";
import type { ApiEnv } from "./helpers.ts";

const error = z
  .object({
    error: z.object({
      code: z.number().int(),
      message: z.string(),
      status: z.string(),
      details: z.array(z.looseObject({})).describe("ErrorInfo has Lineshaft's own code as its reason"),
    }),
  })
  .openapi("GoogleError");

const refused = (description: string) => ({ description, content: { "application/json": { schema: error } } });
const errors = {
  400: refused("A field is wrong, or not supported by the engine"),
  401: refused("No key, or one that is not known"),
  403: refused("The model has no price, or the budget is spent"),
  404: refused("There is no such model"),
  429: refused("The engine is busy, or a limit on use is reached"),
};
const anyObject = z.looseObject({});
const params = z.object({ model: z.string() });
const tags = ["Models (Google's shapes)"];

export function registerGeminiApi(app: OpenAPIHono<ApiEnv>): void {
  const registry = app.openAPIRegistry;
  const post = (verb: string, action: Action, summary: string, schema: z.ZodType, content: object): void => {
    for (const root of ["/v1beta", "/v1"])
      registry.registerPath({
        method: "post",
        path: `${root}/models/{model}:${verb}`,
        "x-lineshaft-action": action,
        tags,
        summary,
        request: { params, body: { required: true, content: { "application/json": { schema } } } },
        responses: { 200: { description: "The answer", content }, ...errors },
      });
  };
  const json = { "application/json": { schema: anyObject } };
  post("generateContent", "call.create", "An answer, whole", geminiBody, json);
  post("streamGenerateContent", "call.create", "An answer as events; the address ends with ?alt=sse", geminiBody, {
    "text/event-stream": { schema: z.string() },
  });
  post("embedContent", "call.create", "The embedding of a text", geminiEmbedBody, json);
  post("batchEmbedContents", "call.create", "The embeddings of several texts", geminiBatchEmbedBody, json);
  post("countTokens", "models.read", "How many tokens a prompt has", geminiCountBody, json);
  const get = (path: string, summary: string, request: object) =>
    registry.registerPath({
      method: "get",
      path,
      "x-lineshaft-action": "models.read" satisfies Action,
      tags,
      summary,
      request,
      responses: { 200: { description: "Models", content: json }, 401: errors[401], 404: errors[404] },
    });
  get("/v1beta/models", "Models that may be called, in Google's shape", {});
  get("/v1beta/models/{model}", "One model in Google's shape", { params });
}
