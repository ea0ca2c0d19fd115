// `lineshaft response-storage`: how much a project keeps in stored responses and conversations, and for how long.
import type { Command } from "commander";
import type { ResponseStorage } from "../contract/index.ts";
import { group, verb, type Context } from "./context.ts";
import { CliError } from "./errors.ts";
import { bytes, count, pairs } from "./format.ts";

const path = "/api/response-storage";

export function registerResponseStorage(program: Command, context: Context): void {
  const { terminal } = context;
  const storage = group(program, "response-storage", {
    about: "Stored responses and conversations of the project: how much is kept, and for how long",
    examples: ["npx lineshaft response-storage show", "npx lineshaft response-storage set --limit 20GB --keep-days 7"],
  });

  verb(storage, "show", {
    about: "Show what is kept, and what may be",
    examples: ["npx lineshaft response-storage show", "npx lineshaft response-storage show --json"],
  }).action(async (options: { json?: boolean }) => {
    const kept = await context.client().get<ResponseStorage>(path);
    if (options.json) return terminal.printJson(kept);
    for (const line of lines(kept)) terminal.print(line);
  });

  verb(storage, "set", {
    about: "Set how much may be kept, and for how long; what is not given stays as it is",
    examples: [
      "npx lineshaft response-storage set --limit 20GB --keep-days 7",
      "npx lineshaft response-storage set --limit default --keep-days default --json",
    ],
  })
    .option("--limit <size>", "most that is kept, such as 500MB or 20GiB; default: as the installation has it")
    .option("--keep-days <n>", "days for which a response is kept, 0 to 3650; 0 keeps none, and deletes what there is")
    .action(async (options: { limit?: string; keepDays?: string; json?: boolean }) => {
      const body = {
        ...(options.limit !== undefined && { limit_bytes: sizeOf(options.limit) }),
        ...(options.keepDays !== undefined && { retention_days: daysOf(options.keepDays) }),
      };
      if (Object.keys(body).length === 0)
        throw new CliError({
          exitCode: 2,
          message: "What is to be set?",
          hint: "Give --limit or --keep-days: npx lineshaft response-storage set --keep-days 7",
        });
      const kept = await context.client().put<ResponseStorage>(path, body);
      if (options.json) return terminal.printJson(kept);
      for (const line of lines(kept)) terminal.print(line);
    });
}

const lines = ({ project, bytes: kept, limit_bytes: most, retention_days: days }: ResponseStorage): string[] =>
  pairs([
    ["project", project],
    ["kept", `${bytes(kept)} of ${bytes(most)} (${count(kept)} of ${count(most)} bytes)`],
    ["kept for", days === 0 ? "nothing is kept" : `${count(days)} days`],
  ]);

const units: Record<string, number> = {
  B: 1,
  KB: 1_000,
  MB: 1_000 ** 2,
  GB: 1_000 ** 3,
  TB: 1_000 ** 4,
  KIB: 1_024,
  MIB: 1_024 ** 2,
  GIB: 1_024 ** 3,
  TIB: 1_024 ** 4,
};

/** Bytes of a size; null for the installation's own. Throws a CliError for anything else. */
function sizeOf(text: string): number | null {
  if (text === "default") return null;
  const [, digits, unit = "B"] = /^(\d+(?:\.\d+)?)\s*([kmgt]?i?b)?$/i.exec(text) ?? [];
  const size = Math.round(Number(digits) * (units[unit.toUpperCase()] ?? Number.NaN));
  if (Number.isSafeInteger(size)) return size;
  throw new CliError({
    exitCode: 2,
    message: `${text} is not a size for --limit.`,
    hint: "Write it like --limit 20GB",
  });
}

/** Whole days; null for the installation's own. Throws a CliError for anything else. */
function daysOf(text: string): number | null {
  if (text === "default") return null;
  if (/^\d{1,4}$/.test(text) && Number(text) <= 3_650) return Number(text);
  throw new CliError({
    exitCode: 2,
    message: `${text} is not a number of days for --keep-days.`,
    hint: "Give a whole number from 0 to 3650, or the word default.",
  });
}
