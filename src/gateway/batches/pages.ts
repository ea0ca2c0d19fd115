// Lists of files and of batches in OpenAI's shape, one page at a time.
import { limits } from "../limits.ts";
import { invalidAt } from "../refusals.ts";
import { list } from "../responses/pages.ts";
import type { PageWish } from "./files.ts";

type Json = Record<string, unknown>;

/** What a request's address asks of a list. Throws a 400 by the parameter's name. */
export function pageWish(query: URLSearchParams, most: number): PageWish {
  const limit = Number(query.get("limit") ?? limits.listedItems);
  if (!Number.isInteger(limit) || limit < 1 || limit > most)
    throw invalidAt("limit", `must be a whole number from 1 to ${most}.`);
  const order = query.get("order") ?? "desc";
  if (order !== "asc" && order !== "desc") throw invalidAt("order", "must be `asc` or `desc`.");
  return { after: query.get("after") ?? undefined, limit, ascending: order === "asc" };
}

/** A page of what was read: one more than `limit` says that there are more. */
export const pageOf = (found: readonly Json[], { limit }: PageWish): Json =>
  list(found.slice(0, limit), found.length > limit);

/**
 * Seconds that a file is kept, from `expires_after` or what stands for it: `{anchor: "created_at", seconds}`. Throws a 400 by the name of
 * the field.
 */
export function keptSeconds(field: string, given: { anchor?: unknown; seconds?: unknown } | undefined): number {
  if (given === undefined) return limits.fileKeptSeconds;
  if (given.anchor !== "created_at") throw invalidAt(`${field}.anchor`, "must be `created_at`.");
  const seconds = Number(given.seconds);
  const { fileKeptSecondsLeast: least, fileKeptSeconds: most } = limits;
  if (!Number.isInteger(seconds) || seconds < least || seconds > most)
    throw invalidAt(`${field}.seconds`, `must be a whole number from ${least} to ${most}.`);
  return seconds;
}

export const secondsOf = (moment: Date): number => Math.floor(moment.getTime() / 1000);
