// The context that every verb gets, and the function that declares a verb: its help, two examples that work unchanged, and `--json`.
import type { Command } from "commander";
import { Client } from "./client.ts";
import type { Terminal } from "./terminal.ts";

export interface Context {
  terminal: Terminal;
  env: NodeJS.ProcessEnv;
  /** The API of the running instance; throws a CliError when none can be found. */
  client(): Client;
  /** Aborted by Ctrl-C and SIGTERM. */
  signal: AbortSignal;
}

interface VerbWords {
  about: string;
  examples: [string, string];
}

/** Declares a command with `--json` and its examples; arguments and further options are added by the caller. */
export function verb(parent: Command, usage: string, words: VerbWords): Command {
  return withExamples(parent.command(usage).description(words.about), words.examples).option(
    "--json",
    "print JSON for programs",
  );
}

/** A command that only groups verbs. */
export function group(parent: Command, name: string, words: VerbWords): Command {
  return withExamples(parent.command(name).description(words.about), words.examples);
}

export function withExamples(command: Command, examples: string[]): Command {
  known.set(command, examples);
  return command.addHelpText("after", `\nExamples:\n${examples.map((line) => `  $ ${line}`).join("\n")}\n`);
}

const known = new WeakMap<Command, string[]>();

/** The examples that a command's help shows. */
export const examplesOf = (command: Command): string[] => known.get(command) ?? [];

export function makeContext(terminal: Terminal, signal: AbortSignal): Context {
  return { terminal, env: terminal.env, signal, client: () => Client.fromEnvironment(terminal.env) };
}
