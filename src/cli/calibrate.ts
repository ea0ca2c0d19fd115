// `lineshaft calibrate`: measures an endpoint and writes the profile by which `simulate` and `plan` model it. It calls only the endpoint
// and needs no running instance.
import type { Command } from "commander";
import { engineBaseUrl } from "../engines/index.ts";
import { withExamples, type Context } from "./context.ts";
import { CliError } from "./errors.ts";
import { number, numberOf, shownProgress, words } from "./options.ts";
import { endpointSend } from "./probe.ts";

interface CalibrateVerbOptions {
  url: string;
  model: string;
  like: string;
  keyEnv?: string;
  out: string;
  prompts?: string;
  batches?: string;
  outputTokens?: number;
  repetitions?: number;
  slots?: number;
  kvTokens?: number;
  maxBatchTokens?: number;
  chip?: string;
  chips?: number;
  price?: number;
  json?: boolean;
}

export function registerCalibrate(program: Command, context: Context): void {
  withExamples(
    program.command("calibrate").description("Measure an endpoint and write its profile for the simulator"),
    [
      "npx lineshaft calibrate --url http://localhost:4070/v1 --key-env LINESHAFT_KEY --model smollm2-135m-instruct --like cpu-smollm2-135m",
      "npx lineshaft calibrate --url http://10.0.0.7:8000/v1 --model llama-3.1-70b --like h100-llama-3.1-70b-tp4 --kv-tokens 461376 --slots 256 --out pod.json",
    ],
  )
    .requiredOption("--url <address>", "an endpoint that serves /v1/completions and nothing else meanwhile")
    .requiredOption("--model <name>", "the model's name there")
    .requiredOption("--like <profile>", "profile that gives what cannot be measured: built in by name, or a .json path")
    .option("--key-env <variable>", "environment variable that holds the endpoint's key")
    .option("--out <file>", "where to write the profile", "profile.json")
    .option("--prompts <tokens>", "lengths of prompts to measure, separated by commas")
    .option("--batches <numbers>", "calls that decode at once, separated by commas")
    .addOption(number("--output-tokens <number>", "tokens that a decoding call generates"))
    .addOption(number("--repetitions <number>", "times that each is measured; the median counts"))
    .addOption(number("--slots <number>", "sequences that the endpoint runs at once"))
    .addOption(number("--kv-tokens <number>", "tokens of KV that its device holds"))
    .addOption(number("--max-batch-tokens <number>", "prompt tokens that one step may compute"))
    .option("--chip <name>", "name of the chip, to show in reports")
    .addOption(number("--chips <number>", "chips that work together on one replica"))
    .addOption(number("--price <amount>", "price of a chip for an hour"))
    .option("--json", "print the profile and the measured rows as JSON")
    .action(async (options: CalibrateVerbOptions) => {
      const { runCalibrateCommand } = await import("../simulator/index.ts");
      const { progress, done } = shownProgress(context);
      const { result, text, files } = await runCalibrateCommand({
        send: endpointSend({
          baseUrl: engineBaseUrl(options.url),
          model: options.model,
          key: keyOf(context, options.keyEnv),
        }),
        model: options.model,
        like: options.like,
        out: options.out,
        overrides: overridesOf(options),
        promptLengths: numbers(options.prompts, "--prompts"),
        batches: numbers(options.batches, "--batches"),
        outputTokens: options.outputTokens,
        repetitions: options.repetitions,
        onProgress: (finished, total) => progress("measuring", finished / total),
        signal: context.signal,
      }).finally(done);
      context.terminal.print(options.json === true ? JSON.stringify(result, null, 2) : text);
      for (const file of files) context.terminal.note(`Written: ${file}. Name it as the profile of a fleet's pool.`);
    });
}

function keyOf({ env }: Context, variable: string | undefined): string | undefined {
  if (variable === undefined) return undefined;
  const key = env[variable];
  if (key !== undefined && key !== "") return key;
  throw new CliError({
    exitCode: 2,
    message: `${variable} is not set in this shell.`,
    hint: `Export it first: export ${variable}=...`,
  });
}

function overridesOf(options: CalibrateVerbOptions) {
  return {
    ...(options.slots !== undefined && { maxSequences: options.slots }),
    ...(options.kvTokens !== undefined && { kvCapacityTokens: options.kvTokens }),
    ...(options.maxBatchTokens !== undefined && { maxBatchTokens: options.maxBatchTokens }),
    ...(options.chip !== undefined && { chip: options.chip }),
    ...(options.chips !== undefined && { chips: options.chips }),
    ...(options.price !== undefined && { pricePerChipHour: options.price }),
  };
}

const numbers = (list: string | undefined, option: string): number[] | undefined =>
  list === undefined ? undefined : words(list).map((word) => numberOf(word, option));
