// `lineshaft prices`: what models cost, from when on, and how the price of a call comes about.
import type { Command } from "commander";
import type { CardResource, PriceExplained, UnknownPriceResource } from "../contract/index.ts";
import { group, verb, type Context } from "./context.ts";
import { CliError } from "./errors.ts";
import { count, money, table } from "./format.ts";
import { priceOf, withPriceOptions, type PriceOptions } from "./priceOptions.ts";

interface SetOptions extends PriceOptions {
  from?: string;
  until?: string;
  json?: boolean;
}

interface Counts {
  prompt: string;
  cached: string;
  cacheWrite: string;
  cacheWriteLong: string;
  output: string;
  reasoning: string;
  unit?: string[];
  batch?: boolean;
  json?: boolean;
}

export function registerPrices(program: Command, context: Context): void {
  const prices = group(program, "prices", {
    about: "Prices of models: tiers, caches, reasoning, fees, batch jobs, and from when on they are valid",
    examples: [
      "npx lineshaft prices list",
      "npx lineshaft prices explain smollm2-135m-instruct --prompt 12000 --cached 9000 --output 500",
    ],
  });
  registerList(prices, context);
  registerSet(prices, context);
  registerExplain(prices, context);
  registerUnknown(prices, context);
}

function registerList(prices: Command, context: Context): void {
  verb(prices, "list [model]", {
    about: "List the prices that are valid and planned, or every version of one model's",
    examples: ["npx lineshaft prices list", "npx lineshaft prices list smollm2-135m-instruct --json"],
  }).action(async (model: string | undefined, options: { json?: boolean }) => {
    const { terminal } = context;
    const client = context.client();
    const cards = await client.list<CardResource>("/api/prices", { model });
    const unknown = await client.get<UnknownPriceResource>("/api/prices/unknown");
    if (options.json) return terminal.printJson({ data: cards, unknown });
    const perMillion = (card: CardResource, nano: string) => money(nano, card.currency);
    for (const line of table(cards, [
      { title: "model", value: (card) => card.model },
      { title: "version", value: (card) => String(card.version), right: true },
      { title: "state", value: (card) => card.state },
      { title: "in /M", value: (card) => perMillion(card, card.input_nano_per_million), right: true },
      { title: "cached /M", value: (card) => perMillion(card, card.cached_nano_per_million), right: true },
      { title: "out /M", value: (card) => perMillion(card, card.output_nano_per_million), right: true },
      { title: "more", value: moreText },
      { title: "valid", value: validText },
    ]))
      terminal.print(line);
    terminal.note(
      unknown.rule === "refuse"
        ? "Calls of models without a price are refused."
        : `Calls of models without a price are billed by that of ${unknown.fallback}, as estimates.`,
    );
  });
}

function registerSet(prices: Command, context: Context): void {
  withPriceOptions(
    verb(prices, "set <model>", {
      about: "Set the prices of a model, from now on or for a time; calls under way keep those that they were held at",
      examples: [
        "npx lineshaft prices set gpt-5.5 --price-in 5 --price-cached 0.50 --price-out 30 --price-tier 272000:in=10,cached=1,out=45 --price-batch 50%",
        "npx lineshaft prices set claude-sonnet-4-5 --price-in 3 --price-cached 0.30 --price-cache-write 3.75 --price-cache-write-long 6 --price-out 15 --price-unit search=0.01 --from 2999-01-01",
      ],
    }),
  )
    .option("--from <time>", "first moment at which they are valid; now by default")
    .option("--until <time>", "first moment at which they no longer are; never by default")
    .action(async (model: string, options: SetOptions) => {
      const client = context.client();
      const price = await priceOf(options, client);
      if (!price)
        throw new CliError({
          exitCode: 2,
          message: `No price of ${model} is given.`,
          why: "A price that is left out is unknown, and never 0.",
          hint: "Give what a million tokens cost: --price-in 0.10 --price-out 0.40, or 0 for both.",
        });
      const card = await client.put<CardResource>("/api/prices", {
        model,
        ...price,
        valid_from: options.from,
        valid_until: options.until,
      });
      if (options.json) return context.terminal.printJson(card);
      context.terminal.print(
        `Version ${card.version} of the prices of ${card.model} is ${card.state}, ${validText(card)}.`,
      );
      context.terminal.note(`What a call costs: npx lineshaft prices explain ${card.model} --prompt 1000 --output 100`);
    });
}

function registerExplain(prices: Command, context: Context): void {
  verb(prices, "explain <model>", {
    about: "Show what a use of a model costs now, line by line",
    examples: [
      "npx lineshaft prices explain smollm2-135m-instruct --prompt 12000 --cached 9000 --output 500",
      "npx lineshaft prices explain smollm2-135m-instruct --prompt 300000 --cache-write 2000 --output 500 --reasoning 100 --json",
    ],
  })
    .option("--prompt <tokens>", "all prompt tokens, those that were cached or written included", "0")
    .option("--cached <tokens>", "prompt tokens that were read from the cache", "0")
    .option("--cache-write <tokens>", "prompt tokens that were written to the cache", "0")
    .option("--cache-write-long <tokens>", "prompt tokens that were written to the cache of the longer lifetime", "0")
    .option("--output <tokens>", "all output tokens, reasoning included", "0")
    .option("--reasoning <tokens>", "output tokens of reasoning", "0")
    .option(
      "--unit <name=count>",
      "units that are not tokens; once more for each further one",
      (one: string, before: string[] = []) => [...before, one],
    )
    .option("--batch", "as a batch job")
    .action(async (model: string, options: Counts) => {
      const explained = await context.client().post<PriceExplained>("/api/prices/explain", asked(model, options));
      if (options.json) return context.terminal.printJson(explained);
      print(explained, context);
    });
}

