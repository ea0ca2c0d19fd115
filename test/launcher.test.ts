// bin/lineshaft: what it keeps between starts.
import { execFileSync } from "node:child_process";
import { existsSync, mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, test } from "vitest";

const root = fileURLToPath(new URL("..", import.meta.url));

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "lineshaft-launcher-"));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function help(cache?: string): string {
  const { NODE_COMPILE_CACHE: _, ...others } = process.env;
  const env = {
    ...others,
    LINESHAFT_HOME: join(folder, "home"),
    ...(cache !== undefined && { NODE_COMPILE_CACHE: cache }),
  };
  return execFileSync(join(root, "bin/lineshaft"), ["--help"], { env, encoding: "utf8" });
}

test("compiled sources are kept beside the installed packages", () => {
  const kept = join(root, "node_modules/.cache/lineshaft/compiled");
  expect(help()).toContain("Usage");
  expect(statSync(kept).isDirectory()).toBe(true);
});

test("NODE_COMPILE_CACHE names another folder", () => {
  const kept = join(folder, "kept");
  const first = help(kept);
  expect(existsSync(kept)).toBe(true);
  expect(help(kept)).toBe(first);
});

test("where nothing can be written it starts all the same, and says nothing of it", () => {
  const file = join(folder, "file");
  writeFileSync(file, "");
  expect(help(join(file, "kept"))).toBe(help(join(folder, "kept")));
});
