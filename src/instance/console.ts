// The console's files: built once by the root `prepare` script; a start builds them when they are absent.
import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { programEnvironment } from "../fleet/index.ts";

const root = new URL("../..", import.meta.url);
const consoleFolder = fileURLToPath(new URL("dist/console", root));

/** Answers the folder with the built console; undefined when it cannot be built, which nothing else depends on. */
export async function buildConsoleIfAbsent(
  note: (line: string) => void,
  signal: AbortSignal,
): Promise<string | undefined> {
  if (existsSync(`${consoleFolder}/index.html`)) return consoleFolder;
  note("Building the console (once).");
  const child = spawn(process.execPath, [fileURLToPath(new URL("scripts/buildConsole.ts", root))], {
    cwd: fileURLToPath(root),
    env: programEnvironment(),
    stdio: ["ignore", "ignore", "pipe"],
    signal,
  });
  let output = "";
  child.stderr.on("data", (bytes: Buffer) => (output = (output + bytes.toString()).slice(-4096)));
  const status = await new Promise<number | null>((resolve, reject) =>
    child.once("error", reject).once("close", resolve),
  );
  if (status === 0 && existsSync(`${consoleFolder}/index.html`)) return consoleFolder;
  note("The console could not be built, so /console is not there; all else works. `npm run prepare` says why.");
  const lastLine = output.trim().split("\n").at(-1);
  if (lastLine) note(`  ${lastLine.trim()}`);
  return undefined;
}
