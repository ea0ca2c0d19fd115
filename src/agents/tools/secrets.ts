// Credentials of tools, by name. They are read at the edge, when a request leaves, and are in no manifest, prompt, journal,
// payload or log. `LINESHAFT_SECRET_<NAME>` in the environment, else the file `LINESHAFT_HOME/secrets/<name>`.
import { readFile } from "node:fs/promises";
import { homedir } from "node:os";
import { join } from "node:path";
import { StepError } from "../errors.ts";

export type Secrets = (name: string) => Promise<string>;

/** Throws StepError (`secret_missing`) with what to do. */
export function secretsOf(env: NodeJS.ProcessEnv): Secrets {
  const folder = join(env["LINESHAFT_HOME"] || join(homedir(), ".lineshaft"), "secrets");
  return async (name) => {
    const variable = `LINESHAFT_SECRET_${name.toUpperCase().replaceAll("-", "_")}`;
    const given = env[variable];
    if (given) return given;
    try {
      return (await readFile(join(folder, name), "utf8")).trim();
    } catch {
      throw new StepError(
        "secret_missing",
        `The secret '${name}' is not there: set ${variable}, or write it to the file secrets/${name} in LINESHAFT_HOME.`,
      );
    }
  };
}
