// The deployment that the environment describes (LINESHAFT_REPLICAS, LINESHAFT_ROLES, LINESHAFT_PLACEMENT): the first start makes it.
import { checkDeployment, ManifestError, type DeploymentSpec } from "../fleet/index.ts";
import { SettingError, type Settings } from "./settings.ts";

/** What the environment says of the first deployment. Throws a SettingError that names the variable. */
export function environmentDeployment(name: string, settings: Settings): DeploymentSpec {
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
