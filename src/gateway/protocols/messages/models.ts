// GET /v1/models and /v1/models/NAME in Anthropic's shape, for clients that send `anthropic-version`.
import type { RegisteredEndpoint } from "../../../engines/index.ts";
import { unknownModel } from "../../refusals.ts";
import { namedModels } from "../models.ts";
import type { Questioned, Reply } from "../types.ts";

/** The list, in pages as its `limit` and `after_id` ask, or one model where the path names it. Throws 404 with the nearest name. */
export function messagesModels(asked: Questioned): Reply {
  const { names, query } = asked;
  const byName = namedModels(asked);
  const name = names["model"];
  if (name !== undefined) {
    const found = byName.get(name);
    if (!found) throw unknownModel(name, [...byName.keys()]);
    return { json: modelOf(name, found) };
  }
  const all = [...byName];
  const after = all.findIndex(([one]) => one === query.get("after_id"));
  const wanted = Number(query.get("limit") ?? 20);
  const most = Number.isInteger(wanted) && wanted >= 1 ? Math.min(wanted, 1000) : 20;
  const page = all.slice(after + 1, after + 1 + most);
  return {
    json: {
      data: page.map(([id, endpoint]) => modelOf(id, endpoint)),
      has_more: after + 1 + most < all.length,
      first_id: page[0]?.[0] ?? null,
      last_id: page.at(-1)?.[0] ?? null,
    },
  };
}

function modelOf(name: string, { addedAt, facts }: RegisteredEndpoint): Record<string, unknown> {
  const context = facts?.contextTokens;
  return {
    type: "model",
    id: name,
    display_name: name,
    created_at: addedAt.toISOString(),
    ...(context !== undefined && { max_input_tokens: context }),
  };
}
