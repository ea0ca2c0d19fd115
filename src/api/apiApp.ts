// The routes of a resource, each with its authorisation beside it: which action it is, and on what. A route can only be added with such a
// declaration (a route that is public says so), and its handler runs only when governance allows that action. The decision comes
// after the check of the request's shape, so a request of the wrong shape is answered 400 whatever its caller's role.
import { OpenAPIHono, type RouteConfig, type RouteHandler } from "@hono/zod-openapi";
import type { Context, Handler, MiddlewareHandler } from "hono";
import { LineshaftError } from "../errors/index.ts";
import { assertAuthorised, isForOwners, type Action, type Resource } from "../governance/index.ts";
import { strict } from "../contract/index.ts";
import { failureAnswer, invalidInput, type ApiEnv } from "./helpers.ts";

/** What a route does, and to what. */
interface Authorisation {
  action: Action;
  /** What it is done to, for this request. A thing that must be read first is read here; it throws 404 where there is none. */
  resource: (c: Context<ApiEnv>) => Resource | Promise<Resource>;
}

/** The authorisation of a route. */
export function action(name: Action, resource: Authorisation["resource"]): Authorisation {
  return { action: name, resource };
}

/** The caller's own organisation: things are looked up in it by the route. */
export const ofOrganisation = (c: Context<ApiEnv>): Resource => ({ organisation: c.var.principal.organisation });
/** The caller's own project. */
export const ofProject = (c: Context<ApiEnv>): Resource => ({
  organisation: c.var.principal.organisation,
  project: c.var.principal.project,
});
/** The instance, which belongs to no organisation. */
export const ofInstance = (): Resource => ({});

/** A route of the document with its authorisation. */
type Declared = RouteConfig & { authorise: Authorisation };
/** The authorisation of a route, or `public` for a route that needs no key. */
type Declaration = Authorisation | "public";

export function apiApp(): ApiApp {
  return new ApiApp();
}

export class ApiApp {
  readonly #app = new OpenAPIHono<ApiEnv>({
    defaultHook: (result) => {
      if (!result.success) throw invalidInput(result.error);
    },
  });
  readonly #declarations = new Map<string, Declaration>();

  /**
   * Adds a JSON route of the document. What it does not name it does not take: a query parameter or a body that it has no schema for
   * is refused with 400, never ignored.
   */
  openapi<Route extends Declared>(route: Route, handler: RouteHandler<Route, ApiEnv>): this {
    this.#declare(route.method, route.path, route.authorise);
    const { authorise, ...rest } = closed(route);
    this.#app.openapi(documented(rest, authorise), guarded(authorise, handler as Handler<ApiEnv>) as never);
    return this;
  }

  /** Adds a route whose answer is no JSON of the document (a stream, a text), or that is not documented (`hide`). Its input is its own. */
  raw(route: Declared, handler: Handler<ApiEnv>): this {
    const { authorise, hide, ...rest } = route;
    this.#declare(route.method, route.path, authorise);
    if (hide !== true) this.#app.openAPIRegistry.registerPath(documented(rest, authorise));
    this.#app.on([route.method], route.path, guarded(authorise, handler));
    return this;
  }

  /** Adds a page or a file that is read without a key: it holds nothing of any tenant. */
  public(path: string, handler: Handler<ApiEnv>): this {
    this.#declare("get", path, "public");
    this.#app.get(path, handler);
    return this;
  }

  /** Adds the routes of another resource. */
  add(part: ApiApp): this {
    for (const [route, declaration] of part.#declarations) this.#declarations.set(route, declaration);
    this.#app.route("/", part.#app);
    return this;
  }

  /** Serves its routes on an app. Throws TypeError when that app then has a route without a declaration. */
  serveOn(app: OpenAPIHono<ApiEnv>): void {
    app.route("/", this.#app);
    const undeclared = routesOf(app).filter((route) => !this.#declarations.has(route));
    if (undeclared.length > 0) throw new TypeError(`These routes declare no authorisation: ${undeclared.join(", ")}.`);
  }

  /** Declarations by `METHOD /path`, with parameters as `:name`. */
  get declarations(): ReadonlyMap<string, Declaration> {
    return this.#declarations;
  }

  #declare(method: string, path: string, declaration: Declaration): void {
    this.#declarations.set(`${method.toUpperCase()} ${path.replaceAll(/\{(\w+)\}/g, ":$1")}`, declaration);
  }
}

/** Every route of an app as `METHOD /path`, without its middleware. */
export function routesOf(app: OpenAPIHono<ApiEnv>): string[] {
  return [
    ...new Set(app.routes.filter(({ method }) => method !== "ALL").map(({ method, path }) => `${method} ${path}`)),
  ];
}

/** The handler of a route behind its authorisation. */
function guarded({ action, resource }: Authorisation, handler: Handler<ApiEnv>): Handler<ApiEnv> {
  return async (c, next) => {
    assertAuthorised(c.var.principal, action, await resource(c));
    return handler(c, next);
  };
}

/** The route as the document shows it: its action is named, and an action that a role may be refused has the 403 for it. */
function documented(route: RouteConfig, { action }: Authorisation): RouteConfig {
  return {
    ...route,
    "x-lineshaft-action": action,
    responses: { ...route.responses, ...(isForOwners(action) && { 403: failureAnswer(403) }) },
  };
}

function closed<Route extends RouteConfig>(route: Route): Route {
  const given = route.middleware ?? [];
  const middleware = route.request?.body ? given : [refuseBody, ...(Array.isArray(given) ? given : [given])];
  return { ...route, middleware, request: { ...route.request, query: route.request?.query ?? strict({}) } };
}

/** Refuses a body on a route that takes none. An empty object asks for nothing, so it passes. */
const refuseBody: MiddlewareHandler<ApiEnv> = async (c, next) => {
  if (Number(c.req.header("content-length") ?? 0) > 2) {
    const field = Object.keys((await c.req.json<object | null>().catch(() => ({ body: null }))) ?? {})[0];
    if (field !== undefined)
      throw new LineshaftError({
        code: "invalid_request",
        message: `\`${field.slice(0, 100)}\` is not known here. ${c.req.method} ${c.req.path} takes no body.`,
        param: field.slice(0, 100),
        hint: "Send it without a body.",
      });
  }
  return next();
};
