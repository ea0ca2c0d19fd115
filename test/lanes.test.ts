// The lanes of the suite: every test file is in one, and the marks that put it there name what exists.
import { existsSync, globSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { laneOf, lanes, marks, root, testGlobs } from "./lanes.ts";

test("every test file is in one lane, and no lane is empty", () => {
  const found = lanes();
  const all = Object.values(found).flat();
  expect(all.toSorted()).toEqual(globSync(testGlobs, { cwd: root }).toSorted());
  for (const files of Object.values(found)) expect(files).not.toEqual([]);
});

test("every mark is a file of this repository or a package that it asks for", () => {
  const { dependencies, devDependencies } = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as Record<
    "dependencies" | "devDependencies",
    Record<string, string>
  >;
  const exists = (mark: string) =>
    mark.startsWith("node:") || mark in dependencies || mark in devDependencies || existsSync(join(root, mark));
  expect(
    Object.values(marks)
      .flat()
      .filter((mark) => !exists(mark)),
  ).toEqual([]);
});

test.each([
  ["test/lanes.test.ts", "pure"],
  ["src/store/store.test.ts", "room"],
  ["src/fleet/supervisor.test.ts", "room"],
  ["src/bounded/cpuLimit.test.ts", "room"],
  ["test/start.test.ts", "whole"],
  ["src/engines/embedded/worker.test.ts", "whole"],
])("%s is in %s", (path, lane) => expect(laneOf(path)).toBe(lane));
