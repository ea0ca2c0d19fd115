// Starts and stops the real llama.cpp server for its suite and its recordings: on free ports, small enough for two cores. It runs in
// the folder of its model, so that what it says of the model's path names no folder of this machine.
import { spawn } from "node:child_process";
import { createServer, type AddressInfo } from "node:net";
import { basename, dirname } from "node:path";
import { fileURLToPath } from "node:url";

export interface Server {
  /** Without `/v1`. */
  url: string;
  stop(): Promise<void>;
}

interface ServerOptions {
  /** The command `llama-server`, or one that takes the same arguments. */
  command: string;
  /** The GGUF file. */
  model: string;
  /** Arguments beside those that every server of the suite has. */
  more?: string[];
}

/** Its name of the model. */
export const alias = "scripted";
export const slots = 2;
export const slotTokens = 1024;
/** A template that knows tools; that of the small model knows none. */
export const toolTemplate = fileURLToPath(new URL("tools.jinja", import.meta.url));

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

const running = new Set<() => Promise<void>>();

/** Stops whatever was started and still runs. */
export async function stopAll(): Promise<void> {
  await Promise.all([...running].map((stop) => stop()));
}

/** Arguments of a server, without its address. */
export const argumentsOf = (model: string, more: readonly string[]): string[] => [
  ...["--model", basename(model), "--alias", alias, "--threads", "1"],
  ...["--ctx-size", `${slots * slotTokens}`, "--parallel", `${slots}`],
  ...more,
];

/** Resolves when it answers. Rejects with the end of its log when it exits before. */
export async function startLlamacpp({ command, model, more = [] }: ServerOptions): Promise<Server> {
  const port = await freePort();
  const args = [...argumentsOf(model, more), "--host", "127.0.0.1", "--port", `${port}`];
  const child = spawn(command, args, { stdio: ["ignore", "pipe", "pipe"], cwd: dirname(model) });
  let log = "";
  for (const stream of [child.stdout, child.stderr])
    stream.on("data", (text: Buffer) => {
      log = (log + text.toString("utf8")).slice(-8_000);
    });
  const gone = new Promise<void>((resolve) => child.once("close", () => resolve()));
  child.once("error", (error) => (log += error.message));
  const stop = async () => {
    child.kill("SIGKILL");
    await gone;
    running.delete(stop);
  };
  running.add(stop);
  const url = `http://127.0.0.1:${port}`;
  for (;;) {
    if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null)
      throw new Error(`llama.cpp's server did not start:\n${log}`);
    const status = await fetch(`${url}/health`).then(
      (answer) => answer.status,
      () => undefined,
    );
    if (status === 200) return { url, stop };
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
}
