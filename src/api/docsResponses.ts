// Requests for stored responses and conversations in the API's document. Their routes and actions are those of the protocol's own table.
import type { OpenAPIHono } from "@hono/zod-openapi";
import { z } from "@hono/zod-openapi";
import { responses } from "../gateway/protocols/responses/index.ts";
import type { Question } from "../gateway/protocols/types.ts";
import { type ApiEnv } from "./helpers.ts";

/** What each route does. */
const summaries: Readonly<Record<string, string>> = {
  "POST /v1/responses/input_tokens":
    "How many tokens an input has; x-lineshaft-counted says whether the engine counted",
  "GET /v1/responses/{response}":
    "A stored response, also while it runs; with stream=true the events of a background response, after starting_after",
  "DELETE /v1/responses/{response}": "Delete a stored response",
  "POST /v1/responses/{response}/cancel": "Cancel a background response that runs, at whichever process",
  "GET /v1/responses/{response}/input_items": "The input items of a stored response, newest first",
  "POST /v1/conversations": "Create a conversation",
  "GET /v1/conversations/{conversation}": "A conversation",
  "POST /v1/conversations/{conversation}": "Replace the metadata of a conversation",
  "DELETE /v1/conversations/{conversation}": "Delete a conversation",
  "GET /v1/conversations/{conversation}/items": "The items of a conversation, newest first",
  "POST /v1/conversations/{conversation}/items": "Add up to 20 items to a conversation",
  "GET /v1/conversations/{conversation}/items/{item}": "An item of a conversation",
  "DELETE /v1/conversations/{conversation}/items/{item}": "Delete an item of a conversation",
};

const anyObject = z.looseObject({});

/** Adds them to the document. */
export const registerResponsesApi = (app: OpenAPIHono<ApiEnv>): void =>
  registerQuestions(app, responses.questions, summaries);

/** Schemas of a request and of its answer; absent: an object in OpenAI's shape. */
interface QuestionShape {
  query?: z.ZodObject;
  body?: z.ZodType;
  answer?: z.ZodType;
  /** Content type of the answer; application/json where absent. */
  answerType?: string;
}

/** Adds requests that call no model to the document: each with what it does, and with its schemas. Both are named by `METHOD path`. */
export function registerQuestions(
  app: OpenAPIHono<ApiEnv>,
  questions: readonly Question[],
  does: Readonly<Record<string, string>>,
  {
    shapes = {},
    whose = "OpenAI's",
  }: { shapes?: Readonly<Record<string, QuestionShape>>; whose?: "OpenAI's" | "Anthropic's" } = {},
): void {
  for (const { method, path, action, takes } of questions) {
    const { query, body, answer = anyObject, answerType = "application/json" } = shapes[`${method} ${path}`] ?? {};
    const bodyType = takes === "form" ? "multipart/form-data" : "application/json";
    const names = [...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => name!);
    app.openAPIRegistry.registerPath({
      method: method.toLowerCase() as "get" | "post" | "delete",
      path,
      "x-lineshaft-action": action,
      tags: [`Models (${whose} shapes)`],
      summary: does[`${method} ${path}`] ?? path,
      request: {
        params: z.object(Object.fromEntries(names.map((name) => [name, z.string()]))),
        ...(query && { query }),
        ...((body !== undefined || takes !== undefined) && {
          body: { required: true, content: { [bodyType]: { schema: body ?? anyObject } } },
        }),
      },
      responses: {
        200: { description: `In ${whose} shape`, content: { [answerType]: { schema: answer } } },
        401: { description: "No key, or one that is not known" },
        404: { description: "The project has none of that id" },
      },
    });
  }
}
