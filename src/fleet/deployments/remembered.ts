// What ran when this home was served last, kept in a file of the home: a start brings it up before the database can be asked.
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { checkDeployment, manifestOf } from "./manifest.ts";
import type { Home } from "../home.ts";
import type { DeploymentSource, DeploymentSpec } from "./types.ts";

const file = (home: Home): string => join(home.runFolder, "deployments.json");

/** Writes down what runs, for the next start to begin with. */
export function remember(home: Home, deployments: { source: DeploymentSource; spec: DeploymentSpec }[]): void {
  const lines = deployments.map(({ source, spec }) => ({ source, manifest: manifestOf(spec) }));
  writeFileSync(file(home), JSON.stringify(lines), { mode: 0o600 });
}

/**
 * What ran before. Of the environment's own deployment only its existence is told, because it is made anew. At the first start, and
 * where the file cannot be used, nothing else is known.
 */
export function remembered(home: Home): { fromEnvironment: boolean; published: DeploymentSpec[] } {
  try {
    const lines = JSON.parse(readFileSync(file(home), "utf8")) as { source: DeploymentSource; manifest: unknown }[];
    return {
      fromEnvironment: lines.some(({ source }) => source === "environment"),
      published: lines.filter(({ source }) => source === "published").map(({ manifest }) => checkDeployment(manifest)),
    };
  } catch {
    return { fromEnvironment: true, published: [] };
  }
}
