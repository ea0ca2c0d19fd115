// GET /v1/models and /v1/models/NAME in OpenAI's shape: what an organisation may name as `model`.
import type { RegisteredEndpoint } from "../../../engines/index.ts";
import { unknownModel } from "../../refusals.ts";
import type { Questioned, Reply } from "../types.ts";

/** The list, or one model when a name is given. Throws 404 with the nearest name. */
export function modelList({ engines, principal, names }: Questioned): Reply {
  const byName = new Map(engines.list(principal.organisation).map((endpoint) => [endpoint.name, endpoint]));
  const name = names["model"];
  if (name === undefined) return { json: { object: "list", data: [...byName.values()].map(modelOf) } };
  const found = byName.get(name);
  if (!found) throw unknownModel(name, [...byName.keys()]);
  return { json: modelOf(found) };
}

function modelOf(endpoint: RegisteredEndpoint): Record<string, unknown> {
  const context = endpoint.facts?.contextTokens;
  return {
    id: endpoint.name,
    object: "model",
    created: Math.floor(endpoint.addedAt.getTime() / 1000),
    owned_by: endpoint.kind === "embedded" ? "lineshaft" : endpoint.kind,
    ...(context !== undefined && { max_model_len: context }),
  };
}
