// What an organisation may name as its model, for the lists of every protocol.
import type { RegisteredEndpoint } from "../../engines/index.ts";
import { unknownModel } from "../refusals.ts";
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

export type NamedModel = [name: string, endpoint: RegisteredEndpoint];

/** The model that the path names, if it names one. Throws 404 with the nearest name. */
export function modelInPath(asked: Questioned): NamedModel | undefined {
  const name = asked.names["model"];
  if (name === undefined) return undefined;
  const byName = namedModels(asked);
  const found = byName.get(name);
  if (!found) throw unknownModel(name, [...byName.keys()]);
  return [name, found];
}

/** A page of the names: what follows `after`, from the start where that is no name. `wanted`: the size asked for, as its text. */
export function pageOfModels(
  asked: Questioned,
  { after, wanted, usual }: { after: string | null; wanted: string | null; usual: number },
): { page: NamedModel[]; isMore: boolean } {
  const all = [...namedModels(asked)];
  const start = all.findIndex(([name]) => name === after) + 1;
  const size = Number(wanted ?? usual);
  const end = start + (Number.isInteger(size) && size >= 1 ? Math.min(size, pageMost) : usual);
  return { page: all.slice(start, end), isMore: end < all.length };
}

const pageMost = 1000;
