// Headers of a client that belong to Anthropic's API and go to Anthropic with the call: versions and betas. They are taken by their
// prefix, because a list of betas would be out of date the next week; keys, cookies and headers of the connection have other names.
import type { IncomingHttpHeaders } from "node:http";
import { limits } from "../../limits.ts";

export function headersOf(headers: IncomingHttpHeaders): [name: string, value: string][] {
  const taken: [string, string][] = [];
  for (const [name, value] of Object.entries(headers)) {
    if (!name.startsWith("anthropic-") || typeof value !== "string") continue;
    if (taken.length === limits.apiHeadersMost) break;
    if (value.length <= limits.apiHeaderCharacters) taken.push([name, value]);
  }
  return taken;
}
