// The API's document at /api/openapi.json, made from the schemas that check requests, those of /v1 included. The page at /api/docs
// renders it (console/reference/).
import type { OpenAPIHono } from "@hono/zod-openapi";
import { z } from "@hono/zod-openapi";
import { chatBody } from "../gateway/protocols/chat/schema.ts";
import { completionBody } from "../gateway/protocols/completions/schema.ts";
import { embeddingsBody } from "../gateway/protocols/embeddings/schema.ts";
import { rerankBody } from "../gateway/protocols/rerank/schema.ts";
import { responsesBody } from "../gateway/protocols/responses/schema.ts";
import type { Action } from "../governance/index.ts";
import { registerAnthropicApi } from "./anthropicDocs.ts";
import { registerBatchApi } from "./docsBatches.ts";
import { registerResponsesApi } from "./docsResponses.ts";
import { registerGeminiApi } from "./geminiDocs.ts";
import { failureAnswer, type ApiEnv } from "./helpers.ts";

const openAiError = z
  .object({
    error: z.object({
      message: z.string(),
      type: z.string(),
      param: z.string().nullable(),
      code: z.string(),
      hint: z.string().optional().describe("What to do next"),
    }),
  })
  .openapi("OpenAIError");

const refused = (description: string) => ({ description, content: { "application/json": { schema: openAiError } } });
const errors = {
  400: refused("A field is wrong, or not supported by the engine; `param` names it"),
  401: refused("No key, or one that is not known"),
  403: refused("The model has no price"),
  404: refused("There is no such model; the nearest name is in `hint`"),
  429: refused(
    "A budget does not allow the call (`insufficient_quota`), other calls hold the rest of it, or the engine is busy (`Retry-After`)",
  ),
  502: refused("The engine failed, or its answer breaks what was asked"),
};
const anyObject = z.looseObject({});

function registerModelApi(app: OpenAPIHono<ApiEnv>): void {
  const registry = app.openAPIRegistry;
  const tags = ["Models (OpenAI's shapes)"];
  for (const [path, summary, schema, answer] of [
    [
      "/v1/chat/completions",
      "A chat completion, streamed or whole",
      chatBody,
      "An object of kind chat.completion, or events of its chunks that end with [DONE]",
    ],
    [
      "/v1/completions",
      "A text completion, streamed or whole",
      completionBody,
      "An object of kind text_completion, or events of its chunks that end with [DONE]",
    ],
    [
      "/v1/responses",
      "A response, streamed or whole",
      responsesBody,
      "An object of kind response, or events from response.created to response.completed, response.incomplete or response.failed",
    ],
    [
      "/v1/responses/compact",
      "A conversation as a summary that later turns go on from",
      responsesBody,
      "An object of kind response.compaction: the messages of the user, then an item of type compaction",
    ],
    [
      "/v1/embeddings",
      "Embeddings of texts",
      embeddingsBody,
      "An object of kind list with an embedding for each text, as numbers or in base64 (32-bit floats, little-endian)",
    ],
    ["/v1/rerank", "Which documents answer a query best", rerankBody, "An object with results, the best first"],
    ["/rerank", "The same as /v1/rerank", rerankBody, "An object with results, the best first"],
    [
      "/v2/rerank",
      "The same in Cohere's shape",
      rerankBody,
      "An object with results, the best first, and billed units",
    ],
  ] as const)
    registry.registerPath({
      method: "post",
      path,
      "x-lineshaft-action": "call.create" satisfies Action,
      tags,
      summary,
      description:
        "Fields that the model's engine does not honour are refused by name. Headers of the answer: x-lineshaft-call, x-lineshaft-decision, x-lineshaft-engine, the price (x-lineshaft-price-nano, for streams the most it can be: x-lineshaft-price-nano-most), x-lineshaft-currency, and what is left of the tightest budget (x-lineshaft-budget, x-lineshaft-budget-left-nano).",
      request: { body: { required: true, content: { "application/json": { schema } } } },
      responses: {
        200: {
          description: answer,
          content: { "application/json": { schema: anyObject }, "text/event-stream": { schema: z.string() } },
        },
        ...errors,
      },
    });
  const model = z.looseObject({
    id: z.string(),
    object: z.literal("model"),
    created: z.number(),
    owned_by: z.string(),
    kind: z.enum(["generate", "embed", "rerank"]).describe("What it does with a call"),
    max_model_len: z.number().optional().describe("Longest prompt plus output, in tokens, where its engine says it"),
  });
  registry.registerPath({
    method: "get",
    path: "/v1/models",
    "x-lineshaft-action": "models.read" satisfies Action,
    tags,
    summary: "Models that may be called; with the header anthropic-version in Anthropic's shape",
    responses: {
      200: {
        description: "The list",
        content: { "application/json": { schema: z.object({ object: z.literal("list"), data: z.array(model) }) } },
      },
      401: errors[401],
    },
  });
  registry.registerPath({
    method: "get",
    path: "/v1/models/{model}",
    "x-lineshaft-action": "models.read" satisfies Action,
    tags,
    summary: "One model",
    request: { params: z.object({ model: z.string() }) },
    responses: {
      200: { description: "The model", content: { "application/json": { schema: model } } },
      401: errors[401],
      404: errors[404],
    },
  });
  registry.registerPath({
    method: "get",
    path: "/healthz",
    tags: ["Status"],
    summary: "Whether calls can be served",
    security: [],
    responses: {
      200: { description: "Yes", content: { "application/json": { schema: z.object({ status: z.literal("ok") }) } } },
    },
  });
  registry.registerPath({
    method: "get",
    path: "/metrics",
    "x-lineshaft-action": "metrics.read" satisfies Action,
    tags: ["Status"],
    summary: "Prometheus metrics; without a key only where Lineshaft listens on loopback alone, else with an owner's",
    responses: {
      200: { description: "Text format", content: { "text/plain": { schema: z.string() } } },
      401: failureAnswer(401),
      403: failureAnswer(403),
    },
  });
}

/** Markdown. Errors answer `/api/docs#errors` as their documentation, which is its section of that name. */
const about = `Amounts are integer nano-units beside their currency: 1000000000 is 1.00. Times are RFC 3339. Lists answer
\`{data, next_cursor}\`. Requests that create something take an \`Idempotency-Key\`.

## Errors

Under \`/api\` an error is \`{error: {code, message, hint, docs, request_id}}\`; under \`/v1\` it has the shape of the
protocol's own API (OpenAI's, Anthropic's) with a \`code\`. Codes are stable: programs can rely on them.
`;

export function openApiDocument(app: OpenAPIHono<ApiEnv>): object {
  registerModelApi(app);
  registerResponsesApi(app);
  registerBatchApi(app);
  registerAnthropicApi(app);
  registerGeminiApi(app);
  app.openAPIRegistry.registerComponent("securitySchemes", "key", { type: "http", scheme: "bearer" });
  return app.getOpenAPI31Document({
    openapi: "3.1.0",
    info: {
      title: "Lineshaft",
      version: "0.1.0",
      description: about,
    },
    security: [{ key: [] }],
  });
}
