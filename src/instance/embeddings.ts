// Embeddings out of the box: a start publishes the small embedding model once it serves, so that fetching the model delays no ready line.
//
// It is published once for a home. A mark in the home says so from then on, and a deployment that a person has removed or changed stays as
// it is. Where the model cannot be fetched or does not fit the memory, a note says why, and the next start tries again.
import { existsSync, writeFileSync } from "node:fs";
import { checkDeployment, type Deployments, type Home } from "../fleet/index.ts";
import { defaultEmbeddingModel, type LocalModel, type ModelShelf } from "../models/index.ts";
import type { Settings } from "./settings.ts";

interface Offer {
  settings: Pick<Settings, "LINESHAFT_EMBEDDING_MODEL" | "LINESHAFT_REPLICAS">;
  home: Pick<Home, "file">;
  deployments: Pick<Deployments<LocalModel>, "list" | "publish">;
  models: Pick<ModelShelf, "get">;
  organisation: string;
  signal: AbortSignal;
  note(line: string): void;
}

const off = "none";

/** Publishes the embedding model where it never was. Resolves when that is done, or cannot be done. Never rejects. */
export async function publishEmbeddings(offer: Offer): Promise<void> {
  const { settings, home, deployments, models, organisation, signal, note } = offer;
  const model = settings.LINESHAFT_EMBEDDING_MODEL ?? defaultEmbeddingModel.name;
  const mark = home.file("embeddings-published");
  // A machine that is to serve nothing itself serves no embeddings either.
  if (model === off || settings.LINESHAFT_REPLICAS === 0 || existsSync(mark)) return;
  try {
    const { model: found } = await models.get(model);
    if (!found.embeds) return note(`LINESHAFT_EMBEDDING_MODEL names ${found.name}, which makes no embeddings.`);
    if (signal.aborted) return;
    // One thread is enough for short texts, and takes little from the model that writes.
    const spec = checkDeployment({ kind: "Deployment", name: found.name, model, threads: 1 });
    if (!deployments.list().some(({ name }) => name === spec.name)) await deployments.publish(organisation, spec);
    writeFileSync(mark, `${spec.name}\n`);
  } catch (error) {
    if (signal.aborted) return;
    const { message, why } = error as Error & { why?: string };
    note(
      `Embeddings are not served yet: ${why === undefined ? message : `${message} ${why}`} The next start tries again; LINESHAFT_EMBEDDING_MODEL=none does without.`,
    );
  }
}
