// Pages of items, as lists of OpenAI's are asked for and shown.
import { limits } from "../limits.ts";
import { invalidAt } from "../refusals.ts";

type Json = Record<string, unknown>;

/** Which page is asked for: the newest items first where `order` does not say otherwise. */
export interface PageAsked {
  limit: number;
  newestFirst: boolean;
  /** The id of the item that the page follows. */
  after: string | undefined;
}

/** Items of one page, and whether the list goes on. */
export interface Page {
  items: readonly Json[];
  more: boolean;
}

/** Throws a 400 where a parameter is wrong. */
export function pageAsked(query: URLSearchParams): PageAsked {
  const limit = Number(query.get("limit") ?? limits.listedItems);
  if (!Number.isInteger(limit) || limit < 1 || limit > limits.listedItemsMost)
    throw invalidAt("limit", `must be a whole number from 1 to ${limits.listedItemsMost}.`);
  const order = query.get("order") ?? "desc";
  if (order !== "asc" && order !== "desc") throw invalidAt("order", "must be `asc` or `desc`.");
  return { limit, newestFirst: order === "desc", after: query.get("after") ?? undefined };
}

/** Throws a 400 where the item that the page is to follow is not in the list. */
export function pageShown(page: Page | "not_in_list", query: URLSearchParams): Json {
  if (page === "not_in_list") throw invalidAt("after", "names no item of this list.");
  return list(
    page.items.map((item) => shown(item, query)),
    page.more,
  );
}

/** Hidden thought is shown only where it is asked for. */
export function shown(item: Json, query: URLSearchParams): Json {
  const include = [...query.getAll("include"), ...query.getAll("include[]")];
  if (item["type"] !== "reasoning" || include.includes("reasoning.encrypted_content")) return item;
  const { encrypted_content: _hidden, ...rest } = item;
  return rest;
}

export const list = (data: readonly Json[], more: boolean): Json => ({
  object: "list",
  data,
  first_id: data[0]?.["id"] ?? null,
  last_id: data.at(-1)?.["id"] ?? null,
  has_more: more,
});
