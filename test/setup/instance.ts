// A real Lineshaft for tests that cross rooms: `bin/lineshaft up --json` in a folder of its own, on a free port.
import { spawn, type ChildProcess } from "node:child_process";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { readFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { unsharedPort } from "./ports.ts";

const launcher = fileURLToPath(new URL("../../bin/lineshaft", import.meta.url));
const startTimeoutMs = 120_000;

export interface Instance extends AsyncDisposable {
  address: string;
  /** The owner key, as printed or as kept; empty once the credentials file is gone. */
  key: string;
  console: string;
  /** The line that the start printed with `--json`. */
  printed: ReadyLine;
  home: string;
  port: number;
  /** The keeper: the process that was started, and that takes signals. */
  process: ChildProcess;
  /** The main process below it, as the home names it now. */
  mainPid(): number;
  /** Everything it printed so far. */
  output(): string;
  /** Waits for the keeper to end after a signal; answers its exit code. SIGKILL kills the keeper and main, as a lost machine does. */
  end(signal: NodeJS.Signals): Promise<number | null>;
}

export interface InstanceOptions {
  /** A home that was used before; kept when the instance is disposed. */
  home?: string;
  port?: number;
  env?: Record<string, string>;
  /** Further words of the command line. */
  words?: string[];
}

/** Starts an instance and waits until it is ready; throws with what it printed when it is not. */
export async function startInstance(options: InstanceOptions = {}): Promise<Instance> {
  const home = options.home ?? (await mkdtemp(join(tmpdir(), "lineshaft-instance-")));
  const port = options.port ?? (await unsharedPort());
  const child = spawn(launcher, ["up", "--json", ...(options.words ?? [])], {
    env: { ...process.env, ...options.env, LINESHAFT_HOME: home, LINESHAFT_PORT: String(port) },
    stdio: ["ignore", "pipe", "pipe"],
  });
  let printed = "";
  child.stdout.on("data", (bytes) => (printed += bytes));
  child.stderr.on("data", (bytes) => (printed += bytes));
  const gone = new Promise<number | null>((resolve) => child.once("exit", (code) => resolve(code)));
  const ready = await readyLine(child, () => printed);
  // Only the first start of a home prints the key; later ones say where it lies.
  const kept = ready.credentials === null ? undefined : await readFile(ready.credentials, "utf8");
  const key = ready.key ?? (kept === undefined ? "" : (JSON.parse(kept) as { key: string }).key);
  const mainPid = () => (JSON.parse(readFileSync(join(home, "run/main.json"), "utf8")) as { pid: number }).pid;
  const end = (signal: NodeJS.Signals) => {
    if (signal !== "SIGKILL" || child.exitCode !== null || child.signalCode !== null) {
      child.kill(signal);
      return gone;
    }
    // Both are killed at one moment, so that main does not settle on losing its keeper, and the keeper does not start main again.
    const main = mainPid();
    process.kill(main, "SIGSTOP");
    child.kill("SIGKILL");
    process.kill(main, "SIGKILL");
    return gone;
  };
  return {
    address: ready.address,
    console: ready.console,
    key,
    printed: ready,
    home,
    port,
    process: child,
    mainPid,
    output: () => printed,
    end,
    async [Symbol.asyncDispose]() {
      await end("SIGTERM");
      if (!options.home) await rm(home, { recursive: true, force: true, maxRetries: 5 });
    },
  };
}

interface ReadyLine {
  address: string;
  console: string;
  credentials: string | null;
  key?: string;
}

function readyLine(child: ChildProcess, printed: () => string): Promise<ReadyLine> {
  return new Promise((resolve, reject) => {
    const fail = (why: string) => {
      child.kill("SIGTERM");
      reject(new Error(`The instance did not become ready: ${why}\n${printed()}`));
    };
    const timer = setTimeout(() => fail(`not within ${startTimeoutMs} ms`), startTimeoutMs);
    const onExit = (code: number | null) => {
      clearTimeout(timer);
      fail(`it ended with code ${code}`);
    };
    child.once("exit", onExit);
    let line = "";
    child.stdout!.on("data", (bytes: Buffer) => {
      line += bytes.toString();
      if (!line.includes("\n")) return;
      clearTimeout(timer);
      child.off("exit", onExit);
      resolve(JSON.parse(line.slice(0, line.indexOf("\n"))) as ReadyLine);
    });
  });
}
