// Every code that a person or a program can meet stands in docs/errors.md (or, for what ends a run, in docs/agents.md).
import { globSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";

const root = join(import.meta.dirname, "..");
const docs = ["docs/errors.md", "docs/agents.md"].map((path) => readFileSync(join(root, path), "utf8")).join("\n");

/** Codes that never leave the process, or only between it and its own workers. */
const inside = new Set([
  // zod's own issues
  "custom",
  // an exchange that its caller gave up
  "aborted",
  // errors of the egress, which its callers translate into errors of their own
  "endpoint_timeout",
  "endpoint_unreachable",
  // a second activation of a run, which Restate tries again
  "run_busy",
  // Restate is away: runs are in Postgres and are sent again
  "restate_unavailable",
  // the ledger and the store found themselves inconsistent: they become `internal_error`
  "hold_missing",
  "lock_taken",
  "blob_missing",
  // the protocol of the embedded worker, and of vLLM's events
  "duplicate_attempt",
  "state_superseded",
  "unknown_route",
  "invalid_token",
  "too_many_streams",
  "kv_events_unreachable",
  "kv_events_unsupported",
  "kv_wire",
]);

const patterns = [
  /\bcode(?::| =|\s*\?\?=?) ?(?:[^"\n]*[?] )?"([a-z][a-z0-9_]+)"/g,
  /\bcode: [^"\n]*[?] "[a-z_]+" : "([a-z_]+)"/g,
  /(?:StepError|ApiError|WorkerError|ToolUncertainError|LedgerError)\(\s*"([a-z][a-z0-9_]+)"/g,
];

test("every error code in the source is documented", () => {
  const files = globSync("src/**/*.ts", { cwd: root }).filter(
    (path) => !/\.test\.ts$|testing|(?:^|\/)(?:simulator|console)\//.test(path),
  );
  const missing = new Map<string, string>();
  let seen = 0;
  for (const path of files) {
    const text = readFileSync(join(root, path), "utf8");
    for (const pattern of patterns)
      for (const [, code] of text.matchAll(pattern)) {
        seen++;
        if (!inside.has(code!) && !docs.includes(`\`${code}\``)) missing.set(code!, path);
      }
  }
  expect(seen).toBeGreaterThan(100);
  expect(Object.fromEntries(missing)).toEqual({});
});
