// The systemd unit in packaging/: systemd accepts it, and the program that it starts exists.
import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";

const root = fileURLToPath(new URL("..", import.meta.url));
const unit = readFileSync(join(root, "packaging/lineshaft.service"), "utf8");

test("systemd understands it", ({ skip }) => {
  skip(spawnSync("systemd-analyze", ["--version"]).status !== 0, "systemd is not installed here");
  const folder = mkdtempSync(join(tmpdir(), "lineshaft-unit-"));
  const path = join(folder, "lineshaft.service");
  // Installed in place of /opt/lineshaft, for a user that exists.
  writeFileSync(path, unit.replaceAll("/opt/lineshaft/", root).replace(/^(User|Group)=.*$/gm, "$1=root"));
  const { status, stdout, stderr } = spawnSync("systemd-analyze", ["verify", path], { encoding: "utf8" });
  rmSync(folder, { recursive: true });
  expect([status, stdout + stderr]).toEqual([0, ""]);
});

test("it starts a program of this repository", () => {
  const [, program] = /^ExecStart=\/opt\/lineshaft\/(\S+) up/m.exec(unit)!;
  expect(existsSync(join(root, program!))).toBe(true);
});
