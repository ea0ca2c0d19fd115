// Names of tool calls as an API takes them. A client may have any name from the API that it spoke before.
import { createHash } from "node:crypto";

const legal = /^[A-Za-z0-9_-]+$/;

/** The same name where the API takes it, else a digest of it: the same one in the call, in its result, and in every later turn. */
export function legalId(id: string, most = 64): string {
  if (id.length <= most && legal.test(id)) return id;
  return `call_${createHash("sha256").update(id).digest("hex").slice(0, 24)}`;
}
