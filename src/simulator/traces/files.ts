// Where trace files are found and how their lines are read. Traces are other people's data under their own licences, so
// they live outside the repository: in the folder that LINESHAFT_TRACES names, by default `../shared/traces` beside it.
import { createReadStream, existsSync } from "node:fs";
import { createInterface } from "node:readline";
import { isAbsolute, join, resolve } from "node:path";
import { createGunzip } from "node:zlib";
import { SimulatorError } from "../types.ts";

const repositoryRoot = resolve(import.meta.dirname, "../../..");

/** The folder of traces; it need not exist. */
function tracesFolder(): string {
  return resolve(process.env["LINESHAFT_TRACES"] ?? join(repositoryRoot, "../shared/traces"));
}

/** Path of a file inside the traces folder, or undefined when this machine does not have it. */
export function findTrace(relative: string): string | undefined {
  const path = join(tracesFolder(), relative);
  return existsSync(path) ? path : undefined;
}

/**
 * Resolves what a user typed: a path as it stands, else a file inside the traces folder (with or without `.gz`).
 * @throws SimulatorError `trace_missing`
 */
export function resolveTrace(typed: string): string {
  const candidates = [resolve(typed)];
  if (!isAbsolute(typed)) candidates.push(join(tracesFolder(), typed));
  for (const candidate of candidates) {
    if (existsSync(candidate)) return candidate;
    if (existsSync(`${candidate}.gz`)) return `${candidate}.gz`;
  }
  throw new SimulatorError(
    "trace_missing",
    `No trace file at ${candidates.join(" or ")}.`,
    "Give the path of a trace, or set LINESHAFT_TRACES to the folder that holds them.",
  );
}

/** Non-empty lines of a text file, unpacked when its name ends in `.gz`. Stops reading after `limit` lines. */
export async function* readLines(path: string, limit = Infinity): AsyncGenerator<string> {
  const file = createReadStream(path);
  const source = path.endsWith(".gz") ? file.pipe(createGunzip()) : file;
  const lines = createInterface({ input: source, crlfDelay: Infinity });
  let count = 0;
  try {
    for await (const line of lines) {
      if (line.length === 0) continue;
      if (count++ >= limit) break;
      yield line;
    }
  } finally {
    lines.close();
    file.destroy();
  }
}

/** Parses one JSON line, naming file and line when it is not JSON. */
export function parseLine(line: string, path: string, number: number): unknown {
  try {
    return JSON.parse(line);
  } catch {
    throw new SimulatorError(
      "trace_unreadable",
      `Line ${number} of ${path} is not JSON: ${line.slice(0, 80)}`,
      "Check that the file is complete and in the format that --format names.",
    );
  }
}
