// `lineshaft deploy PATH`: publishes a manifest. An agent is a folder with an agent.yaml; a deployment is a file of `kind: Deployment`, or
// a folder with such files. The same manifest again changes nothing.
import { readdirSync, readFileSync, statSync } from "node:fs";
import { basename, dirname, extname, join } from "node:path";
import type { Command } from "commander";
import { verb, type Context } from "./context.ts";
import { publishDeployment } from "./deployments.ts";
import { CliError } from "./errors.ts";

const agentFile = "agent.yaml";

export function registerDeploy(program: Command, context: Context): void {
  verb(program, "deploy <path>", {
    about: "Publish a manifest: an agent's folder, a deployment's file, or a folder of deployments",
    examples: [
      "npx lineshaft deploy examples/maintenance-inspector",
      "npx lineshaft deploy examples/deployments/two-replicas.yaml",
    ],
  }).action(async (path: string, options: { json?: boolean }) => {
    const { manifestOf, parseDeployment } = await import("../fleet/index.ts");
    for (const found of manifestsAt(path)) {
      const text = readFileSync(found, "utf8");
      const kind = await kindOf(text, found);
      if (kind === "Agent") await deployAgent(context, found, options);
      else if (kind === "Deployment")
        // The manifest is checked here, so that an error names its line and no request is sent.
        await publishDeployment(context, manifestOf(await parseDeployment(text, found)), options);
      else if (kind !== undefined || found === path)
        throw new CliError({
          message: `${found} cannot be deployed.`,
          why: kind === undefined ? "It has no `kind`." : `Its kind is ${kind}.`,
          hint: "Write `kind: Agent` (docs/agents.md) or `kind: Deployment` (docs/configuration.md).",
        });
    }
  });
}

/** For a file, the file; for a folder its agent.yaml, else its YAML and JSON files in the order of their names. */
function manifestsAt(path: string): string[] {
  const found = statSync(path, { throwIfNoEntry: false });
  if (!found)
    throw new CliError({
      exitCode: 2,
      message: `${path} cannot be read.`,
      why: "There is no such file or folder.",
      hint: "Give a manifest, or the folder that it lies in.",
    });
  if (!found.isDirectory()) return [path];
  const names = readdirSync(path).toSorted();
  if (names.includes(agentFile)) return [join(path, agentFile)];
  const manifests = names.filter((name) => [".yaml", ".yml", ".json"].includes(extname(name)));
  if (manifests.length > 0) return manifests.map((name) => join(path, name));
  throw new CliError({
    exitCode: 2,
    message: `${path} holds nothing to deploy.`,
    why: `There is no ${agentFile} in it, and no other .yaml or .json file.`,
    hint: "Give a manifest, or the folder that it lies in.",
  });
}

async function kindOf(text: string, file: string): Promise<string | undefined> {
  const { readManifest } = await import("../fleet/index.ts");
  const { value } = await readManifest(text, {
    file,
    hint: "docs/agents.md and docs/configuration.md describe manifests.",
  });
  const kind = (value as { kind?: unknown } | null)?.kind;
  return typeof kind === "string" ? kind : undefined;
}

async function deployAgent(context: Context, file: string, options: { json?: boolean }): Promise<void> {
  if (basename(file) !== agentFile)
    throw new CliError({
      message: `${file} cannot be deployed as it is.`,
      why: `An agent's manifest is named ${agentFile}, and may name files beside it.`,
      hint: `Rename it to ${agentFile}, then deploy its folder.`,
    });
  const { readAgentFolder } = await import("../agents/folder.ts");
  const deployed = await context
    .client()
    .post<{ id: string; name: string; version: number; created: boolean }>(
      "/api/agents",
      await readAgentFolder(dirname(file)),
    );
  if (options.json) return context.terminal.printJson(deployed);
  context.terminal.print(
    deployed.created
      ? `Agent ${deployed.name}, version ${deployed.version}.`
      : `Agent ${deployed.name} is at version ${deployed.version} already; nothing changed.`,
  );
  context.terminal.note(`Run it: npx lineshaft run ${deployed.name} --input FILE --follow`);
}
