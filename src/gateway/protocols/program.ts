// The program of a client's call: its session, so that the session's calls are kept together. Lineshaft's own header comes first, then
// those that coding agents send by themselves. Of a sub-agent the parent's session is taken, since the tree of agents is the program.
// A name from a client is marked as such, so it never passes for a run.
import type { IncomingHttpHeaders } from "node:http";

const headersInOrder = [
  "x-lineshaft-program",
  "x-claude-code-session-id",
  // Codex
  "x-codex-parent-thread-id",
  "thread-id",
  "session-id",
  "session_id",
  // OpenCode
  "x-parent-session-id",
  "x-session-id",
  "x-session-affinity",
];

export function programOf(headers: IncomingHttpHeaders): string | undefined {
  for (const name of headersInOrder) {
    const value = headers[name];
    if (typeof value === "string" && /^[\x21-\x7e]{1,200}$/.test(value)) return `client/${value}`;
  }
  return undefined;
}
