// GET /v1/models and /v1/models/NAME in OpenAI's shape: what an organisation may name as `model`.
import type { RegisteredEndpoint } from "../../../engines/index.ts";
import { unknownModel } from "../../refusals.ts";
import { namedModels } from "../models.ts";
import type { Questioned, Reply } from "../types.ts";

/** The list, or one model when a name is given. Throws 404 with the nearest name. */
export function modelList(asked: Questioned): Reply {
  const byName = namedModels(asked);
  const name = asked.names["model"];
  if (name === undefined) return { json: { object: "list", data: [...byName].map(modelOf) } };
  const found = byName.get(name);
  if (!found) throw unknownModel(name, [...byName.keys()]);
  return { json: modelOf([name, found]) };
}

function modelOf([id, endpoint]: [string, RegisteredEndpoint]): Record<string, unknown> {
  const context = endpoint.facts?.contextTokens;
  return {
    id,
    object: "model",
    created: Math.floor(endpoint.addedAt.getTime() / 1000),
    owned_by: endpoint.kind === "embedded" ? "lineshaft" : endpoint.kind,
    ...(context !== undefined && { max_model_len: context }),
  };
}
