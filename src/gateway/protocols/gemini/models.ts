// GET /v1beta/models and /v1beta/models/NAME in Google's shape, where a model's name begins with `models/`.
import type { RegisteredEndpoint } from "../../../engines/index.ts";
import { unknownModel } from "../../refusals.ts";
import { namedModels } from "../models.ts";
import type { Questioned, Reply } from "../types.ts";

const pageMost = 1000;

/** The list, in pages as `pageSize` and `pageToken` ask, or one model where the path names it. Throws 404 with the nearest name. */
export function geminiModels(asked: Questioned): Reply {
  const { names, query } = asked;
  const byName = namedModels(asked);
  const name = names["model"];
  if (name !== undefined) {
    const found = byName.get(name);
    if (!found) throw unknownModel(name, [...byName.keys()]);
    return { json: modelOf(name, found) };
  }
  const all = [...byName];
  const after = all.findIndex(([one]) => one === query.get("pageToken"));
  const wanted = Number(query.get("pageSize") ?? 50);
  const most = Number.isInteger(wanted) && wanted >= 1 ? Math.min(wanted, pageMost) : 50;
  const page = all.slice(after + 1, after + 1 + most);
  const isMore = after + 1 + most < all.length;
  return {
    json: {
      models: page.map(([id, endpoint]) => modelOf(id, endpoint)),
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
    supportedGenerationMethods: ["generateContent", "streamGenerateContent", "countTokens"],
  };
}
