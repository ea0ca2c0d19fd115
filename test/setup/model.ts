// Fetches the small model once for all tests and benches, into a cache beside the installed packages. LINESHAFT_MODEL overrides it.
import { fileURLToPath } from "node:url";
import { ensureModel } from "../../src/models/index.ts";

/** Path of the model, fetched on first use. */
export async function smallModel(): Promise<string> {
  const cacheFolder = fileURLToPath(new URL("../../node_modules/.cache/lineshaft/models", import.meta.url));
  const onFailure = (line: string) => process.stderr.write(`${line}\n`);
  return (await ensureModel(process.env["LINESHAFT_MODEL"], { cacheFolder, onFailure })).path;
}

export default async function setup(): Promise<void> {
  process.env["LINESHAFT_MODEL"] = await smallModel();
}
