// `lineshaft engines`: the endpoints behind the gateway. Any OpenAI-compatible one can be added beside the embedded engine, a known
// provider by its name (presets.ts).
import { Option, type Command } from "commander";
import type { EngineResource, KvCacheErased } from "../contract/index.ts";
import type { Preset } from "../engines/presets/index.ts";
import type { Client } from "./client.ts";
import { group, verb, type Context } from "./context.ts";
import { CliError } from "./errors.ts";
import { count, duration, money, relativeTime, table } from "./format.ts";
import { unknownName } from "./nearest.ts";
import { wholeNumber } from "./options.ts";
import { offeredPrice, offerText, presetOf, registerPresets, urlsOf } from "./presets.ts";
import { priceOf, withPriceOptions, type PriceOptions } from "./priceOptions.ts";

interface AddOptions extends PriceOptions {
  preset?: string;
  kind?: string;
  url?: string[];
  model: string;
  priceOffered?: boolean;
  keyEnv?: string;
  allowField?: string[];
  connectMs?: number;
  firstTokenMs?: number;
  idleMs?: number;
  concurrency?: number;
  json?: boolean;
}

export function registerEngines(program: Command, context: Context): void {
  const engines = group(program, "engines", {
    about: "Engines that serve models: the embedded one, and OpenAI-compatible endpoints of your own",
    examples: [
      "npx lineshaft engines list",
      "npx lineshaft engines add local --url http://localhost:8000/v1 --model qwen3 --price-in 0.10 --price-out 0.40",
    ],
  });
  registerPresets(engines, context);

  verb(engines, "list", {
    about: "List engines with their prices",
    examples: ["npx lineshaft engines list", "npx lineshaft engines list --json"],
  }).action(async (options: { json?: boolean }) => {
    const { terminal } = context;
    const list = await context.client().list<EngineResource>("/api/engines");
    if (options.json) return terminal.printJson({ data: list });
    const now = terminal.now();
    for (const line of table(list, [
      { title: "name", value: (row) => row.name },
      { title: "kind", value: (row) => row.kind },
      { title: "model", value: (row) => row.model },
      { title: "url", value: (row) => urlText(row.urls) },
      { title: "bounds", value: boundsText },
      { title: "in /M", value: (row) => priceText(row, "input_nano_per_million"), right: true },
      { title: "cached /M", value: (row) => priceText(row, "cached_nano_per_million"), right: true },
      { title: "out /M", value: (row) => priceText(row, "output_nano_per_million"), right: true },
      { title: "added", value: (row) => (row.created_at ? relativeTime(row.created_at, now) : "built in") },
    ]))
      terminal.print(line);
  });

  const add = verb(engines, "add <name>", {
    about: "Add an engine of a provider or of your own; agents and calls then use it by NAME as their model",
    examples: [
      "npx lineshaft engines add local --url http://localhost:8000/v1 --model qwen3 --price-in 0 --price-out 0",
      "npx lineshaft engines add qwen --preset dashscope --model qwen3.8-flash --price-offered",
    ],
  });
  withPriceOptions(
    add
      .option("--preset <name>", "provider whose address and key variable are used: npx lineshaft engines presets")
      .option(
        "--url <url>",
        "base address of its API, usually ending in /v1; once more for each further endpoint that serves the same",
        (url: string, before: string[] = []) => [...before, url],
      )
      .addOption(
        new Option("--kind <kind>", "the API that it is asked by; by default the provider's, else openai").choices([
          "openai",
          "responses",
          "anthropic",
          "gemini",
        ]),
      )
      .requiredOption("--model <model>", "the engine's own name of the model")
      .option(
        "--key-env <variable>",
        "variable of the Lineshaft process that holds its key: a provider's own, or one of LINESHAFT_KEY_ENVS",
      )
      .option(
        "--allow-field <name>",
        "field of a request that it may be sent beyond those of its software; once more for each further one",
        (name: string, before: string[] = []) => [...before, name],
      )
      .option("--connect-ms <n>", "time to open a connection, in milliseconds", wholeNumber)
      .option(
        "--first-token-ms <n>",
        "time to the first token, in milliseconds; then the call goes elsewhere or fails",
        wholeNumber,
      )
      .option("--idle-ms <n>", "time between two pieces of an answer, in milliseconds", wholeNumber)
      .option(
        "--concurrency <n>",
        "calls that each endpoint is sent at once; further ones wait or go elsewhere",
        wholeNumber,
      )
      .option("--price-offered", "take the public price that the preset has for the model"),
  ).action(async (name: string, options: AddOptions) => {
    const client = context.client();
    const preset = options.preset === undefined ? undefined : presetOf(options.preset);
    const urls = urlsOf(options.url, preset);
    const price = await wantedPrice(options, preset, client);
    if (!price) await assertPriced(client, name, offerText(preset, options.model));
    const body = {
      name,
      kind: options.kind ?? preset?.kind,
      urls,
      model: options.model,
      key_env: options.keyEnv ?? preset?.keyEnv,
      allow_fields: options.allowField,
      preset: preset?.name,
      connect_ms: options.connectMs,
      first_token_ms: options.firstTokenMs,
      idle_ms: options.idleMs,
      concurrency: options.concurrency,
      price,
    };
    const added = await client.post<EngineResource>("/api/engines", body);
    if (options.json) return context.terminal.printJson(added);
    context.terminal.print(`Engine ${added.name} serves ${added.model} from ${added.urls.join(", ")}.`);
    context.terminal.note(`Try it: npx lineshaft call "Hello" --model ${added.name}`);
  });

  verb(engines, "remove <name>", {
    about: "Remove an engine that was added; calls under way on it end first",
    examples: ["npx lineshaft engines remove local", "npx lineshaft engines remove hosted --json"],
  }).action(async (name: string, options: { json?: boolean }) => {
    const client = context.client();
    const names = (await client.list<EngineResource>("/api/engines")).map((engine) => engine.name);
    if (!names.includes(name)) throw unknownName("engine", name, names, "npx lineshaft engines list");
    await client.delete(`/api/engines/${encodeURIComponent(name)}`);
    if (options.json) return context.terminal.printJson({ name, removed: true });
    context.terminal.print(`Engine ${name} is removed.`);
  });

  verb(engines, "forget", {
    about:
      "Erase what is kept of this project's prompts: engines' KV, stored responses, conversations, batches and their files",
    examples: ["npx lineshaft engines forget", "npx lineshaft engines forget --json"],
  }).action(async (options: { json?: boolean }) => {
    const done = await context.client().delete<KvCacheErased>("/api/kv-cache");
    if (options.json) return context.terminal.printJson(done);
    context.terminal.print(`Erased at ${done.erased.join(", ") || "no endpoint"}.`);
    const { responses, conversations, batches, files } = done;
    context.terminal.print(
      `Deleted: ${count(responses)} responses, ${count(conversations)} conversations, ${count(batches)} batches, ${count(files)} files.`,
    );
    if (done.not_by_project.length > 0)
      context.terminal.note(`Not kept by project, so theirs to erase: ${done.not_by_project.join(", ")}.`);
  });
}

