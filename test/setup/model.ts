// Has the small model once for all tests of a run, in a cache beside the installed packages; LINESHAFT_MODEL overrides it.
import { fileURLToPath } from "node:url";
import { ensureModel } from "../../src/models/index.ts";

export default async function setup(): Promise<void> {
  const cacheFolder = fileURLToPath(new URL("../../node_modules/.cache/lineshaft/models", import.meta.url));
  const onFailure = (line: string) => process.stderr.write(`${line}\n`);
  const model = await ensureModel(process.env["LINESHAFT_MODEL"], { cacheFolder, onFailure });
  process.env["LINESHAFT_MODEL"] = model.path;
}
