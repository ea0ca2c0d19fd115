// A real server as a child process of a suite: on free ports, with the end of its log where it does not start, and stopped at the end.
import { spawn } from "node:child_process";
import { createServer, type AddressInfo } from "node:net";

export interface Server {
  /** Without `/v1`. */
  url: string;
  stop(): Promise<void>;
}

interface ServerStart {
  /** What it is, for its error. */
  name: string;
  command: string;
  args: readonly string[];
  /** Without `/v1`. */
  url: string;
  /** A path that answers 200 once it has started. */
  ready: string;
  /** Folder that it runs in. */
  cwd?: string;
  /** Beside the environment of this process. */
  env?: Record<string, string>;
  /** The signal that stops it. */
  signal: "SIGKILL" | "SIGTERM";
}

/** So many ports that are free now. */
export async function freePorts(count: number): Promise<number[]> {
  const servers = await Promise.all(
    Array.from({ length: count }, async () => {
      const server = createServer();
      await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
      return server;
    }),
  );
  const ports = servers.map((server) => (server.address() as AddressInfo).port);
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
  return ports;
}

const running = new Set<() => Promise<void>>();

/** Stops whatever was started and still runs. */
export async function stopAll(): Promise<void> {
  await Promise.all([...running].map((stop) => stop()));
}

/** Resolves when it answers. Rejects with the end of its log when it exits before. */
export async function startServer({ name, command, args, url, ready, cwd, env, signal }: ServerStart): Promise<Server> {
  const child = spawn(command, args, { stdio: ["ignore", "pipe", "pipe"], cwd, env: { ...process.env, ...env } });
  let log = "";
  for (const stream of [child.stdout, child.stderr])
    stream.on("data", (text: Buffer) => {
      log = (log + text.toString("utf8")).slice(-8_000);
    });
  const gone = new Promise<void>((resolve) => child.once("close", () => resolve()));
  child.once("error", (error) => (log += error.message));
  const stop = async () => {
    child.kill(signal);
    await gone;
    running.delete(stop);
  };
  running.add(stop);
  for (;;) {
    if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null)
      throw new Error(`${name} did not start:\n${log}`);
    const answers = await fetch(url + ready).then(
      ({ status }) => status === 200,
      () => false,
    );
    if (answers) return { url, stop };
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
}
