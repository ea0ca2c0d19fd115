// What a start serves before the database can be asked: the environment's own deployment, and those that ran before.
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { checkDeployment, manifestOf, ManifestError, type DeploymentSpec, type Home } from "../index.ts";
import { SettingError, type Settings } from "../../instance/settings.ts";

/** `environment`: a start made it of its environment, and the next one makes it anew; `published`: a person did. */
export type DeploymentSource = "environment" | "published";

/** What the environment says of the first deployment. Throws a SettingError that names the variable. */
export function environmentSpec(name: string, settings: Settings): DeploymentSpec {
  const { LINESHAFT_REPLICAS: replicas, LINESHAFT_ROLES: roles, LINESHAFT_PLACEMENT: placement } = settings;
  try {
    return checkDeployment({
      kind: "Deployment",
      name,
      ...(replicas !== undefined && { replicas }),
      ...(roles && { roles }),
      ...(placement !== undefined && { placement }),
    });
  } catch (error) {
    if (!(error instanceof ManifestError)) throw error;
    const { path, message } = error.problems[0]!;
    throw new SettingError({
      code: "setting_wrong",
      message: `LINESHAFT_${path.split(".")[0]!.toUpperCase()} cannot be used.`,
      why: `${path} ${message}.`,
      hint: "Change or unset it; docs/configuration.md lists what every variable may be.",
    });
  }
}

const file = (home: Home): string => join(home.runFolder, "deployments.json");

/** Writes down what runs, for the next start to begin with. */
export function remember(home: Home, deployments: { source: DeploymentSource; spec: DeploymentSpec }[]): void {
  const lines = deployments.map(({ source, spec }) => ({ source, manifest: manifestOf(spec) }));
  writeFileSync(file(home), JSON.stringify(lines), { mode: 0o600 });
}

/**
 * What ran before; of the environment's own deployment only that there was one, because it is made anew. At the first start,
 * and where the file says nothing that can be used, that is all.
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
