// Installs the clients that the live tests run, unmodified and in exact versions, into a cache folder of their own: together they take more
// than 1 GB, so they are no development dependencies. Install scripts do not run. The agents of npm ship their programs in packages of one
// platform, whose binaries are started directly.
import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";

const run = promisify(execFile);
const lists = join(import.meta.dirname, "packages");
const suiteLists = join(import.meta.dirname, "../conformance/packages");
const cache = join(import.meta.dirname, "../../node_modules/.cache/lineshaft/clients");
const installMs = 900_000;

/** The folder whose `node_modules` holds the npm clients. Throws where the registry cannot be reached. */
export const npmClients = (): Promise<string> => npmPackages(lists);

/** The same of the packages that suites of other people need. */
export const npmSuites = (): Promise<string> => npmPackages(suiteLists);

/** The Python of a virtual environment with the clients of the Python Package Index. Throws where it cannot be made. */
export const pythonClients = (): Promise<string> => pythonPackages(lists);

/** The same of the packages that suites of other people need. */
export const pythonSuites = (): Promise<string> => pythonPackages(suiteLists);

function npmPackages(from: string): Promise<string> {
  const list = readFileSync(join(from, "npm.json"), "utf8");
  return once("npm", list, async (folder) => {
    const dependencies = JSON.parse(list) as Record<string, string>;
    writeFileSync(join(folder, "package.json"), JSON.stringify({ private: true, type: "module", dependencies }));
    const words = ["install", "--ignore-scripts", "--no-audit", "--no-fund", "--no-progress", "--prefer-offline"];
    await run("npm", words, { cwd: folder, timeout: installMs, maxBuffer: 1 << 26 });
  });
}

async function pythonPackages(from: string): Promise<string> {
  const path = join(from, "pip.txt");
  const folder = await once("pip", readFileSync(path, "utf8"), async (made) => {
    await run("python3", ["-m", "venv", join(made, "venv")], { timeout: installMs });
    const words = ["-m", "pip", "install", "--quiet", "-r", path];
    await run(join(made, "venv/bin/python"), words, { timeout: installMs, maxBuffer: 1 << 26 });
  });
  return join(folder, "venv/bin/python");
}

/** A folder is named by the hash of its list, so that a changed version is a new folder. One that was left half made is made again. */
async function once(kind: string, list: string, make: (folder: string) => Promise<void>): Promise<string> {
  const hash = createHash("sha256").update(list).digest("hex").slice(0, 12);
  const folder = join(cache, `${kind}-${hash}`);
  const done = join(folder, "installed");
  if (existsSync(done)) return folder;
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  await make(folder);
  writeFileSync(done, new Date().toISOString());
  return folder;
}
