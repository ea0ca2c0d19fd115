// A route of a model's name as a form holds it, its problems by field, and the way from and to the API's shape. Pure.
import type { ModelRouteResource, ModelRouteSet } from "../../contract/index.ts";

/** Texts as they were typed; an empty one says nothing, as a member that is absent. */
export interface RouteDraft {
  model: string;
  /** Empty: the model of that name. */
  serves: string;
  fallbacks: string[];
  attempts: string;
  waitMs: string;
  hedgeAfterMs: string;
  hedgeShare: string;
  continues: boolean;
  marks: boolean;
  /** Identical calls share answers. */
  shares: boolean;
  /** Ids or, of the own project, the name, with commas or spaces between. */
  projects: string;
  when: "temperature_0" | "any";
  tools: boolean;
  keepSeconds: string;
}

export type RouteField =
  | "model"
  | "fallbacks"
  | "serves"
  | "attempts"
  | "waitMs"
  | "hedgeAfterMs"
  | "hedgeShare"
  | "projects"
  | "keepSeconds";
type Problems = Partial<Record<RouteField, string>>;

/** The project of the key, which a person knows by its name. */
interface OwnProject {
  id: string;
  name: string;
}

/** The share of calls that get a second attempt, where nothing else is said. */
const usualShare = "0.05";
const fallbacksMost = 8;

/** The form of a route; of none: an empty one for a name. */
export function draftOf(route: ModelRouteResource | undefined, own: OwnProject, model = ""): RouteDraft {
  const { retry, hedge, cache } = route ?? {};
  const text = (value: number | undefined) => (value === undefined ? "" : String(value));
  return {
    model: route?.model ?? model,
    serves: route?.serves ?? "",
    fallbacks: route?.fallbacks ?? [],
    attempts: text(retry?.most),
    waitMs: text(retry?.wait_most_ms),
    hedgeAfterMs: text(hedge?.after_ms),
    hedgeShare: text(hedge?.share),
    continues: route?.continues ?? true,
    marks: route?.marks === "auto",
    shares: cache !== undefined,
    projects: (cache?.projects ?? [own.id]).map((id) => (id === own.id ? own.name : id)).join(", "),
    when: cache?.when ?? "temperature_0",
    tools: cache?.tools ?? false,
    keepSeconds: text(cache?.keep_seconds),
  };
}

/** What is wrong, by field. Empty where the route can be set, or asks for nothing (`asksNothing`). */
export function problemsOf(draft: RouteDraft): Problems {
  const problems: Problems = {};
  const { model, serves, fallbacks } = draft;
  const own = serves === "" ? model : serves;
  if (serves !== "" && serves === model) problems.serves = `${model} cannot serve itself. Choose another model.`;
  if (model.length > 200) problems.model = "A name has at most 200 characters.";
  if (fallbacks.some((name) => name === "")) problems.fallbacks = "Choose a model for each fallback, or remove it.";
  else if (fallbacks.includes(own)) problems.fallbacks = `${own} is a fallback of itself. Choose another model.`;
  else if (new Set(fallbacks).size < fallbacks.length) problems.fallbacks = "A model is among the fallbacks twice.";
  else if (fallbacks.length > fallbacksMost) problems.fallbacks = `At most ${fallbacksMost} models can follow.`;
  const whole = (field: "attempts" | "waitMs" | "hedgeAfterMs" | "keepSeconds", least: number, most: number) => {
    const text = draft[field].trim();
    if (text !== "" && !(/^\d{1,9}$/.test(text) && Number(text) >= least && Number(text) <= most))
      problems[field] = `Give a whole number from ${count(least)} to ${count(most)}.`;
  };
  whole("attempts", 1, 6);
  whole("waitMs", 0, 60_000);
  whole("hedgeAfterMs", 1, 600_000);
  const share = draft.hedgeShare.trim();
  if (share !== "" && !(/^\d*\.?\d+$/.test(share) && Number(share) <= 1))
    problems.hedgeShare = "Give a share from 0 to 1: 0.05 is one call of twenty.";
  else if (share !== "" && draft.hedgeAfterMs.trim() === "") problems.hedgeShare = "Say after how long, too.";
  if (draft.shares) {
    whole("keepSeconds", 0, 2_592_000);
    if (namesIn(draft.projects).length === 0) problems.projects = "Name a project at least.";
  }
  return problems;
}

const count = (value: number): string => value.toLocaleString("en-US");
const namesIn = (text: string): string[] => text.split(/[\s,]+/).filter((name) => name !== "");

/** The route in the API's shape. Only a draft without problems has one. */
export function routeOf(draft: RouteDraft, own: OwnProject): ModelRouteSet {
  const number = (text: string) => (text.trim() === "" ? undefined : Number(text));
  const route: ModelRouteSet = { model: draft.model.trim() };
  if (draft.serves !== "") route.serves = draft.serves;
  if (draft.fallbacks.length > 0) route.fallbacks = draft.fallbacks;
  const [most, waitMs] = [number(draft.attempts), number(draft.waitMs)];
  if (most !== undefined || waitMs !== undefined)
    route.retry = { ...(most !== undefined && { most }), ...(waitMs !== undefined && { wait_most_ms: waitMs }) };
  const afterMs = number(draft.hedgeAfterMs);
  if (afterMs !== undefined) route.hedge = { after_ms: afterMs, share: number(draft.hedgeShare) ?? Number(usualShare) };
  if (!draft.continues) route.continues = false;
  if (draft.marks) route.marks = "auto";
  if (!draft.shares) return route;
  const keepSeconds = number(draft.keepSeconds);
  route.cache = {
    projects: namesIn(draft.projects).map((name) => (name === own.name ? own.id : name)),
    ...(draft.when === "any" && { when: "any" }),
    ...(draft.tools && { tools: true }),
    ...(keepSeconds !== undefined && { keep_seconds: keepSeconds }),
  };
  return route;
}

/** Whether a route says nothing but its name. */
export const asksNothing = (draft: RouteDraft, own: OwnProject): boolean =>
  Object.keys(routeOf(draft, own)).length === 1;
