// The refusal of a request that no route serves. It names the request that was probably meant, because a base address with `/v1` left out or
// doubled is the most frequent mistake of a first use.
import type { IncomingHttpHeaders } from "node:http";
import { LineshaftError } from "../../errors/index.ts";
import { meantBy, notOfferedAt } from "../../gateway/protocols/registry.ts";

/** 404. `otherwise`: the hint where nothing that is served looks like it. */
export function notServed(
  { method, path, headers = {} }: { method: string; path: string; headers?: IncomingHttpHeaders },
  otherwise: string,
): LineshaftError {
  const part = notOfferedAt(path, headers);
  if (part) {
    const message = `${part.name} is not offered here.`;
    return new LineshaftError({ code: "route_not_found", message, hint: part.hint });
  }
  const meant = meantBy(method, path);
  return new LineshaftError({
    code: "route_not_found",
    message: `There is no ${method} ${path} here.`,
    hint: meant === undefined ? otherwise : `Did you mean ${meant}?`,
  });
}
