// An agent's folder as the command line sends it: `agent.yaml` and the files it names.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { agentManifestError } from "./errors.ts";
import { parseManifest } from "./manifest.ts";

/** The body of POST /api/agents. Throws ManifestError that names file and line, before anything is sent. */
export async function readAgentFolder(folder: string): Promise<{ manifest: string; files: Record<string, string> }> {
  const path = join(folder, "agent.yaml");
  const manifest = read(path, "Give the folder that holds an agent.yaml.");
  const { outcome } = await parseManifest(manifest, path);
  const files: Record<string, string> = {};
  if (outcome) {
    const { file } = outcome.verifier;
    files[file] = read(join(folder, file), `The manifest names it as outcome.verifier.file.`);
  }
  return { manifest, files };
}

function read(path: string, hint: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    throw agentManifestError([{ path: "", message: `${path} cannot be read. ${hint}` }], path);
  }
}
