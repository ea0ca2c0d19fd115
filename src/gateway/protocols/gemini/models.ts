// GET /v1beta/models and /v1beta/models/NAME, and the same below /v1 for a client with Google's header, in Google's shape,
// where a model's name begins with `models/`.
import { kindOf, type RegisteredEndpoint } from "../../../engines/index.ts";
import { modelInPath, pageOfModels } from "../models.ts";
import type { Questioned, Reply } from "../types.ts";

/** The list, in pages as `pageSize` and `pageToken` ask, or one model where the path names it. Throws 404 with the nearest name. */
export function geminiModels(asked: Questioned): Reply {
  const named = modelInPath(asked);
  if (named) return { json: modelOf(...named) };
  const { query } = asked;
  const { page, isMore } = pageOfModels(asked, {
    after: query.get("pageToken"),
    wanted: query.get("pageSize"),
    usual: 50,
  });
  return {
    json: {
      models: page.map((model) => modelOf(...model)),
      ...(isMore && { nextPageToken: page.at(-1)![0] }),
    },
  };
}

function modelOf(name: string, { facts }: RegisteredEndpoint): Record<string, unknown> {
  const context = facts?.contextTokens;
  return {
    name: `models/${name}`,
    baseModelId: name,
    version: "1",
    displayName: name,
    ...(context !== undefined && { inputTokenLimit: context, outputTokenLimit: context }),
    supportedGenerationMethods:
      kindOf(facts?.capabilities) === "embed"
        ? ["embedContent", "batchEmbedContents"]
        : ["generateContent", "streamGenerateContent", "countTokens"],
  };
}
