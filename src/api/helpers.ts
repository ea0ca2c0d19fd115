// What every route of /api shares beside its authorisation (apiApp.ts): the caller in the request's variables, errors in one shape, and
// cursor pages.
//
// A route throws LineshaftError with a code and never builds an error answer itself.
import type { z } from "@hono/zod-openapi";
import { LineshaftError } from "../errors/index.ts";
import type { Principal } from "../governance/index.ts";
import { apiError } from "../contract/index.ts";

/** Variables that the server sets before a route runs. */
export interface ApiEnv {
  Variables: { principal: Principal; requestId: string };
}

/** A body, query or parameter that fails its schema, as a 400 that names the field. */
export function invalidInput(error: z.core.$ZodError): LineshaftError {
  const issue = error.issues[0];
  const unknown = issue?.code === "unrecognized_keys" ? issue.keys.slice(0, 1) : [];
  const param = issue && [...issue.path, ...unknown].map(String).join(".").slice(0, 200);
  return new LineshaftError({
    code: "invalid_request",
    message: param ? `${param}: ${issue!.message}` : (issue?.message ?? "The request is not valid."),
    param: param || undefined,
    hint: "The expected shape is in /api/docs.",
  });
}

/**
 * JSON answers of a route for `createRoute`: its own, and the error shape for the statuses named. 403 is not named: a route has it by its
 * action (apiApp.ts).
 */
export function answers<Schema extends z.ZodType>(description: string, schema: Schema, ...errors: number[]) {
  return {
    200: { description, content: { "application/json": { schema } } },
    401: failureAnswer(401),
    ...(Object.fromEntries(errors.map((status) => [status, failureAnswer(status)])) as Record<
      never,
      ReturnType<typeof failureAnswer>
    >),
  };
}

/** The error shape for a status, as `createRoute` takes it. */
export function failureAnswer(status: number) {
  return {
    description: errorDescriptions[status] ?? "Refused",
    content: { "application/json": { schema: apiError } },
  };
}

const errorDescriptions: Record<number, string> = {
  400: "The request is not valid",
  401: "No key, or one that is not known",
  403: "The key's role does not allow it",
  404: "There is no such thing",
  409: "It exists already, or is in use",
  502: "The engine could not be reached",
};

/** A thing that the caller does not see, or that does not exist: the two are answered alike. */
export function notFound(what: string, id: string, hint = "It may be another project's, or misspelt."): LineshaftError {
  return new LineshaftError({ code: "not_found", message: `There is no ${what} ${id}.`, hint });
}

/**
 * One page from rows that were asked for with `limit + 1`: the row too many says that there is another page. The cursor is the
 * id of the last row shown; ids sort by time.
 */
export function page<Row extends { id: string }, Item>(
  rows: Row[],
  limit: number,
  toItem: (row: Row) => Item,
): { data: Item[]; next_cursor: string | null } {
  const shown = rows.slice(0, limit);
  return { data: shown.map(toItem), next_cursor: rows.length > limit ? (shown.at(-1)?.id ?? null) : null };
}
