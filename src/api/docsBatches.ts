// Requests for batches and their files in the API's document. Their routes and actions are those of the protocol's own tables.
import type { OpenAPIHono } from "@hono/zod-openapi";
import { batchQuestions } from "../gateway/batches/batchRoutes.ts";
import { fileQuestions } from "../gateway/batches/fileRoutes.ts";
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
};

/** Adds them to the document. */
export const registerBatchApi = (app: OpenAPIHono<ApiEnv>): void =>
  registerQuestions(app, [...fileQuestions, ...batchQuestions], summaries);
