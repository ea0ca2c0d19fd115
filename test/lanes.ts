// The lane of every test file, for vitest.config.ts. A lane is never written down: it follows from what the test file brings in, by its
// own imports and by those of the test helpers it imports. Code under test is not followed, because nearly all of it reaches a process
// somewhere; what a test really starts there is seen by the guard of the pure lane (test/setup/pure.ts).
import { existsSync, globSync, readFileSync } from "node:fs";
import { dirname, join, posix } from "node:path";
import { fileURLToPath } from "node:url";

export const root = fileURLToPath(new URL("..", import.meta.url));

/**
 * `pure`: this process alone. `room`: a real Postgres, child processes that the test starts, or seconds of CPU time that a single test
 * takes by what it checks. `whole`: an instance, a model, a browser or Restate.
 */
export type Lane = "pure" | "room" | "whole";

/** Files and packages that put what imports them into a lane. The first lane that fits counts. */
export const marks: Record<Exclude<Lane, "pure">, string[]> = {
  whole: [
    "test/setup/instance.ts", // bin/lineshaft as a user starts it
    "test/setup/model.ts",
    "src/engines/embedded/testing.ts", // a worker process with the model
    "src/agents/testing.ts", // Restate
    "node-llama-cpp",
    "playwright-core",
  ],
  room: ["src/store/testing.ts", "test/setup/processes.ts", "test/setup/costly.ts", "node:child_process"],
};

export const guardFile = "test/setup/pure.ts";

export const testGlobs = ["src", "test", "examples", "bench", "scripts"].map((folder) => `${folder}/**/*.test.ts`);

/** Test code is followed; the guard is not, since it imports what it refuses. */
const isFollowed = (path: string) =>
  /^test\/|\.test\.tsx?$|\/testing\/|\/(?:testing|suite)\.tsx?$/.test(path) && path !== guardFile;

/** Test files by lane, as paths from the repository's root, in order of their names. */
export function lanes(): Record<Lane, string[]> {
  const found: Record<Lane, string[]> = { pure: [], room: [], whole: [] };
  for (const path of globSync(testGlobs, { cwd: root }).toSorted()) found[laneOf(path)].push(path);
  return found;
}

/** The lane of one test file. */
export function laneOf(path: string): Lane {
  const reached = reachedFrom(path, new Set());
  return (["whole", "room"] as const).find((lane) => marks[lane].some((mark) => reached.has(mark))) ?? "pure";
}

/** Adds to `reached` the file, what it imports, and what imported test code imports in turn. */
function reachedFrom(path: string, reached: Set<string>): Set<string> {
  if (reached.has(path)) return reached;
  reached.add(path);
  if (isFollowed(path)) for (const name of importsOf(path)) reachedFrom(name, reached);
  return reached;
}

const parsed = new Map<string, string[]>();

/** Files (as paths from the root) and packages that a file imports. Imports of types alone bring nothing in. */
function importsOf(path: string): string[] {
  const known = parsed.get(path);
  if (known) return known;
  const text = existsSync(join(root, path)) ? readFileSync(join(root, path), "utf8") : "";
  const statements = text.matchAll(
    /^(?:import|export)\s(?!type\s)(?:[^"';]*\sfrom\s*)?"([^"]+)"|\bimport\(\s*"([^"]+)"/gm,
  );
  const names = [...statements].map(([, from, dynamic]) => from ?? dynamic!);
  const imports = names.map((name) => (name.startsWith(".") ? posix.join(dirname(path), name) : name));
  parsed.set(path, imports);
  return imports;
}
