// GET /v1/models and /v1/models/NAME in Anthropic's shape, for clients that send `anthropic-version`.
import type { RegisteredEndpoint } from "../../../engines/index.ts";
import { modelInPath, pageOfModels } from "../models.ts";
import type { Questioned, Reply } from "../types.ts";

/** The list, in pages as its `limit` and `after_id` ask, or one model where the path names it. Throws 404 with the nearest name. */
export function messagesModels(asked: Questioned): Reply {
  const named = modelInPath(asked);
  if (named) return { json: modelOf(...named) };
  const { query } = asked;
  const { page, isMore } = pageOfModels(asked, { after: query.get("after_id"), wanted: query.get("limit"), usual: 20 });
  return {
    json: {
      data: page.map((model) => modelOf(...model)),
      has_more: isMore,
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
