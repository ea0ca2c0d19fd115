// Processes of the bench: each on its core where the system can do that, and the first line or the first good answer of each awaited.
import { spawn, spawnSync, type ChildProcess } from "node:child_process";
import { createServer, type AddressInfo } from "node:net";
import { cpus } from "node:os";
import { Client } from "undici";

const started: ChildProcess[] = [];

/** Cores: one for the proxy, one for everything else. Undefined where there is only one, or no `taskset`. */
const cores =
  cpus().length > 1 && spawnSync("taskset", ["--version"]).status === 0 ? { proxy: "0", rest: "1" } : undefined;

/** What the table says of it. */
export const placement = cores ? "proxy on core 0, engine and load on core 1" : "no cores of their own";

/** Moves this process, and so what it starts later, off the proxies' core. */
export function leaveTheProxysCore(): void {
  if (cores) spawnSync("taskset", ["-a", "-p", "-c", cores.rest, String(process.pid)]);
}

export function runOn(
  place: "proxy" | "rest",
  command: string,
  args: readonly string[],
  env: Record<string, string> = {},
): ChildProcess {
  const [first, ...rest] = cores ? ["taskset", "-c", cores[place], command, ...args] : [command, ...args];
  const child = spawn(first!, rest, {
    stdio: ["pipe", "pipe", process.env["BENCH_VERBOSE"] ? "inherit" : "ignore"],
    env: { ...process.env, NODE_ENV: "production", ...env },
  });
  started.push(child);
  return child;
}

/** The first line that a process prints, which is JSON. */
export async function firstLine(child: ChildProcess): Promise<Record<string, string>> {
  const line = await new Promise<string>((resolve, reject) => {
    let text = "";
    child.stdout!.on("data", (piece: Buffer) => {
      text += piece.toString();
      if (text.includes("\n")) resolve(text.slice(0, text.indexOf("\n")));
    });
    child.once("exit", (code) => reject(new Error(`${child.spawnargs.join(" ")} ended with ${code}`)));
  });
  return JSON.parse(line) as Record<string, string>;
}

const startMostMs = 180_000;

/** Waits until a call through a proxy is answered with 200. A program of another language may need a minute to start. */
export async function answers(child: ChildProcess, url: string, headers: string[], body: string): Promise<void> {
  child.stdout!.resume();
  const until = performance.now() + startMostMs;
  for (;;) {
    if (child.exitCode !== null) throw new Error(`it ended with ${child.exitCode} before it answered`);
    const status = await statusOf(url, headers, body).catch(() => 0);
    if (status === 200) return;
    if (performance.now() > until) throw new Error(`it did not answer within ${startMostMs / 1000} s (${status})`);
    await new Promise((resolve) => setTimeout(resolve, 500));
  }
}

async function statusOf(url: string, headers: string[], body: string): Promise<number> {
  const client = new Client(url, { headersTimeout: 5_000 });
  try {
    const { statusCode, body: answer } = await client.request({
      method: "POST",
      path: "/v1/chat/completions",
      headers,
      body,
    });
    await answer.dump();
    return statusCode;
  } finally {
    await client.destroy();
  }
}

/** Ends every process that was started: by the end of its input, or by a signal where it does not know that. */
export async function stopAll(): Promise<void> {
  await Promise.all(
    started.map(async (child) => {
      if (child.exitCode !== null || child.signalCode !== null) return;
      const gone = new Promise<void>((resolve) => child.once("exit", () => resolve()));
      child.stdin?.end();
      const patience = setTimeout(() => child.kill("SIGTERM"), 3_000);
      const force = setTimeout(() => child.kill("SIGKILL"), 10_000);
      await gone;
      clearTimeout(patience);
      clearTimeout(force);
    }),
  );
}

export function freePort(): Promise<number> {
  return new Promise((resolve) => {
    const probe = createServer();
    probe.listen(0, "127.0.0.1", () => {
      const { port } = probe.address() as AddressInfo;
      probe.close(() => resolve(port));
    });
  });
}
