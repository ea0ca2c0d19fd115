// A manifest as text: YAML (or JSON, which is YAML) that a person wrote, read so that every problem is told with its field and
// its line. What the fields are is the kind's own business: each kind brings its schema (deployments/manifest.ts here, agents
// in their room).
import type { z } from "zod";
import { LineshaftError } from "../errors/index.ts";
import { boundedLimits, readYaml } from "../bounded/index.ts";
import { manifestBytes } from "./limits.ts";

/** What is wrong at one place of a manifest. Lines count from 1; undefined when the manifest came as an object. */
export interface Problem {
  path: string;
  line?: number;
  message: string;
}

/** Every problem of a manifest, one a line: `agent.yaml:3: name: is missing`. */
export class ManifestError extends LineshaftError {
  readonly problems: Problem[];

  constructor(problems: Problem[], file: string, hint: string) {
    const message = problems
      .map(({ path, line, message }) => `${line ? `${file}:${line}: ` : ""}${path ? `${path}: ` : ""}${message}`)
      .join("\n");
    super({ code: "manifest_invalid", message, hint, param: problems[0]?.path || undefined });
    this.problems = problems;
  }
}

/** A manifest that was read but not checked: its value, and where a path of it stands in the text. */
export interface ReadManifest {
  value: unknown;
  lineOf(path: readonly PropertyKey[]): number | undefined;
}

export interface ManifestSource {
  file: string;
  /** What to do next, where the fields are described. */
  hint: string;
  /** The organisation that sent it; its manifests are read in its turn. Absent on the command line. */
  organisation?: string | undefined;
}

/**
 * Reads a manifest's text, in a thread. Throws ManifestError for text that is no YAML, is too large or too deep, uses aliases, or takes
 * too long to read.
 */
export async function readManifest(text: string, { file, hint, organisation }: ManifestSource): Promise<ReadManifest> {
  const fail = (problems: Problem[]) => new ManifestError(problems, file, hint);
  if (Buffer.byteLength(text) > manifestBytes)
    throw fail([{ path: "", message: `is larger than ${manifestBytes / 1024} KiB` }]);
  const read = await readYaml(text, organisation ?? "local");
  if ("problems" in read) throw fail(read.problems.map((problem) => ({ path: "", ...problem })));
  return read;
}

/** A manifest that came as an object. Throws ManifestError when it is larger than its text may be. */
export function boundedManifest(value: unknown, { file, hint }: ManifestSource): unknown {
  if (Buffer.byteLength(JSON.stringify(value) ?? "") <= manifestBytes) return value;
  throw new ManifestError([{ path: "", message: `is larger than ${manifestBytes / 1024} KiB` }], file, hint);
}

/** Problems that a schema found, with their fields and, where the manifest was text, their lines. */
export function problemsOf(error: z.core.$ZodError, lineOf?: ReadManifest["lineOf"]): Problem[] {
  const problem = (path: PropertyKey[], message: string): Problem => ({
    path: path.map(String).join("."),
    ...(lineOf && { line: lineOf(path) }),
    message,
  });
  return error.issues
    .slice(0, boundedLimits.yamlProblems)
    .map((issue) =>
      issue.code === "unrecognized_keys"
        ? problem([...issue.path, issue.keys[0]!], `is not a field of a manifest${issue.path.length ? " here" : ""}`)
        : problem(issue.path, readable(issue.message)),
    );
}

const readable = (message: string) =>
  message.replace(/^Invalid input: /, "").replace(/, received undefined$/, ", is missing");
