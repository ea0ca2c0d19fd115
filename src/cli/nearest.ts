// Resolves typed names and ids: the nearest known name, and the one id that begins with a prefix.
import { nearest } from "../errors/index.ts";
import { CliError } from "./errors.ts";

/** An error for an unknown name, with the nearest known name and the command that lists them, or that makes the first one. */
export function unknownName(
  what: string,
  written: string,
  known: string[],
  listCommand: string,
  makeCommand?: string,
): CliError {
  const meant = nearest(written, known);
  return new CliError({
    code: "not_found",
    message: `No ${what} is named ${written}.`,
    why:
      known.length === 0
        ? `There are no ${what}s yet.`
        : `Known: ${known.slice(0, 12).join(", ")}${known.length > 12 ? ", ..." : ""}.`,
    hint: meant
      ? `Did you mean ${meant}?`
      : known.length === 0 && makeCommand !== undefined
        ? `Make one: ${makeCommand}`
        : `List them with \`${listCommand}\`.`,
  });
}

/** How a resource with an id and a possibly ambiguous name is found. */
interface Named {
  id: string;
  name: string;
}

/**
 * The row that `written` means: the only one of that name, or the one whose id equals it or begins with it. Throws a CliError that lists
 * the ids if several have the name.
 */
export function findNamed<Row extends Named>(
  what: string,
  written: string,
  rows: readonly Row[],
  listCommand: string,
  describe: (row: Row) => string,
): Row {
  const named = rows.filter((row) => row.name === written);
  if (named.length === 1) return named[0]!;
  if (named.length > 1)
    throw new CliError({
      code: "ambiguous",
      message: `${named.length} ${what}s are named ${written}.`,
      why: named.map((row) => `${row.id} (${describe(row)})`).join("\n"),
      hint: "Write the id of the one you mean, or a beginning of it that only it has.",
    });
  const byId = rows.filter((row) => beginsWith(row.id, written));
  if (byId.length === 0)
    throw unknownName(
      what,
      written,
      rows.map((row) => row.name),
      listCommand,
    );
  const ids = byId.map((row) => row.id);
  const found = uniqueByPrefix(what, written, ids, listCommand);
  return byId.find((row) => row.id === found)!;
}

/** Whether an id begins with the written text, with or without its kind. */
const beginsWith = (id: string, written: string): boolean =>
  id.startsWith(written) || id.slice(id.indexOf("_") + 1).startsWith(written);

/** The one of `ids` that begins with `prefix` (with or without its kind: `run_01k…` or `01k…`). */
export function uniqueByPrefix(what: string, prefix: string, ids: string[], listCommand: string): string {
  const exact = ids.find((id) => id === prefix);
  if (exact) return exact;
  const matches = ids.filter((id) => beginsWith(id, prefix));
  if (matches.length === 1) return matches[0]!;
  if (matches.length === 0 && ids.length > 0)
    throw new CliError({
      code: "not_found",
      message: `No ${what} is named ${prefix}.`,
      why: `Of ${ids.length === 1 ? `one ${what}` : `${ids.length} ${what}s`}, none has an id that begins like this; the newest is ${ids[0]}.`,
      hint: `List them with \`${listCommand}\`.`,
    });
  if (matches.length === 0) throw unknownName(what, prefix, [], listCommand);
  throw new CliError({
    code: "ambiguous",
    message: `${prefix} stands for ${matches.length} ${what}s.`,
    why: matches.slice(0, 5).join(", "),
    hint: "Write one or two more characters of the one you mean.",
  });
}
