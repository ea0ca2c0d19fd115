// Peers are installed by their ordinary clients (npm, pip) into the cache of node_modules, which no lock file and no test knows. A folder
// that was installed before, in the same versions, is used as it is.
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Installed } from "./types.ts";

const cache = new URL("../../node_modules/.cache/lineshaft/peers/", import.meta.url).pathname;

/** Most time that one installation may take: LiteLLM has some hundred packages. */
const installMs = 15 * 60_000;

/** The folder of an installation. Throws an Error that says why there is none. */
export function install({ from, packages }: Installed): string {
  const hash = createHash("sha256")
    .update(`${from} ${packages.join(" ")}`)
    .digest("hex")
    .slice(0, 12);
  const folder = join(cache, hash);
  const mark = join(folder, "installed");
  if (existsSync(mark)) return folder;
  mkdirSync(folder, { recursive: true });
  const [command, args] =
    from === "npm"
      ? (["npm", ["install", "--prefix", folder, "--ignore-scripts", "--no-audit", "--no-fund", ...packages]] as const)
      : (["pip", ["install", "--only-binary", ":all:", "--no-compile", "--target", folder, ...packages]] as const);
  const done = spawnSync(command, args, { timeout: installMs, encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] });
  if (done.status !== 0) throw new Error(lastLine(done.stderr) ?? done.error?.message ?? `${command} failed`);
  writeFileSync(mark, packages.join("\n"));
  return folder;
}

const lastLine = (text: string | null): string | undefined =>
  text
    ?.split("\n")
    .filter((line) => /error/i.test(line))
    .at(-1);
