// The program a client's call belongs to: its session, so that its calls are kept together. Our own header first, then those
// that coding agents send by themselves; of a sub-agent's headers the parent's session, since the tree is the program.
// A name given by a client is marked as such: it can never pass for a run of our own.
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
