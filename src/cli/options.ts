// Options and output that several verbs share: numeric options, comma-separated lists, and progress with the time left.
import { InvalidArgumentError, Option } from "commander";
import type { Context } from "./context.ts";
import { CliError } from "./errors.ts";
import { duration } from "./format.ts";

export function number(flags: string, about: string): Option {
  return new Option(flags, about).argParser((text) => numberOf(text, flags.split(" ")[0]!));
}

export function numberOf(text: string, option: string): number {
  const value = Number(text);
  if (text.trim() !== "" && Number.isFinite(value)) return value;
  throw new CliError({ exitCode: 2, message: `${option} ${text} is not a number.`, hint: `Write it like ${option} 2` });
}

/** Parses an option that is a whole number; any other value is wrong usage. */
export function wholeNumber(text: string): number {
  if (!/^[1-9]\d{0,6}$/.test(text)) throw new InvalidArgumentError("It must be a whole number from 1 on.");
  return Number(text);
}

export const words = (list: string): string[] =>
  list
    .split(",")
    .map((word) => word.trim())
    .filter((word) => word !== "");

export function shownProgress(context: Context) {
  const begun = performance.now();
  const line = context.terminal.progress();
  return {
    progress(what: string, share: number): void {
      const elapsed = performance.now() - begun;
      const left = share > 0.02 ? `, ${duration((elapsed / share) * (1 - share))} left` : "";
      line.show(`${what}: ${Math.round(share * 100)} % (${duration(elapsed)}${left})`);
    },
    done: () => line.done(),
  };
}
