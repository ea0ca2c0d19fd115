// Built-in profiles: one JSON file each in this folder, validated when loaded. A user's own profile (as `calibrate` writes
// it) is the same JSON at any path.
import { existsSync, readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import { profileSchema, type EngineProfile } from "../engine/profile.ts";
import { SimulatorError } from "../types.ts";

/** Names of the built-in profiles. */
export function profileNames(): string[] {
  return readdirSync(import.meta.dirname)
    .filter((file) => file.endsWith(".json"))
    .map((file) => file.slice(0, -".json".length))
    .toSorted();
}

/**
 * A built-in profile by name, or one from a `.json` path.
 * @throws SimulatorError `profile_missing` or `profile_invalid`
 */
export function loadProfile(name: string): EngineProfile {
  const path = name.endsWith(".json") ? name : join(import.meta.dirname, `${name}.json`);
  if (!existsSync(path)) {
    throw new SimulatorError(
      "profile_missing",
      `There is no profile "${name}".`,
      `Built in: ${profileNames().join(", ")}. A path to a .json profile works too.`,
    );
  }
  const parsed = profileSchema.safeParse(JSON.parse(readFileSync(path, "utf8")));
  if (!parsed.success) {
    throw new SimulatorError(
      "profile_invalid",
      `Profile ${path} is not valid:\n${z.prettifyError(parsed.error)}`,
      "See docs/simulator.md for what a profile holds.",
    );
  }
  return parsed.data;
}
