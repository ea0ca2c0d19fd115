// What every route of /api shares, for this room's routes and those that other rooms bring: an app with the caller in it,
// errors in one shape, cursor pages, and creations that may be repeated.
//
// A room's routes carry their whole path (`/api/runs`), ask `c.var.principal` who calls (the server has authenticated before),
// and throw ApiError (or any GatewayError); they never build an error answer themselves.
import { hash } from "node:crypto";
import { OpenAPIHono, type createRoute, type z } from "@hono/zod-openapi";
import type { Context, MiddlewareHandler } from "hono";
import type { Principal } from "../governance/types.ts";
import { GatewayError } from "../gateway/errors.ts";
import { limits } from "../gateway/limits.ts";
import { apiError, strict } from "../contract/index.ts";

export { GatewayError as ApiError } from "../gateway/errors.ts";

/** Variables that the server sets before a route runs. */
export interface ApiEnv {
  Variables: { principal: Principal; requestId: string };
}

/**
 * An app for a room's routes; a body or query that fails its schema becomes a 400 that names the field. What a route does not name
 * it does not take: a query parameter or a body that it has no schema for is refused, never ignored.
 */
export function apiApp(): OpenAPIHono<ApiEnv> {
  const app = new OpenAPIHono<ApiEnv>({
    defaultHook: (result) => {
      if (!result.success) throw invalidInput(result.error);
    },
  });
  const open = app.openapi;
  app.openapi = ((route: RouteConfig, ...rest: [never]) => open(closed(route), ...rest)) as typeof app.openapi;
  return app;
}

type RouteConfig = Parameters<typeof createRoute>[0];

function closed(route: RouteConfig): RouteConfig {
  const given = route.middleware ?? [];
  const middleware = route.request?.body ? given : [refuseBody, ...(Array.isArray(given) ? given : [given])];
  return { ...route, middleware, request: { ...route.request, query: route.request?.query ?? strict({}) } };
}

/** Refuses a body where none is taken; an empty object says nothing, so it may come. */
const refuseBody: MiddlewareHandler<ApiEnv> = async (c, next) => {
  if (Number(c.req.header("content-length") ?? 0) > 2) {
    const field = Object.keys((await c.req.json<object | null>().catch(() => ({ body: null }))) ?? {})[0];
    if (field !== undefined)
      throw new GatewayError({
        status: 400,
        code: "invalid_request",
        message: `\`${field.slice(0, 100)}\` is not known here. ${c.req.method} ${c.req.path} takes no body.`,
        param: field.slice(0, 100),
        hint: "Send it without a body.",
      });
  }
  return next();
};

export function invalidInput(error: z.core.$ZodError): GatewayError {
  const issue = error.issues[0];
  const unknown = issue?.code === "unrecognized_keys" ? issue.keys.slice(0, 1) : [];
  const param = issue && [...issue.path, ...unknown].map(String).join(".").slice(0, 200);
  return new GatewayError({
    status: 400,
    code: "invalid_request",
    message: param ? `${param}: ${issue!.message}` : (issue?.message ?? "The request is not valid."),
    param: param || undefined,
    hint: "The expected shape is in /api/docs.",
  });
}

/** JSON answers of a route for `createRoute`: its own, and the error shape for the statuses named. */
export function answers<Schema extends z.ZodType>(description: string, schema: Schema, ...errors: number[]) {
  const failure = (status: number) => ({
    description: errorDescriptions[status] ?? "Refused",
    content: { "application/json": { schema: apiError } },
  });
  return {
    200: { description, content: { "application/json": { schema } } },
    401: failure(401),
    ...(Object.fromEntries(errors.map((status) => [status, failure(status)])) as Record<
      never,
      ReturnType<typeof failure>
    >),
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

/** Refuses callers that are not owners of the organisation. */
export function ownerOnly(principal: Principal, action: string): void {
  if (principal.role === "owner") return;
  throw new GatewayError({
    status: 403,
    code: "owner_only",
    message: `Only an owner's key may ${action}.`,
    hint: "Use the key in LINESHAFT_HOME/credentials, or ask an owner.",
  });
}

/** What a caller may see: an owner its organisation, a member its project (null: every project). */
export function reachOf({ organisation, project, role }: Principal): [organisation: string, project: string | null] {
  return [organisation, role === "owner" ? null : project];
}

export function notFound(what: string, id: string, hint = "It may be another project's, or misspelt."): GatewayError {
  return new GatewayError({ status: 404, code: "not_found", message: `There is no ${what} ${id}.`, hint });
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

interface Creation {
  at: number;
  /** Of the body, which may be long. */
  digest: string;
  answer: Promise<unknown>;
}

/** Creations of each organisation by name, oldest first. Bounded for each, so that none pushes out another's. */
const remembered = new Map<string, Map<string, Creation>>();

/**
 * A creation that may be sent again: with the same `Idempotency-Key` (and the same route, key and body) the first answer is
 * given once more. Kept in memory for a day, a bounded number for each organisation, because one of the answers holds a secret that is
 * never stored; what must survive a restart keeps the key in its own table, as runs do.
 */
export async function idempotent<Answer>(
  c: Context<ApiEnv>,
  body: unknown,
  create: () => Promise<Answer>,
): Promise<Answer> {
  const key = c.req.header("idempotency-key");
  if (key === undefined) return create();
  if (key.length > 200)
    throw new GatewayError({
      status: 400,
      code: "invalid_header",
      message: `idempotency-key has ${key.length} characters.`,
      param: "idempotency-key",
      hint: "Give at most 200, such as a UUID.",
    });
  const { organisation, key: caller } = c.var.principal;
  const name = JSON.stringify([caller, c.req.method, c.req.path, key]);
  const digest = hash("sha256", JSON.stringify(body), "base64");
  const creations = remembered.get(organisation) ?? new Map<string, Creation>();
  remembered.set(organisation, creations);
  const now = Date.now();
  for (const [oldest, { at }] of creations) {
    if (now - at < limits.creationRememberedMs) break;
    creations.delete(oldest);
  }
  const known = creations.get(name);
  if (known?.digest === digest) return known.answer as Promise<Answer>;
  if (known)
    throw new GatewayError({
      status: 409,
      code: "idempotency_mismatch",
      message: "This Idempotency-Key was used with another body.",
      hint: "Use a new key for a new request.",
    });
  const answer = create();
  const creation = { at: now, digest, answer };
  creations.set(name, creation);
  // A creation that failed made nothing: the next try is a new one.
  answer.catch(() => creations.get(name) === creation && creations.delete(name));
  const [oldest] = creations.keys();
  if (creations.size > limits.creationsRemembered) creations.delete(oldest!);
  return answer;
}
