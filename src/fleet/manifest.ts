// A manifest as text: YAML (or JSON, which is YAML) that a person wrote, read so that every problem is told with its field and
// its line. What the fields are is the kind's own business: each kind brings its schema (deployments/manifest.ts here, agents
// in their room).
import { isMap, isScalar, LineCounter, parseDocument, type Document } from "yaml";
import type { z } from "zod";
import { manifestBytes } from "./limits.ts";

/** What is wrong at one place of a manifest. Lines count from 1; undefined when the manifest came as an object. */
export interface Problem {
  path: string;
  line?: number;
  message: string;
}

/** Every problem of a manifest, one a line: `agent.yaml:3: name: is missing`. */
export class ManifestError extends Error {
  readonly code = "manifest_invalid";
  readonly problems: Problem[];
  readonly hint: string;

  constructor(problems: Problem[], file: string, hint: string) {
    super(
      problems
        .map(({ path, line, message }) => `${line ? `${file}:${line}: ` : ""}${path ? `${path}: ` : ""}${message}`)
        .join("\n"),
    );
    this.name = "ManifestError";
    this.problems = problems;
    this.hint = hint;
  }
}

/** A manifest that was read but not checked: its value, and where a path of it stands in the text. */
export interface ReadManifest {
  value: unknown;
  lineOf(path: PropertyKey[]): number | undefined;
}

export interface ManifestSource {
  file: string;
  /** What to do next, where the fields are described. */
  hint: string;
}

/** Reads a manifest's text. Throws ManifestError for text that is no YAML, is too large, or multiplies itself by aliases. */
export function readManifest(text: string, { file, hint }: ManifestSource): ReadManifest {
  const fail = (problems: Problem[]) => new ManifestError(problems, file, hint);
  if (Buffer.byteLength(text) > manifestBytes)
    throw fail([{ path: "", message: `is larger than ${manifestBytes / 1024} KiB` }]);
  const counter = new LineCounter();
  const document = parseDocument(text, { lineCounter: counter, uniqueKeys: true, maxAliasCount: 0 } as object);
  if (document.errors.length > 0)
    throw fail(
      document.errors.map((error) => ({
        path: "",
        ...(error.linePos && { line: error.linePos[0].line }),
        message: error.message.split(" at line ")[0]!,
      })),
    );
  try {
    return {
      value: document.toJS({ maxAliasCount: 0 }),
      lineOf: (path) => counter.linePos(offsetOf(document, path)).line,
    };
  } catch (error) {
    throw fail([{ path: "", message: (error as Error).message }]);
  }
}

/** Problems that a schema found, with their fields and, where the manifest was text, their lines. */
export function problemsOf(error: z.core.$ZodError, lineOf?: ReadManifest["lineOf"]): Problem[] {
  const problem = (path: PropertyKey[], message: string): Problem => ({
    path: path.map(String).join("."),
    ...(lineOf && { line: lineOf(path) }),
    message,
  });
  return error.issues.map((issue) =>
    issue.code === "unrecognized_keys"
      ? problem([...issue.path, issue.keys[0]!], `is not a field of a manifest${issue.path.length ? " here" : ""}`)
      : problem(issue.path, readable(issue.message)),
  );
}

const readable = (message: string) =>
  message.replace(/^Invalid input: /, "").replace(/, received undefined$/, ", is missing");

/** Start of the node at a path, or of the nearest one above it. */
function offsetOf(document: Document, path: PropertyKey[]): number {
  for (let length = path.length; length > 0; length--) {
    const parent = document.getIn(path.slice(0, length - 1), true);
    const last = path[length - 1];
    if (isMap(parent)) {
      const pair = parent.items.find((item) => isScalar(item.key) && String(item.key.value) === String(last));
      if (pair && isScalar(pair.key) && pair.key.range) return pair.key.range[0];
    }
    const node = document.getIn(path.slice(0, length), true) as { range?: [number, number, number] } | undefined;
    if (node?.range) return node.range[0];
  }
  return 0;
}
