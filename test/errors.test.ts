// Every code that a person or a program can get is in docs/errors.md (or, for errors of runs, in docs/agents.md).
import { globSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { statuses } from "../src/errors/statuses.ts";

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
  "resource_unavailable",
  // a line of a batch that another process serves: its caller passes over it
  "line_taken",
  // bounds and signals that the room that reads them turns into codes of its own
  "schema_bound",
  "json_bound",
  "tool_answer_too_long",
  "tool_answer_defect",
  "tool_connection",
  // a second activation of a run, which Restate tries again
  "run_busy",
  // Restate is away: runs are in Postgres and are sent again
  "restate_unavailable",
  // the ledger and the store found themselves inconsistent: they become `internal_error`
  "hold_missing",
  "lock_taken",
  // this process was taken for dead: its ledger begins a new epoch
  "epoch_fenced",
  "blob_missing",
  // a spool file whose making a crash broke off: it is passed over
  "spool_empty",
  // bytes in a spool that are no record: they become `record_quarantined`; a record of another release becomes `spool_version`
  "record_invalid",
  "record_version",
  // the protocol of the embedded worker, and of vLLM's events
  "duplicate_attempt",
  "state_superseded",
  "unknown_route",
  "invalid_token",
  "too_many_streams",
  "kv_events_unreachable",
  "kv_events_unsupported",
  "kv_wire",
  "kv_unsupported",
]);

/** Codes with a status that only the embedded worker answers, to the main process. */
const worker = new Set([
  "aborted",
  "duplicate_attempt",
  "duplicate_tool",
  "endpoint_timeout",
  "endpoint_unreachable",
  "invalid_token",
  "invalid_tool_name",
  "kv_lost",
  "missing_content",
  "missing_tool_call_id",
  "no_messages",
  "no_tools",
  "template_refused",
  "too_many_streams",
  "unknown_route",
  "unknown_tool",
  "unreadable_template",
  "unsupported_content",
  "unsupported_role",
]);

/** Codes that docs/errors.md explains in a table without statuses or in a sentence: they mostly end runs. */
const inRuns = new Set(["context_length_exceeded", "secret_missing", "secret_host_refused", "secret_unreadable"]);

/** Thrown and caught within one folder, so that they carry nothing. */
const signals = new Set(["LeaseNeededError", "NotAHeader", "GoesOn", "CannotExpress", "NotPosted", "Stopped"]);

const patterns = [
  /\bcode(?::| =|\s*\?\?=?) ?(?:[^"\n]*[?] )?"([a-z][a-z0-9_]+)"/g,
  /\bcode: [^"\n]*[?] "[a-z_]+" : "([a-z_]+)"/g,
  /(?:StepError|SecretError|ToolNotSentError|ToolUncertainError|LedgerError)\(\s*"([a-z][a-z0-9_]+)"/g,
];

interface Source {
  path: string;
  text: string;
}

const sources: Source[] = globSync("src/**/*.ts", { cwd: root })
  .filter((path) => !/\.test\.ts$|testing|suite\.ts$|(?:^|\/)(?:simulator|console)\//.test(path))
  .map((path) => ({ path, text: readFileSync(join(root, path), "utf8") }));

/** Codes that a source file throws, with the file. */
function codesThrown(): Map<string, string> {
  const codes = new Map<string, string>();
  for (const { path, text } of sources)
    for (const pattern of patterns) for (const [, code] of text.matchAll(pattern)) codes.set(code!, path);
  return codes;
}

/** Codes of the tables in docs/errors.md that have a column of statuses, with the statuses in their order. */
function documentedStatuses(text: string): Map<string, number[]> {
  const found = new Map<string, number[]>();
  let hasStatus = false;
  for (const line of text.split("\n")) {
    const cells = line.split("|").map((cell) => cell.trim());
    if (cells[1] === "code") hasStatus = cells[2] === "status";
    else if (hasStatus && line.startsWith("| `"))
      for (const [, code] of cells[1]!.matchAll(/`(\w+)`/g))
        found.set(
          code!,
          [...cells[2]!.matchAll(/\d{3}/g)].map(([status]) => Number(status)),
        );
  }
  return found;
}

const documented = documentedStatuses(readFileSync(join(root, "docs/errors.md"), "utf8"));

test("every error code in the source is documented", () => {
  const thrown = codesThrown();
  const missing = [...thrown].filter(([code]) => !inside.has(code) && !docs.includes(`\`${code}\``));
  expect(thrown.size).toBeGreaterThan(100);
  expect(Object.fromEntries(missing)).toEqual({});
});

test("the statuses of docs/errors.md are those of src/errors/statuses.ts", () => {
  expect(documented.size).toBeGreaterThan(70);
  const wrong = [...documented].filter(([code, [first]]) => statuses[code] !== first);
  expect(Object.fromEntries(wrong)).toEqual({});
});

test("every code with a status is documented with it, or stays between Lineshaft and its workers", () => {
  const unknown = Object.keys(statuses).filter(
    (code) => !documented.has(code) && !worker.has(code) && !inRuns.has(code),
  );
  expect(unknown).toEqual([]);
});

test("an error repeats no status that its code has, and differs from it only as docs/errors.md says", () => {
  const wrong: string[] = [];
  let seen = 0;
  for (const { path, text } of sources)
    for (const [, body] of text.matchAll(/new (?!EngineError\b)\w+\(\{((?:[^{}]|\{[^{}]*\})*)\}\)/g)) {
      const code = /\bcode: "(\w+)"/.exec(body!)?.[1];
      const status = /\bstatus: (\d{3})\b/.exec(body!)?.[1];
      if (code === undefined) continue;
      seen++;
      if (status === undefined) continue;
      if (Number(status) === statuses[code] || !(documented.get(code) ?? []).includes(Number(status)))
        if (!worker.has(code)) wrong.push(`${path}: ${code} ${status}`);
    }
  expect(seen).toBeGreaterThan(80);
  expect(wrong).toEqual([]);
});

test("every error class derives from LineshaftError, and no two have one name", () => {
  const classes = sources.flatMap(({ path, text }) =>
    [...text.matchAll(/class (\w+) extends (\w*(?:Error|Failure))\b/g)].map(([, name, base]) => ({
      path,
      name: name!,
      base: base!,
    })),
  );
  const names = classes.map(({ name }) => name);
  expect(names.filter((name, index) => names.indexOf(name) !== index)).toEqual([]);
  expect(names.filter((name) => name in globalThis)).toEqual([]);
  const foreign = classes.filter(({ name, base }) => base === "Error" && name !== "LineshaftError");
  expect(foreign.filter(({ name }) => !signals.has(name))).toEqual([]);
});
