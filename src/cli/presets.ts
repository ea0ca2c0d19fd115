// `lineshaft engines presets`, and what `engines add --preset` fills in: the provider's address, the variable of its key, and the public
// price of a model, which is used only where `--price-offered` takes it.
import type { Command } from "commander";
import { findPreset, presets, type OfferedPrice, type Preset } from "../engines/presets/index.ts";
import { verb, type Context } from "./context.ts";
import { CliError } from "./errors.ts";
import { count, table } from "./format.ts";
import { unknownName } from "./nearest.ts";
import type { PriceOptions } from "./priceOptions.ts";

/** Adds `engines presets` to the group. */
export function registerPresets(engines: Command, context: Context): void {
  verb(engines, "presets [name]", {
    about: "List the providers that `engines add --preset` knows, or one of them with its models and public prices",
    examples: ["npx lineshaft engines presets", "npx lineshaft engines presets dashscope"],
  }).action((name: string | undefined, options: { json?: boolean }) => {
    const { terminal } = context;
    if (name === undefined) {
      if (options.json) return terminal.printJson({ data: presets });
      for (const line of presetTable()) terminal.print(line);
      return;
    }
    const preset = presetOf(name);
    if (options.json) return terminal.printJson(preset);
    terminal.print(`${preset.about}: ${preset.url ?? preset.urlExample}, key in ${preset.keyEnv}, see ${preset.docs}`);
    for (const line of modelTable(preset)) terminal.print(line);
    terminal.note("These models are known by name; the provider may serve more. Prices are per million tokens.");
  });
}

/** The preset of that name. Throws CliError for a name that is not known. */
export function presetOf(name: string): Preset {
  const preset = findPreset(name);
  if (preset) return preset;
  throw unknownName(
    "preset",
    name,
    presets.map((one) => one.name),
    "npx lineshaft engines presets",
  );
}

/** The addresses of an engine: the given ones, else the preset's. Throws CliError where there is neither. */
export function urlsOf(given: string[] | undefined, preset: Preset | undefined): string[] {
  if (given) return given;
  if (preset?.url !== undefined) return [preset.url];
  throw new CliError({
    exitCode: 2,
    message: "An engine needs an address.",
    why: preset ? `Every customer of ${preset.about} has one of their own.` : "Neither --url nor --preset is given.",
    hint: preset
      ? `Give it: --url ${preset.urlExample}`
      : "Give --url URL, or --preset NAME (lineshaft engines presets).",
  });
}

/** The public price of a model as price options. Throws CliError where the preset has none. */
export function offeredPrice(preset: Preset | undefined, model: string): PriceOptions {
  const price = preset?.models.find(({ id }) => id === model)?.price;
  if (price) return optionsOf(price);
  throw new CliError({
    exitCode: 2,
    message: `No public price is known for ${model}.`,
    why: preset
      ? `The preset ${preset.name} has none for it.`
      : "--price-offered takes it from a preset, and none is given.",
    hint: "Give --price-in and --price-out, as the provider's price list says.",
  });
}

/** One sentence that says which price is offered and where it stands; undefined where none is. */
export function offerText(preset: Preset | undefined, model: string): string | undefined {
  const price = preset?.models.find(({ id }) => id === model)?.price;
  if (!price) return undefined;
  return `${price.source} said in ${price.asOf}: ${priceText(price)} ${price.currency} per million tokens. Take it with --price-offered, or give your own.`;
}

function optionsOf(price: OfferedPrice): PriceOptions {
  const options: PriceOptions = { priceIn: price.input, priceOut: price.output, currency: price.currency };
  if (price.cached !== undefined) options.priceCached = price.cached;
  if (price.cacheWrite !== undefined) options.priceCacheWrite = price.cacheWrite;
  if (price.cacheWriteLong !== undefined) options.priceCacheWriteLong = price.cacheWriteLong;
  if (price.tiers)
    options.priceTier = price.tiers.map((tier) => {
      const parts = [`in=${tier.input}`, `out=${tier.output}`];
      if (tier.cached !== undefined) parts.push(`cached=${tier.cached}`);
      if (tier.cacheWrite !== undefined) parts.push(`write=${tier.cacheWrite}`);
      return `${tier.abovePromptTokens}:${parts.join(",")}`;
    });
  return options;
}

function priceText({ input, cached, output, tiers }: OfferedPrice): string {
  const base = `${input} in, ${cached === undefined ? "" : `${cached} cached, `}${output} out`;
  return tiers
    ? `${base}, more above ${tiers.map((tier) => count(tier.abovePromptTokens)).join(" and ")} tokens`
    : base;
}

const presetTable = (): string[] =>
  table(
    [...presets],
    [
      { title: "preset", value: (row) => row.name },
      { title: "provider", value: (row) => row.about },
      { title: "address", value: (row) => row.url ?? row.urlExample ?? "-" },
      { title: "key", value: (row) => row.keyEnv },
      { title: "models", value: (row) => String(row.models.length), right: true },
    ],
  );

const modelTable = (preset: Preset): string[] =>
  table(
    [...preset.models],
    [
      { title: "model", value: (row) => row.id },
      {
        title: "context",
        value: (row) => (row.contextTokens === undefined ? "-" : count(row.contextTokens)),
        right: true,
      },
      { title: "price", value: (row) => (row.price ? `${priceText(row.price)} ${row.price.currency}` : "-") },
      { title: "read", value: (row) => row.price?.asOf ?? "-" },
    ],
  );