function registerUnknown(prices: Command, context: Context): void {
  verb(prices, "unknown <rule>", {
    about:
      "What is done with calls of models without a price: refuse them, or bill them by another model's price as estimates",
    examples: [
      "npx lineshaft prices unknown refuse",
      "npx lineshaft prices unknown hold-at --fallback smollm2-135m-instruct --json",
    ],
  })
    .option(
      "--fallback <model>",
      "the model whose price is taken, for hold-at; the dearest that may be meant is a safe choice",
    )
    .action(async (rule: string, options: { fallback?: string; json?: boolean }) => {
      const wanted =
        rule === "refuse" && options.fallback === undefined
          ? { rule }
          : rule === "hold-at" && options.fallback !== undefined
            ? { rule: "hold_at", fallback: options.fallback }
            : undefined;
      if (!wanted)
        throw new CliError({
          exitCode: 2,
          message: `The rule ${rule} cannot be read.`,
          why: "It is refuse, or hold-at with --fallback.",
          hint: "npx lineshaft prices unknown hold-at --fallback MODEL",
        });
      const made = await context.client().put<UnknownPriceResource>("/api/prices/unknown", wanted);
      if (options.json) return context.terminal.printJson(made);
      context.terminal.print(
        made.rule === "refuse"
          ? "Calls of models without a price are refused."
          : `Calls of models without a price are billed by that of ${made.fallback}, as estimates, with an alarm.`,
      );
    });
}

function asked(model: string, options: Counts) {
  return {
    model,
    prompt_tokens: whole(options.prompt, "--prompt"),
    cached_tokens: whole(options.cached, "--cached"),
    cache_write_tokens: whole(options.cacheWrite, "--cache-write"),
    cache_write_long_tokens: whole(options.cacheWriteLong, "--cache-write-long"),
    output_tokens: whole(options.output, "--output"),
    reasoning_tokens: whole(options.reasoning, "--reasoning"),
    batch: options.batch ?? false,
    units:
      options.unit &&
      Object.fromEntries(
        options.unit.map((text) => {
          const [name = "", units = ""] = text.split("=", 2);
          return [name, whole(units, "--unit")];
        }),
      ),
  };
}

function whole(text: string, option: string): number {
  if (/^\d{1,15}$/.test(text)) return Number(text);
  throw new CliError({
    exitCode: 2,
    message: `${option} cannot be read.`,
    why: `${JSON.stringify(text)} is not a whole number.`,
    hint: `Write it like ${option} 1000`,
  });
}

const kinds: Record<string, string> = {
  input: "prompt, computed",
  cached: "prompt, cached",
  cache_write: "prompt, written to the cache",
  cache_write_long: "prompt, written for longer",
  output: "output",
  reasoning: "output, reasoning",
  call: "fee of the call",
};

/** The arithmetic, as a person checks it: each line's product, their sum, and the one rounding. */
function print({ card, lines, ...explained }: PriceExplained, { terminal }: Context): void {
  const { currency } = card;
  const millionth = 1_000_000n;
  for (const line of table(lines, [
    { title: "what", value: ({ kind }) => kinds[kind] ?? kind.replace("unit:", "") },
    { title: "count", value: (one) => count(one.count), right: true },
    {
      title: "price",
      value: ({ kind, nano_per_million: price }) =>
        kind === "call" || kind.startsWith("unit:")
          ? money((BigInt(price) / millionth).toString(), currency)
          : `${money(price, currency)} /M`,
      right: true,
    },
    { title: "amount", value: (one) => `${exact(one.millionths_nano)} n${currency}`, right: true },
  ]))
    terminal.print(line);
  const tier = explained.above_prompt_tokens;
  if (tier !== null) terminal.print(`Priced whole by the tier above ${count(tier)} prompt tokens.`);
  terminal.print(
    `Sum, rounded half up once: ${count(BigInt(explained.amount_nano))} n${currency} = ${money(explained.amount_nano, currency)}.`,
  );
  terminal.print(`A call of at most so many tokens holds ${money(explained.held_nano, currency)}.`);
  if (card.estimate) terminal.note(`${card.model} has no price of its own: this is the fallback's, and an estimate.`);
}

/** Millionths of nano-units as a decimal number, without a digit lost. */
function exact(millionths: string): string {
  const digits = millionths.padStart(7, "0");
  const fraction = digits.slice(-6).replace(/0+$/, "");
  return `${count(BigInt(digits.slice(0, -6)))}${fraction === "" ? "" : `.${fraction}`}`;
}

function moreText(card: CardResource): string {
  const parts = [
    ...(card.tiers ?? []).map((tier) => `tier >${count(tier.above_prompt_tokens)}`),
    ...(card.cache_write_nano_per_million === undefined ? [] : ["cache writes"]),
    ...(card.reasoning_nano_per_million === undefined ? [] : ["reasoning"]),
    ...(card.call_nano === undefined ? [] : ["fee"]),
    ...Object.keys(card.units_nano ?? {}),
    ...(card.batch === undefined ? [] : ["batch"]),
  ];
  return parts.length === 0 ? "-" : parts.join(", ");
}

function validText({ valid_from: from, valid_until: until }: CardResource): string {
  const day = (time: string) => time.replace("T00:00:00.000Z", "").replace(/\.\d+Z$/, "Z");
  const since = from === undefined ? "since ever" : `from ${day(from)}`;
  return until === undefined ? since : `${since} until ${day(until)}`;
}
