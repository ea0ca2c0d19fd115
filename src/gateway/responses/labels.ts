// `metadata` of what is stored: labels of its owner's, within OpenAI's bounds.
import { invalidAt } from "../refusals.ts";

type Json = Record<string, unknown>;

/** Throws a 400 where they are no labels. */
export function labelsOf(given: unknown): Json {
  if (given === undefined || given === null) return {};
  const labels = Object.entries(given);
  const isLabel = ([name, value]: [string, unknown]) =>
    name.length <= 64 && typeof value === "string" && value.length <= 512;
  if (typeof given === "object" && !Array.isArray(given) && labels.length <= 16 && labels.every(isLabel))
    return given as Json;
  throw invalidAt("metadata", "must have at most 16 members, names of at most 64 characters and texts of at most 512.");
}
