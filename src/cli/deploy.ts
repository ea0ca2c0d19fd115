// `lineshaft deploy DIR`: publishes the agent whose manifest lies in a folder. The same manifest again is no new version.
import { stat } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import type { Command } from "commander";
import { isScalar, parseDocument, visit } from "yaml";
import { verb, type Context } from "./context.ts";
import { CliError } from "./errors.ts";
import { readInput } from "./input.ts";

const manifestNames = ["agent.yaml", "agent.yml"];

export function registerDeploy(program: Command, context: Context): void {
  verb(program, "deploy <folder>", {
    about: "Publish the agent whose agent.yaml lies in a folder (or give the file itself)",
    examples: [
      "npx lineshaft deploy examples/maintenance-inspector",
      "npx lineshaft deploy examples/maintenance-inspector/agent.yaml --json",
    ],
  }).action(async (folder: string, options: { json?: boolean }) => {
    const path = await manifestPath(folder);
    const manifest = await readInput(path);
    const files = await namedFiles(manifest, dirname(path));
    const deployed = await context
      .client()
      .post<{ id: string; name: string; version: number; created: boolean }>("/api/agents", { manifest, files });
    if (options.json) return context.terminal.printJson(deployed);
    context.terminal.print(
      deployed.created
        ? `Agent ${deployed.name}, version ${deployed.version}.`
        : `Agent ${deployed.name} is at version ${deployed.version} already; nothing changed.`,
    );
    context.terminal.note(`Run it: npx lineshaft run ${deployed.name} --input FILE --follow`);
  });
}

/**
 * The text of every file that the manifest names in a `file:` field, by its name. The manifest itself travels as text and is the
 * server's to judge, so that its errors name lines; one that is no YAML simply names no files.
 */
export async function namedFiles(manifest: string, folder: string): Promise<Record<string, string>> {
  const names = new Set<string>();
  const document = parseDocument(manifest);
  visit(document, {
    Pair(_, pair) {
      if (
        isScalar(pair.key) &&
        pair.key.value === "file" &&
        isScalar(pair.value) &&
        typeof pair.value.value === "string"
      )
        names.add(pair.value.value);
    },
  });
  const files: Record<string, string> = {};
  for (const name of names) {
    // Only files beside the manifest travel; anything else is left for the server to refuse by name.
    if (name === basename(name)) files[name] = await readInput(join(folder, name));
  }
  return files;
}

async function manifestPath(given: string): Promise<string> {
  const found = await stat(given).catch(() => undefined);
  if (found?.isFile()) return given;
  if (!found)
    throw new CliError({
      exitCode: 2,
      message: `There is no folder ${given}.`,
      hint: "Give a folder with an agent.yaml, such as examples/maintenance-inspector.",
    });
  for (const name of manifestNames)
    if (
      await stat(join(given, name)).then(
        (entry) => entry.isFile(),
        () => false,
      )
    )
      return join(given, name);
  throw new CliError({
    exitCode: 2,
    message: `${given} holds no agent.yaml.`,
    hint: "Give a folder with an agent.yaml, such as examples/maintenance-inspector.",
  });
}