/** The first address, and the number of further ones. */
function urlText([first, ...others]: string[]): string {
  if (first === undefined) return "-";
  return others.length === 0 ? first : `${first} +${others.length}`;
}

/** "8 at once, idle 10 s": what its owner has bounded. */
function boundsText({ concurrency, connect_ms, first_token_ms, idle_ms }: EngineResource): string {
  const times = [
    ["connect", connect_ms],
    ["first token", first_token_ms],
    ["idle", idle_ms],
  ] as const;
  const parts = [
    ...(concurrency === null ? [] : [`${count(concurrency)} at once`]),
    ...times.flatMap(([what, ms]) => (ms === null ? [] : [`${what} ${duration(ms)}`])),
  ];
  return parts.join(", ") || "-";
}

function priceText(engine: EngineResource, field: `${"input" | "cached" | "output"}_nano_per_million`): string {
  return engine.price ? money(engine.price[field], engine.price.currency) : "-";
}

/** The price that the options say, or the preset's where --price-offered takes it. Throws CliError where both are given. */
async function wantedPrice(options: AddOptions, preset: Preset | undefined, client: Client) {
  const { priceOffered, ...given } = options;
  const price = await priceOf(given, client);
  if (priceOffered !== true) return price;
  if (price)
    throw new CliError({
      exitCode: 2,
      message: "--price-offered and a price of your own exclude each other.",
      hint: "Give one of the two.",
    });
  return priceOf(offeredPrice(preset, options.model), client);
}

/**
 * An engine that is added again keeps its price. A new engine needs one here, because every call of an engine without a price would be
 * refused.
 */
async function assertPriced(client: Client, name: string, offer: string | undefined): Promise<void> {
  const known = (await client.list<EngineResource>("/api/engines")).find((engine) => engine.name === name);
  if (known?.price) return;
  throw new CliError({
    exitCode: 2,
    code: "model_unpriced",
    message: `The engine ${name} has no price.`,
    why: "Calls without a price are refused (model_unpriced), so that no budget is passed unseen.",
    hint: offer ?? "Give what a million tokens cost: --price-in 0.10 --price-out 0.40, or 0 for both.",
  });
}
