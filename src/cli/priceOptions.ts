// Prices as a person types them: --price-in 5 --price-cached 0.50 --price-out 30 --price-tier 272000:in=10,cached=1,out=45. Amounts are
// units of the currency per million tokens, as providers publish them; what is sent are nano-units.
import type { Command } from "commander";
import type { PriceSet } from "../contract/index.ts";
import { LineshaftError } from "../errors/index.ts";
import { parseMoney } from "../ledger/money.ts";
import type { Client } from "./client.ts";
import { CliError } from "./errors.ts";

export interface PriceOptions {
  priceIn?: string;
  priceCached?: string;
  priceOut?: string;
  priceCacheWrite?: string;
  priceCacheWriteLong?: string;
  priceReasoning?: string;
  priceTier?: string[];
  priceBatch?: string;
  priceBatchTier?: string[];
  priceCall?: string;
  priceUnit?: string[];
  currency?: string;
}

const again = (value: string, before: string[] = []) => [...before, value];

/** Adds the options of a price to a command. */
export function withPriceOptions(command: Command): Command {
  return command
    .option(
      "--price-in <amount>",
      "price per million prompt tokens; 0 is a price, and without one no call is let through",
    )
    .option("--price-cached <amount>", "price per million cached prompt tokens; that of prompt tokens by default")
    .option("--price-out <amount>", "price per million output tokens")
    .option("--price-cache-write <amount>", "per million tokens written to the cache; that of prompt tokens by default")
    .option("--price-cache-write-long <amount>", "the same for the longer lifetime (Anthropic's 1 hour)")
    .option("--price-reasoning <amount>", "per million reasoning tokens; that of output tokens by default")
    .option(
      "--price-tier <tier>",
      "prices of calls with a longer prompt, whole: 272000:in=10,cached=1,out=45 (and write=, write-long=, reasoning=); once more for each further one",
      again,
    )
    .option("--price-batch <prices>", "prices of batch jobs: a discount (50%), or in=2.50,cached=0.25,out=15")
    .option("--price-batch-tier <tier>", "as --price-tier, for batch jobs", again)
    .option("--price-call <amount>", "fee of a call")
    .option(
      "--price-unit <name=amount>",
      "price of one unit that is not tokens: search=0.01; once more for each further one",
      again,
    )
    .option("--currency <code>", "currency of the prices; the organisation's by default");
}

/** The price that the options say, as the API takes it; undefined where they say none. Throws CliError for what cannot be read. */
export async function priceOf(options: PriceOptions, client: Client): Promise<PriceSet | undefined> {
  const given = Object.entries(options).some(([name, value]) => name.startsWith("price") && value !== undefined);
  if (!given) return undefined;
  if (options.priceIn === undefined || options.priceOut === undefined)
    throw new CliError({
      exitCode: 2,
      message: "A price needs both of its sides.",
      why: `${options.priceIn === undefined ? "--price-in" : "--price-out"} is missing.`,
      hint: "Give --price-in and --price-out, or no price at all.",
    });
  const currency =
    options.currency ?? (await client.get<{ organisation: { currency: string } }>("/api/status")).organisation.currency;
  const price: PriceSet = {
    currency,
    input_nano_per_million: nano(options.priceIn, "--price-in"),
    output_nano_per_million: nano(options.priceOut, "--price-out"),
  };
  if (options.priceCached !== undefined) price.cached_nano_per_million = nano(options.priceCached, "--price-cached");
  if (options.priceCacheWrite !== undefined)
    price.cache_write_nano_per_million = nano(options.priceCacheWrite, "--price-cache-write");
  if (options.priceCacheWriteLong !== undefined)
    price.cache_write_long_nano_per_million = nano(options.priceCacheWriteLong, "--price-cache-write-long");
  if (options.priceReasoning !== undefined)
    price.reasoning_nano_per_million = nano(options.priceReasoning, "--price-reasoning");
  if (options.priceTier) price.tiers = options.priceTier.map((text) => tierOf(text, "--price-tier"));
  if (options.priceCall !== undefined) price.call_nano = nano(options.priceCall, "--price-call");
  if (options.priceUnit) price.units_nano = Object.fromEntries(options.priceUnit.map((text) => unitOf(text)));
  const batch = batchOf(options);
  if (batch) price.batch = batch;
  return price;
}

type Prices = Omit<NonNullable<PriceSet["tiers"]>[number], "above_prompt_tokens">;
type Tier = NonNullable<PriceSet["tiers"]>[number];

const fields: Record<string, keyof Prices> = {
  in: "input_nano_per_million",
  cached: "cached_nano_per_million",
  out: "output_nano_per_million",
  write: "cache_write_nano_per_million",
  "write-long": "cache_write_long_nano_per_million",
  reasoning: "reasoning_nano_per_million",
};

/** "in=10,cached=1,out=45". */
function pricesOf(text: string, option: string): Prices {
  const prices: Partial<Prices> = {};
  for (const part of text.split(",")) {
    const [name, amount] = part.split("=", 2);
    const field = fields[name!.trim()];
    if (field === undefined || amount === undefined || prices[field] !== undefined)
      throw unreadable(option, text, `${part} is not one of ${Object.keys(fields).join("=, ")}=, each once.`);
    prices[field] = nano(amount, option);
  }
  const { input_nano_per_million: input, output_nano_per_million: output } = prices;
  if (input === undefined || output === undefined) throw unreadable(option, text, "in= and out= are needed.");
  return { ...prices, input_nano_per_million: input, output_nano_per_million: output };
}

/** "272000:in=10,cached=1,out=45". */
function tierOf(text: string, option: string): Tier {
  const match = /^(\d{1,9}):(.+)$/.exec(text.trim());
  if (!match)
    throw unreadable(option, text, "A tier begins with the size that its prompts exceed, in tokens, and a colon.");
  return { above_prompt_tokens: Number(match[1]), ...pricesOf(match[2]!, option) };
}

function batchOf({ priceBatch, priceBatchTier }: PriceOptions): PriceSet["batch"] {
  const discount = /^(\d{1,3})\s*%$/.exec(priceBatch?.trim() ?? "");
  if (priceBatchTier && (priceBatch === undefined || discount))
    throw unreadable(
      "--price-batch-tier",
      priceBatchTier[0]!,
      "It adds to prices of batch jobs: give --price-batch in=N,out=N too.",
    );
  if (priceBatch === undefined) return undefined;
  if (discount) return { discount_percent: Number(discount[1]) };
  const prices = pricesOf(priceBatch, "--price-batch");
  return priceBatchTier
    ? { ...prices, tiers: priceBatchTier.map((text) => tierOf(text, "--price-batch-tier")) }
    : prices;
}

function unitOf(text: string): [name: string, nano: string] {
  const [name, amount] = text.split("=", 2);
  if (!name || amount === undefined) throw unreadable("--price-unit", text, "A unit is written as NAME=AMOUNT.");
  return [name, nano(amount, "--price-unit")];
}

function unreadable(option: string, text: string, why: string): CliError {
  return new CliError({
    exitCode: 2,
    message: `${option} ${text} cannot be read.`,
    why,
    hint: "npx lineshaft prices set --help shows how prices are written.",
  });
}

/** An amount that a person typed, as the API's integer string. */
export function nano(text: string, option: string): string {
  try {
    return parseMoney(text).toString();
  } catch (error) {
    if (!(error instanceof LineshaftError)) throw error;
    throw new CliError({
      exitCode: 2,
      message: `${option} cannot be read.`,
      why: error.message,
      hint: `Write it like ${option} 0.50`,
    });
  }
}
