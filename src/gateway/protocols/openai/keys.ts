// Keys of the objects inside a body: each object has a list, and what is on none is refused by name, since it could name a file, an
// address or a price that was not checked.
import { LineshaftError } from "../../../errors/index.ts";

const streamKeys = new Set(["include_usage", "include_obfuscation", "continuous_usage_stats"]);

export const checkStreamOptions = (body: Record<string, unknown>): void =>
  checkKeys(body["stream_options"], streamKeys, "stream_options");

const cacheCosts =
  "what a provider asks for writing a cache is in no rate card. Leave it out, or have an owner allow it: --allow-field cache_control";

/** Throws a 400 that names the first key of the object that is not on the list; `marks`: whether `cache_control` may be sent. */
export function checkKeys(of: unknown, keys: ReadonlySet<string>, path: string, marks = true): void {
  if (of === null || typeof of !== "object") return;
  for (const key in of) {
    if (!keys.has(key)) throw unknownKey(`${path}.${key.slice(0, 100)}`);
    if (key === "cache_control" && !marks) throw unpricedMark(`${path}.${key}`);
  }
}

export const unpricedMark = (path: string): LineshaftError => unknownKey(path, cacheCosts);

export function unknownKey(path: string, why = "it is known to no engine here"): LineshaftError {
  const shown = path.slice(0, 200);
  return new LineshaftError({
    code: "unsupported_parameter",
    param: shown,
    message: `\`${shown}\` is not accepted: ${why}.`,
    hint: "Leave it out.",
  });
}
