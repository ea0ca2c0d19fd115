// Finding what a person meant: the nearest known name, and the one id that a prefix stands for.
import { nearest } from "../gateway/nearest.ts";
import { CliError } from "./errors.ts";

/** An error for a name that is not known, with the nearest one and the way to list them. */
export function unknownName(what: string, written: string, known: string[], listCommand: string): CliError {
  const meant = nearest(written, known);
  return new CliError({
    code: "not_found",
    message: `No ${what} is named ${written}.`,
    why:
      known.length === 0
        ? `There are no ${what}s yet.`
        : `Known: ${known.slice(0, 12).join(", ")}${known.length > 12 ? ", ..." : ""}.`,
    hint: meant ? `Did you mean ${meant}?` : `List them with \`${listCommand}\`.`,
  });
}

/** The one of `ids` that begins with `prefix` (with or without its kind: `run_01k…` or `01k…`). */
export function uniqueByPrefix(what: string, prefix: string, ids: string[], listCommand: string): string {
  const exact = ids.find((id) => id === prefix);
  if (exact) return exact;
  const matches = ids.filter((id) => id.startsWith(prefix) || id.slice(id.indexOf("_") + 1).startsWith(prefix));
  if (matches.length === 1) return matches[0]!;
  if (matches.length === 0) throw unknownName(what, prefix, [], listCommand);
  throw new CliError({
    code: "ambiguous",
    message: `${prefix} stands for ${matches.length} ${what}s.`,
    why: matches.slice(0, 5).join(", "),
    hint: "Write one or two more characters of the one you mean.",
  });
}
