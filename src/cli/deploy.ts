// `lineshaft deploy FOLDER`: publishes the agent whose manifest lies in a folder. The same manifest again is no new version.
import type { Command } from "commander";
import { verb, type Context } from "./context.ts";

export function registerDeploy(program: Command, context: Context): void {
  verb(program, "deploy <folder>", {
    about: "Publish the agent whose agent.yaml lies in a folder, with the files it names",
    examples: [
      "npx lineshaft deploy examples/maintenance-inspector",
      "npx lineshaft deploy examples/maintenance-inspector --json",
    ],
  }).action(async (folder: string, options: { json?: boolean }) => {
    const { readAgentFolder } = await import("../agents/folder.ts");
    const deployed = await context
      .client()
      .post<{ id: string; name: string; version: number; created: boolean }>("/api/agents", readAgentFolder(folder));
    if (options.json) return context.terminal.printJson(deployed);
    context.terminal.print(
      deployed.created
        ? `Agent ${deployed.name}, version ${deployed.version}.`
        : `Agent ${deployed.name} is at version ${deployed.version} already; nothing changed.`,
    );
    context.terminal.note(`Run it: npx lineshaft run ${deployed.name} --input FILE --follow`);
  });
}
