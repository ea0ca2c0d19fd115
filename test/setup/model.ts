// Fetches the small models once for all tests and benches, into a cache beside the installed packages. LINESHAFT_MODEL overrides the one
// that generates text.
import { fileURLToPath } from "node:url";
import { defaultEmbeddingModel, ensureModel } from "../../src/models/index.ts";

/** Path of the model that generates text, fetched on first use. */
export const smallModel = (): Promise<string> => fetched(process.env["LINESHAFT_MODEL"]);

/** Path of the model that makes embeddings, fetched and converted on first use. */
export const embeddingModel = (): Promise<string> => fetched(defaultEmbeddingModel.name);

async function fetched(name: string | undefined): Promise<string> {
  const cacheFolder = fileURLToPath(new URL("../../node_modules/.cache/lineshaft/models", import.meta.url));
  const onFailure = (line: string) => process.stderr.write(`${line}\n`);
  return (await ensureModel(name, { cacheFolder, onFailure })).path;
}

export default async function setup(): Promise<void> {
  process.env["LINESHAFT_MODEL"] = await smallModel();
  // A start of a test serves what the test deploys, and fetches nothing else.
  process.env["LINESHAFT_EMBEDDING_MODEL"] ??= "none";
}
