// What an organisation may name as its model, for the lists of every protocol.
import type { RegisteredEndpoint } from "../../engines/index.ts";
import type { Questioned } from "./types.ts";

/** Names with an endpoint that serves each: models, then whole names that are aliases of one of them. Never a beginning (`claude-*`). */
export function namedModels({ engines, principal, aliases }: Questioned): Map<string, RegisteredEndpoint> {
  const models = new Map(engines.list(principal.organisation).map((endpoint) => [endpoint.name, endpoint]));
  const names = new Map(models);
  for (const { alias, model } of aliases) {
    const endpoint = models.get(model);
    if (endpoint) names.set(alias, endpoint);
  }
  return names;
}
