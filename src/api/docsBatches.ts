// Requests for batches and their files in the API's document. Their routes and actions are those of the protocol's own tables.
import type { OpenAPIHono } from "@hono/zod-openapi";
import { z } from "@hono/zod-openapi";
import { batchCreate, batchObject, fileObject, fileUpload } from "../contract/index.ts";
import { batchQuestions } from "../gateway/batches/batchRoutes.ts";
import { fileQuestions } from "../gateway/batches/fileRoutes.ts";
import { messageBatchQuestions } from "../gateway/batches/messageRoutes.ts";
import { registerQuestions } from "./docsResponses.ts";
import type { ApiEnv } from "./helpers.ts";

/** What each route does. */
const summaries: Readonly<Record<string, string>> = {
  "POST /v1/files": "Upload an input file: a form with `file` and `purpose` (`batch`)",
  "GET /v1/files": "Files of the project, newest first",
  "GET /v1/files/{file}": "A file",
  "GET /v1/files/{file}/content": "The bytes of a file",
  "DELETE /v1/files/{file}": "Delete a file",
  "POST /v1/batches": "Serve the requests of an input file within 24 hours, at batch prices",
  "GET /v1/batches": "Batches of the project, newest first",
  "GET /v1/batches/{batch}": "A batch",
  "POST /v1/batches/{batch}/cancel": "Begin no further request of a batch",
  "POST /v1/messages/batches":
    "Serve messages within 24 hours, at batch prices: `requests` of `custom_id` and `params`",
  "GET /v1/messages/batches": "Batches of messages of the project, newest first",
  "GET /v1/messages/batches/{batch}": "A batch of messages",
  "POST /v1/messages/batches/{batch}/cancel": "Begin no further request of a batch of messages",
  "GET /v1/messages/batches/{batch}/results": "The results of a batch that has ended, one JSON object a line",
  "DELETE /v1/messages/batches/{batch}": "Delete a batch that has ended, with its results",
};

const listOf = (item: z.ZodType) =>
  z.object({
    object: z.literal("list"),
    data: z.array(item),
    first_id: z.string().nullable(),
    last_id: z.string().nullable(),
    has_more: z.boolean(),
  });
const pageQuery = z.object({
  limit: z.number().int().min(1).optional(),
  after: z.string().optional().describe("`last_id` of the page before"),
});

const shapes = {
  "POST /v1/files": { body: fileUpload, answer: fileObject },
  "GET /v1/files": {
    query: pageQuery.extend({ order: z.enum(["asc", "desc"]).optional(), purpose: z.string().optional() }),
    answer: listOf(fileObject),
  },
  "GET /v1/files/{file}": { answer: fileObject },
  "GET /v1/files/{file}/content": {
    answer: z.string().openapi({ type: "string", format: "binary" }),
    answerType: "application/octet-stream",
  },
  "DELETE /v1/files/{file}": {
    answer: z.object({ id: z.string(), object: z.literal("file"), deleted: z.literal(true) }),
  },
  "POST /v1/batches": { body: batchCreate, answer: batchObject },
  "GET /v1/batches": { query: pageQuery, answer: listOf(batchObject) },
  "GET /v1/batches/{batch}": { answer: batchObject },
  "POST /v1/batches/{batch}/cancel": { answer: batchObject },
};

/** Adds them to the document. */
export function registerBatchApi(app: OpenAPIHono<ApiEnv>): void {
  registerQuestions(app, [...fileQuestions, ...batchQuestions], summaries, { shapes });
  registerQuestions(app, messageBatchQuestions, summaries, { whose: "Anthropic's" });
}
