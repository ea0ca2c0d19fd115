// `lineshaft limits`: how much a scope may use in a minute or a day, and at once. What it may spend is `lineshaft budgets`.
import type { Command } from "commander";
import type { KeyResource, LimitResource, Status } from "../contract/index.ts";
import type { Client } from "./client.ts";
import { group, verb, type Context } from "./context.ts";
import { CliError } from "./errors.ts";
import { table } from "./format.ts";
import { liveKey } from "./keys.ts";
import { uniqueByPrefix, unknownName } from "./nearest.ts";

const listCommand = "npx lineshaft limits list";
const kinds = ["organisation", "project", "key"] as const;
type Kind = (typeof kinds)[number];

/** Each dimension: its option, and what a row says after the amount. */
const dimensions = {
  requestsPerMinute: { dimension: "requests_per_minute", words: "requests a minute" },
  tokensPerMinute: { dimension: "tokens_per_minute", words: "tokens a minute" },
  tokensPerDay: { dimension: "tokens_per_day", words: "tokens in 24 hours" },
  concurrentCalls: { dimension: "concurrent_calls", words: "calls at once" },
  bytesInFlight: { dimension: "bytes_in_flight", words: "bytes at once" },
} as const;
type Option = keyof typeof dimensions;

const wordsOf = ({ dimension }: LimitResource): string =>
  Object.values(dimensions).find((one) => one.dimension === dimension)!.words;
const scopeText = ({ scope }: LimitResource): string =>
  `${scope.kind} ${scope.name ?? scope.id}${scope.model === null ? "" : `, model ${scope.model}`}`;

export function registerLimits(program: Command, context: Context): void {
  const limits = group(program, "limits", {
    about: "Limits: how many requests, tokens, calls and bytes an organisation, project or key may use",
    examples: [listCommand, "npx lineshaft limits set project default --requests-per-minute 600"],
  });

  verb(limits, "list", {
    about: "List limits, and what counts against each now",
    examples: [listCommand, "npx lineshaft limits list --json"],
  }).action(async (options: { json?: boolean }) => {
    const { terminal } = context;
    const list = await context.client().list<LimitResource>("/api/limits");
    if (options.json) return terminal.printJson({ data: list });
    for (const line of table(list, [
      { title: "id", value: (row) => row.id },
      { title: "scope", value: scopeText },
      { title: "used now", value: (row) => row.used.toLocaleString("en-US"), right: true },
      { title: "amount", value: (row) => row.amount.toLocaleString("en-US"), right: true },
      { title: "of", value: wordsOf },
    ]))
      terminal.print(line);
    if (list.length === 0)
      terminal.note("No limits yet. Set one: npx lineshaft limits set project default --requests-per-minute 600");
  });

  verb(limits, "set <scope> [name]", {
    about: "Set limits of a scope (organisation, project or key), for all models or for one",
    examples: [
      "npx lineshaft limits set project default --requests-per-minute 600 --tokens-per-minute 200000",
      "npx lineshaft limits set organisation --model smollm2-135m-instruct --concurrent-calls 16",
    ],
  })
    .option("--model <name>", "count only calls to this model")
    .option("--requests-per-minute <n>", "calls in any minute")
    .option("--tokens-per-minute <n>", "prompt and output tokens in any minute")
    .option("--tokens-per-day <n>", "prompt and output tokens in any 24 hours")
    .option("--concurrent-calls <n>", "calls under way at once")
    .option("--bytes-in-flight <n>", "bytes of the bodies of calls under way")
    .action(
      async (
        kind: string,
        name: string | undefined,
        options: Partial<Record<Option, string>> & { model?: string; json?: boolean },
      ) => {
        const client = context.client();
        const wanted = wantedOf(options);
        const { id, scope } = await resolveScope(client, kind, name, context.terminal.now());
        const made: LimitResource[] = [];
        for (const { dimension, amount } of wanted)
          made.push(
            await client.put<LimitResource>("/api/limits", {
              scope: { kind: scope, id, ...(options.model !== undefined && { model: options.model }) },
              dimension,
              amount,
            }),
          );
        if (options.json) return context.terminal.printJson({ data: made });
        for (const one of made)
          context.terminal.print(`Limit of ${scopeText(one)}: ${one.amount.toLocaleString("en-US")} ${wordsOf(one)}.`);
      },
    );

  verb(limits, "remove <id>", {
    about: "Remove a limit; a unique beginning of its id is enough",
    examples: ["npx lineshaft limits remove lim_", "npx lineshaft limits remove lim_ --json"],
  }).action(async (id: string, options: { json?: boolean }) => {
    const client = context.client();
    const ids = (await client.list<LimitResource>("/api/limits")).map((one) => one.id);
    const found = uniqueByPrefix("limit", id, ids, listCommand);
    await client.delete(`/api/limits/${found}`);
    if (options.json) return context.terminal.printJson({ id: found, removed: true });
    context.terminal.print(`Limit ${found} is removed.`);
  });
}

/** The limits that the options name. Throws CliError where they name none, or where an amount is not a whole number. */
function wantedOf(options: Partial<Record<Option, string>>): { dimension: string; amount: number }[] {
  const wanted = (Object.keys(dimensions) as Option[]).flatMap((option) => {
    const text = options[option];
    if (text === undefined) return [];
    const amount = Number(text.replaceAll(/[_,]/g, ""));
    if (Number.isSafeInteger(amount) && amount >= 0) return [{ dimension: dimensions[option].dimension, amount }];
    throw new CliError({
      exitCode: 2,
      message: `${text} is not an amount of ${dimensions[option].words}.`,
      hint: "Give a whole number; 0 refuses every call.",
    });
  });
  if (wanted.length > 0) return wanted;
  throw new CliError({
    exitCode: 2,
    message: "Which limit?",
    hint: "Name at least one, for example --requests-per-minute 600; npx lineshaft limits set --help lists them.",
  });
}

async function resolveScope(
  client: Client,
  kind: string,
  name: string | undefined,
  now: number,
): Promise<{ scope: Kind; id: string }> {
  if (!(kinds as readonly string[]).includes(kind))
    throw new CliError({
      exitCode: 2,
      message: `${kind} is no scope of limits.`,
      why: `A scope is one of ${kinds.join(", ")}.`,
      hint: "Choose one of these; --model narrows it to one model.",
    });
  if (kind === "key") {
    if (name === undefined)
      throw new CliError({
        exitCode: 2,
        message: "Which key?",
        hint: "Name it: npx lineshaft limits set key NAME --requests-per-minute 60",
      });
    return { scope: kind, id: liveKey(await client.list<KeyResource>("/api/keys"), name, now).id };
  }
  const scope = kind as "organisation" | "project";
  const own = (await client.get<Status>("/api/status"))[scope];
  if (name !== undefined && name !== own.name && name !== own.id)
    throw unknownName(scope, name, [own.name], "npx lineshaft status");
  return { scope, id: own.id };
}
