// `lineshaft routes`: which model serves a name, and what follows when a model fails.
import type { Command } from "commander";
import type { EngineResource, ModelRouteResource, ModelRouteSet, Status } from "../contract/index.ts";
import type { Client } from "./client.ts";
import { group, verb, type Context } from "./context.ts";
import { CliError } from "./errors.ts";
import { table } from "./format.ts";
import { unknownName } from "./nearest.ts";

const listCommand = "npx lineshaft routes list";

interface SetOptions {
  serves?: string;
  fallback?: string[];
  attempts?: string;
  waitMs?: string;
  share?: string[];
  shareAny?: boolean;
  shareTools?: boolean;
  keepSeconds?: string;
  markPrompts?: boolean;
  hedgeAfterMs?: string;
  hedgeShare?: string;
  continue: boolean;
  json?: boolean;
}

export function registerRoutes(program: Command, context: Context): void {
  const routes = group(program, "routes", {
    about: "Routes of models: aliases, fallbacks, and waits for an engine's limit",
    examples: [listCommand, "npx lineshaft routes set 'claude-*' --serves smollm2-135m-instruct"],
  });

  verb(routes, "list", {
    about: "List the routes of models' names",
    examples: [listCommand, "npx lineshaft routes list --json"],
  }).action(async (options: { json?: boolean }) => {
    const { terminal } = context;
    const list = await context.client().list<ModelRouteResource>("/api/routes");
    if (options.json) return terminal.printJson({ data: list });
    for (const line of table(list, [
      { title: "name", value: (row) => row.model },
      { title: "served by", value: (row) => row.serves ?? "itself" },
      { title: "then", value: (row) => row.fallbacks?.join(", ") ?? "-" },
      { title: "retries", value: retriesText },
      { title: "answers", value: answersText },
      { title: "shared in", value: (row) => row.cache?.projects.join(", ") ?? "-" },
    ]))
      terminal.print(line);
    if (list.length === 0)
      terminal.note("No routes yet. Set one: npx lineshaft routes set 'claude-*' --serves smollm2-135m-instruct");
  });

  verb(routes, "set <name>", {
    about: "Set the route of a model's name, which may end with *; what is not given is as without a route",
    examples: [
      "npx lineshaft routes set 'claude-*' --serves smollm2-135m-instruct",
      "npx lineshaft routes set smollm2-135m-instruct --attempts 2 --wait-ms 5000 --share default --keep-seconds 3600",
    ],
  })
    .option("--serves <model>", "model that serves calls of this name")
    .option(
      "--fallback <model>",
      "model that serves a call which its own cannot; once more for each further one, in their order",
      (model: string, before: string[] = []) => [...before, model],
    )
    .option("--attempts <n>", "attempts at one model, 1 to 6")
    .option("--wait-ms <n>", "longest wait that an engine may ask for by Retry-After, in milliseconds")
    .option(
      "--share <project>",
      "project whose identical calls are answered once (its id, or the name of the key's own); once more for each further one",
      (project: string, before: string[] = []) => [...before, project],
    )
    .option("--share-any", "with --share: calls of any temperature, not only those that say 0")
    .option("--share-tools", "with --share: calls with tools too")
    .option("--mark-prompts", "prompts that mark nothing are marked for the prompt cache of Anthropic's API")
    .option(
      "--hedge-after-ms <n>",
      "a stream without a token after so many milliseconds is asked of a second endpoint too",
    )
    .option(
      "--hedge-share <p>",
      "with --hedge-after-ms: the most of the newest calls that are, 0 to 1 (0.05 where absent)",
    )
    .option("--no-continue", "an answer that breaks off in mid-stream is not continued by another endpoint")
    .option("--keep-seconds <n>", "with --share: how long an answer is kept for later calls")
    .action(async (model: string, options: SetOptions) => {
      const client = context.client();
      const { serves, fallback: fallbacks } = options;
      const known = new Set((await client.list<EngineResource>("/api/engines")).map(({ name }) => name));
      for (const named of [serves, ...(fallbacks ?? [])])
        if (named !== undefined && !known.has(named))
          throw unknownName("model", named, [...known], "npx lineshaft engines list");
      const most = wholeNumber("--attempts", options.attempts);
      const waitMs = wholeNumber("--wait-ms", options.waitMs);
      const body: ModelRouteSet = { model };
      if (serves !== undefined) body.serves = serves;
      if (fallbacks) body.fallbacks = fallbacks;
      if (most !== undefined || waitMs !== undefined)
        body.retry = { ...(most !== undefined && { most }), ...(waitMs !== undefined && { wait_most_ms: waitMs }) };
      if (options.markPrompts === true) body.marks = "auto";
      const hedge = hedgeOf(options);
      if (hedge) body.hedge = hedge;
      if (!options.continue) body.continues = false;
      if (options.share) body.cache = await sharingOf(client, options.share, options);
      if (Object.keys(body).length === 1)
        throw new CliError({
          exitCode: 2,
          message: `What is to be done with calls of ${model}?`,
          hint: "Give --serves, --fallback, --attempts, --wait-ms, --hedge-after-ms, --mark-prompts, --no-continue or --share; npx lineshaft routes set --help lists them.",
        });
      const made = await client.put<ModelRouteResource>("/api/routes", body);
      if (options.json) return context.terminal.printJson(made);
      const then = made.fallbacks ? `, then by ${made.fallbacks.join(", ")}` : "";
      context.terminal.print(`Calls of ${made.model} are served by ${made.serves ?? "the model of that name"}${then}.`);
    });

  verb(routes, "remove <name>", {
    about: "Remove the route of a model's name",
    examples: ["npx lineshaft routes remove 'claude-*'", "npx lineshaft routes remove 'claude-*' --json"],
  }).action(async (name: string, options: { json?: boolean }) => {
    const client = context.client();
    const names = (await client.list<ModelRouteResource>("/api/routes")).map(({ model }) => model);
    if (!names.includes(name)) throw unknownName("route", name, names, listCommand);
    await client.delete(`/api/routes/${encodeURIComponent(name)}`);
    if (options.json) return context.terminal.printJson({ model: name, removed: true });
    context.terminal.print(`The route of ${name} is removed.`);
  });
}

