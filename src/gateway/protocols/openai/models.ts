// GET /v1/models and /v1/models/NAME in OpenAI's shape: what an organisation may name as `model`.
import { kindOf } from "../../../engines/index.ts";
import { modelInPath, namedModels, type NamedModel } from "../models.ts";
import type { Questioned, Reply } from "../types.ts";

/** The list, or one model when a name is given. Throws 404 with the nearest name. */
export function modelList(asked: Questioned): Reply {
  const named = modelInPath(asked);
  return { json: named ? modelOf(named) : { object: "list", data: [...namedModels(asked)].map(modelOf) } };
}

function modelOf([id, endpoint]: NamedModel): Record<string, unknown> {
  const context = endpoint.facts?.contextTokens;
  return {
    id,
    object: "model",
    created: Math.floor(endpoint.addedAt.getTime() / 1000),
    owned_by: endpoint.kind === "embedded" ? "lineshaft" : endpoint.kind,
    kind: kindOf(endpoint.facts?.capabilities),
    ...(context !== undefined && { max_model_len: context }),
  };
}
