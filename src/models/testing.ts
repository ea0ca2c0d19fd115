// The small model for tests: LINESHAFT_MODEL when it is set, else fetched once into the user's cache, which outlives clones.
import { homedir } from "node:os";
import { join } from "node:path";
import { ensureModel } from "./ensure.ts";
import type { LocalModel } from "./types.ts";

export function testModel(): Promise<LocalModel> {
  const cache = process.env["XDG_CACHE_HOME"] || join(homedir(), ".cache");
  return ensureModel(process.env["LINESHAFT_MODEL"], { cacheFolder: join(cache, "lineshaft", "models") });
}
