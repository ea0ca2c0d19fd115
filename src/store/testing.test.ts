// Data folders of tests: those of killed processes do not stay in memory.
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, rmSync } from "node:fs";
import { dirname, join } from "node:path";
import { expect, test } from "vitest";
import { dataFolder } from "./testing.ts";

test("folders of processes that have ended are removed, and those of others are left", () => {
  const prefix = "lineshaft-folder-test-";
  const mine = dataFolder(prefix);
  const ended = spawnSync("true").pid;
  const left = join(dirname(mine), `${prefix}${ended}-abc`);
  mkdirSync(join(left, "postgres"), { recursive: true });
  const other = join(dirname(mine), `lineshaft-another-${ended}-abc`);
  mkdirSync(other);
  const next = dataFolder(prefix);
  expect([mine, next, left, other].map((folder) => existsSync(folder))).toEqual([true, true, false, true]);
  for (const folder of [mine, next, other]) rmSync(folder, { recursive: true });
});
