// `lineshaft secrets`: credentials of a project's tools. A value comes from stdin, a file or a variable, never from an argument, which the
// shell's history and the process list would show. It is never printed.
import type { Command } from "commander";
import type { SecretResource } from "../contract/index.ts";
import { group, verb, type Context } from "./context.ts";
import { CliError } from "./errors.ts";
import { relativeTime, table } from "./format.ts";
import { readInput } from "./input.ts";
import { unknownName } from "./nearest.ts";

const listCommand = "npx lineshaft secrets list";

interface SetOptions {
  host: string[];
  project?: string;
  fromEnv?: string;
  fromFile?: string;
  json?: boolean;
}

export function registerSecrets(program: Command, context: Context): void {
  const secrets = group(program, "secrets", {
    about: "Secrets: credentials of a project's tools, each for its own hosts",
    examples: [listCommand, "npx lineshaft secrets set plant --host api.example.com --from-file token.txt"],
  });

  verb(secrets, "list", {
    about: "List secrets with their hosts; values are never shown",
    examples: [listCommand, "npx lineshaft secrets list --json"],
  }).action(async (options: { json?: boolean }) => {
    const { terminal } = context;
    const list = await context.client().list<SecretResource>("/api/secrets");
    if (options.json) return terminal.printJson({ data: list });
    if (list.length === 0) return terminal.note("There are no secrets yet: npx lineshaft secrets set NAME --host HOST");
    const now = terminal.now();
    for (const line of table(list, [
      { title: "name", value: (row) => row.name },
      { title: "hosts", value: (row) => row.hosts.join(", ") },
      { title: "project", value: (row) => row.project },
      { title: "set", value: (row) => relativeTime(row.created_at, now) },
      { title: "by", value: (row) => row.created_by ?? "an earlier version" },
    ]))
      terminal.print(line);
  });

  verb(secrets, "set <name>", {
    about: "Set a secret, or replace it with its hosts; its value is read from stdin",
    examples: [
      "npx lineshaft secrets set plant --host api.example.com --from-file token.txt",
      "npx lineshaft secrets set plant --host 127.0.0.1:4077 --from-env PLANT_TOKEN",
    ],
  })
    .requiredOption(
      "--host <host>",
      "host that it may be sent to, such as api.example.com, *.example.com or 127.0.0.1:4077; again for another one",
      (host: string, before: string[] = []) => [...before, host],
    )
    .option("--project <project>", "id or name of the project; that of the key by default")
    .option("--from-env <variable>", "environment variable of this command that holds the value")
    .option("--from-file <path>", "file that holds the value")
    .action(async (name: string, options: SetOptions) => {
      const value = await valueOf(context, options);
      const body = { value, hosts: options.host, ...(options.project !== undefined && { project: options.project }) };
      const made = await context.client().put<SecretResource>(`/api/secrets/${encodeURIComponent(name)}`, body);
      if (options.json) return context.terminal.printJson(made);
      context.terminal.print(`Secret ${made.name} is sent to ${made.hosts.join(", ")} by tools of ${made.project}.`);
    });

  verb(secrets, "remove <name>", {
    about: "Remove a secret and erase its value; tools that need it stop at once",
    examples: ["npx lineshaft secrets remove plant", "npx lineshaft secrets remove plant --json"],
  })
    .option("--project <project>", "id or name of the project; that of the key by default")
    .action(async (name: string, options: { project?: string; json?: boolean }) => {
      const client = context.client();
      const names = (await client.list<SecretResource>("/api/secrets")).map((secret) => secret.name);
      if (!names.includes(name)) throw unknownName("secret", name, names, listCommand);
      const of = options.project === undefined ? "" : `?project=${encodeURIComponent(options.project)}`;
      await client.delete(`/api/secrets/${encodeURIComponent(name)}${of}`);
      if (options.json) return context.terminal.printJson({ name, removed: true });
      context.terminal.print(`Secret ${name} is removed.`);
    });
}

async function valueOf(context: Context, { fromEnv, fromFile }: SetOptions): Promise<string> {
  if (fromEnv !== undefined && fromFile !== undefined)
    throw new CliError({
      exitCode: 2,
      message: "The value can come from one place only.",
      why: "Both --from-env and --from-file were given.",
      hint: "Give one of them, or neither and write the value to stdin.",
    });
  if (fromEnv !== undefined) {
    const value = context.env[fromEnv];
    if (value) return value;
    throw new CliError({
      exitCode: 2,
      message: `${fromEnv} is not set.`,
      why: "--from-env reads a variable of this command's own environment.",
      hint: `Set it for this command, or write the value to a file and give --from-file.`,
    });
  }
  if (fromFile === undefined && context.terminal.stdin.isTTY)
    throw new CliError({
      exitCode: 2,
      message: "The value is missing.",
      why: "It is not taken from the command line, whose words others can see, and stdin is a terminal.",
      hint: "Write it to a file (0600) and give --from-file, or pipe it: SOMETHING | npx lineshaft secrets set NAME --host HOST",
    });
  return (await readInput(fromFile ?? "-", context.terminal)).trim();
}