/** What is shared, with the key's own project by its name or id. */
async function sharingOf(
  client: Client,
  named: string[],
  { shareAny, shareTools, keepSeconds }: SetOptions,
): Promise<NonNullable<ModelRouteSet["cache"]>> {
  const own = (await client.get<Status>("/api/status")).project;
  const seconds = wholeNumber("--keep-seconds", keepSeconds);
  return {
    projects: named.map((project) => (project === own.name ? own.id : project)),
    ...(shareAny === true && { when: "any" as const }),
    ...(shareTools === true && { tools: true }),
    ...(seconds !== undefined && { keep_seconds: seconds }),
  };
}

/** The second attempt that the options ask for. */
function hedgeOf({ hedgeAfterMs, hedgeShare }: SetOptions): ModelRouteSet["hedge"] {
  const afterMs = wholeNumber("--hedge-after-ms", hedgeAfterMs);
  const share = Number(hedgeShare ?? 0.05);
  if (!(share >= 0 && share <= 1) || (hedgeShare !== undefined && afterMs === undefined))
    throw new CliError({
      exitCode: 2,
      message:
        afterMs === undefined
          ? "--hedge-share needs --hedge-after-ms."
          : `${hedgeShare} is no share for --hedge-share.`,
      hint: "Give both: --hedge-after-ms 800 --hedge-share 0.05.",
    });
  return afterMs === undefined ? undefined : { after_ms: afterMs, share };
}

/** What is said of silent and broken answers, and of the marks of prompts. */
function answersText({ hedge, continues, marks }: ModelRouteResource): string {
  const words: string[] = [];
  if (hedge) words.push(`second attempt after ${hedge.after_ms} ms`);
  if (continues === false) words.push("not continued");
  if (marks) words.push("prompts marked");
  return words.join(", ") || "-";
}

function retriesText({ retry }: ModelRouteResource): string {
  const attempts = retry?.most === undefined ? "" : `${retry.most} attempts at a model`;
  const waits = retry?.wait_most_ms === undefined ? "" : `waits up to ${retry.wait_most_ms} ms`;
  return [attempts, waits].filter((words) => words !== "").join(", ") || "-";
}

function wholeNumber(option: string, text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  const number = Number(text);
  if (Number.isSafeInteger(number) && number >= 0) return number;
  throw new CliError({ exitCode: 2, message: `${text} is not a number for ${option}.`, hint: "Give a whole number." });
}
