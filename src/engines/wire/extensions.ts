// Fields of a client's API that the typed view has no name for. Written in another API's format they are lost, so those that ask for
// something are refused by name, and labels are left out.
import type { Asked } from "../asked.ts";
import type { Unsaid } from "./types.ts";

/** Labels, hints to a provider's cache and filters, and switches at the value that is usual anyway. */
const neutral: Readonly<Record<string, (value: unknown) => boolean>> = {
  user: () => true,
  metadata: () => true,
  labels: () => true,
  safety_identifier: () => true,
  prompt_cache_options: () => true,
  safetySettings: () => true,
  store: (value) => value === false,
  service_tier: (value) => value === "auto" || value === "default" || value === "standard_only",
  modalities: (value) => Array.isArray(value) && value.length === 1 && value[0] === "text",
  logit_bias: (value) => typeof value === "object" && value !== null && Object.keys(value).length === 0,
  functions: (value) => Array.isArray(value) && value.length === 0,
};

/**
 * The fields that ask for something. `said`: names that the format has as well. Fields of Messages and Gemini are judged by their
 * protocols, which know the values that ask for nothing.
 */
export function unsaidExtensions({ extensions, shape }: Asked, said: ReadonlySet<string>): Unsaid[] {
  if (shape === "messages" || shape === "gemini") return [];
  return Object.entries(extensions).flatMap(([path, value]): Unsaid[] => {
    if (value === null || value === undefined || said.has(path)) return [];
    if (Object.hasOwn(neutral, path) && neutral[path]!(value)) return [];
    return [{ path, reason: "is known to the client's own API alone", isHint: false }];
  });
}
