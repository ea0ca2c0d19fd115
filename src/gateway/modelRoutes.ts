// What an organisation has said of a model's name: which model serves it, and what may follow when an attempt fails. A name that ends with
// `*` stands for all names that begin so. The routes of all organisations are kept in memory, because every call asks for one, and read
// again when any process has changed one.
import { z } from "zod";
import { LineshaftError } from "../errors/index.ts";
import type { Queryable } from "../store/index.ts";
import { limits } from "./limits.ts";

const modelName = z.string().min(1).max(limits.modelNameCharacters);

/** A route as it is stored. A member that is absent changes nothing. */
const modelRouteSchema = z.strictObject({
  /** The model that serves the name. */
  serves: modelName.optional(),
  /** Models that serve a call which its own model cannot, in their order. */
  fallbacks: z.array(modelName).max(limits.fallbacksMost).optional(),
  retry: z
    .strictObject({
      /** Attempts at one model. */
      most: z.int().min(1).max(limits.attemptsInAllMost).optional(),
      /** The longest wait that an engine may ask for by `Retry-After`. */
      waitMostMs: z.int().min(0).max(limits.retryWaitMostMs).optional(),
    })
    .optional(),
  /** A call that streams and has no token after so long is sent to a second endpoint too, at most this share of the newest calls. */
  hedge: z
    .strictObject({
      afterMs: z.int().min(1).max(limits.hedgeAfterMostMs),
      share: z.number().min(0).max(1),
    })
    .optional(),
  /** False: an answer that breaks off in mid-stream is not continued by another endpoint of its model. */
  continues: z.boolean().optional(),
  /** `auto`: prompts of clients that mark nothing are marked for the engine's prompt cache, where the engine reads marks. */
  marks: z.literal("auto").optional(),
  /** Identical calls of these projects are answered once: while one is under way, and for so long after. */
  cache: z
    .strictObject({
      projects: z.array(z.string().min(1).max(200)).min(1).max(limits.cacheProjectsMost),
      /** `temperature_0`, the default: only calls that say so. `any`: whatever they say. */
      when: z.enum(["temperature_0", "any"]).optional(),
      /** Calls with tools too. */
      tools: z.boolean().optional(),
      /** How long an answer is kept; absent or 0: only calls that are under way together share it. */
      keepSeconds: z.int().min(0).max(limits.keepSecondsMost).optional(),
    })
    .optional(),
});

/** What is done with calls of a model's name. */
export type ModelRoute = z.infer<typeof modelRouteSchema>;

interface RouteRow {
  [column: string]: unknown;
  organisation: string;
  model: string;
  route: unknown;
}

interface StoredRow {
  [column: string]: unknown;
  model: string;
  route: unknown;
  updated_at: Date;
}

/** The route of a name, and the name. */
export interface NamedRoute {
  model: string;
  route: ModelRoute;
}

/** The routes of an organisation: by whole names, and by beginnings, longest first. */
interface Routes {
  exact: Map<string, ModelRoute>;
  prefixes: { prefix: string; route: ModelRoute }[];
}

/** The routes of all organisations, as they were read last. */
export class ModelRoutes {
  #of = new Map<string, Routes>();

  /** Reads all routes. Rejects with StoreUnavailableError where the database is away; then those that were read before stand. */
  async read(db: Queryable): Promise<void> {
    const { rows } = await db.query<RouteRow>("select organisation, model, route from model_routes");
    const read = new Map<string, Routes>();
    for (const { organisation, model, route: stored } of rows) {
      // A route that a later version has written is left out, and the model is served as without one.
      const { data: route } = modelRouteSchema.safeParse(stored);
      if (!route) continue;
      const routes = read.get(organisation) ?? { exact: new Map<string, ModelRoute>(), prefixes: [] };
      read.set(organisation, routes);
      if (model.endsWith("*")) routes.prefixes.push({ prefix: model.slice(0, -1), route });
      else routes.exact.set(model, route);
    }
    for (const { prefixes } of read.values()) prefixes.sort((a, b) => b.prefix.length - a.prefix.length);
    this.#of = read;
  }

  /**
   * The model that serves a name, and the route. A route of exactly the name goes first; then a model that there is; then the longest
   * beginning. A served model has a route of its own, whose members hold where the name's own route says nothing of them.
   */
  of(organisation: string, asked: string, exists: (model: string) => boolean): NamedRoute {
    const routes = this.#of.get(organisation);
    if (!routes) return { model: asked, route: {} };
    const exact = routes.exact.get(asked);
    const found = exact ?? routes.prefixes.find(({ prefix }) => asked.startsWith(prefix))?.route;
    const { serves = asked, ...route } = found ?? {};
    const model = exact === undefined && exists(asked) ? asked : serves;
    return { model, route: model === asked ? route : { ...routes.exact.get(model), ...route } };
  }

  /** Whole names that other models serve, for lists of models. */
  aliases(organisation: string): { alias: string; model: string }[] {
    const { exact = [] } = this.#of.get(organisation) ?? {};
    return [...exact].flatMap(([alias, { serves }]) => (serves === undefined ? [] : [{ alias, model: serves }]));
  }
}

/** A route as it is stored, and when it was set. */
export interface StoredRoute extends NamedRoute {
  updatedAt: Date;
}

const storedOf = ({ model, route, updated_at: updatedAt }: StoredRow): StoredRoute => ({
  model,
  route: modelRouteSchema.parse(route),
  updatedAt,
});

/** The routes of an organisation, by name. */
export async function listModelRoutes(db: Queryable, organisation: string): Promise<StoredRoute[]> {
  const { rows } = await db.query<StoredRow>(
    "select model, route, updated_at from model_routes where organisation = $1 order by model",
    [organisation],
  );
  return rows.map(storedOf);
}

/**
 * Sets the route of a name in place of the one that it has. Throws LineshaftError `invalid_value` where the route leads back to itself,
 * and `too_many_routes`.
 */
export async function setModelRoute(
  db: Queryable,
  organisation: string,
  { model, route }: NamedRoute,
): Promise<StoredRoute> {
  const { serves, fallbacks = [] } = route;
  const own = serves ?? model;
  if (serves === model) throw circular("serves", `${model} is served by itself.`);
  if (fallbacks.includes(own)) throw circular("fallbacks", `${own} is a fallback of itself.`);
  if (new Set(fallbacks).size < fallbacks.length) throw circular("fallbacks", "A model is among the fallbacks twice.");
  const { rows } = await db.query<StoredRow>(
    `insert into model_routes (organisation, model, route)
     select $1, $2, $3 where (select count(*) from model_routes where organisation = $1 and model <> $2) < $4
     on conflict (organisation, model) do update set route = excluded.route, updated_at = now()
     returning model, route, updated_at`,
    [organisation, model, JSON.stringify(route), limits.routesMost],
  );
  if (rows.length > 0) return storedOf(rows[0]!);
  throw new LineshaftError({
    code: "too_many_routes",
    message: `The organisation has ${limits.routesMost} routes already.`,
    hint: "Remove one: lineshaft routes remove NAME.",
  });
}

/** Removes the route of a name; true where there was one. */
export async function removeModelRoute(db: Queryable, organisation: string, model: string): Promise<boolean> {
  const { rows } = await db.query("delete from model_routes where organisation = $1 and model = $2 returning model", [
    organisation,
    model,
  ]);
  return rows.length > 0;
}

const circular = (param: string, message: string): LineshaftError =>
  new LineshaftError({ code: "invalid_value", message, param, hint: "Name other models: lineshaft engines list." });
