// Starts and stops the real llama.cpp server for its suite and its recordings: on free ports, small enough for two cores. It runs in
// the folder of its model, so that what it says of the model's path names no folder of this machine.
import { basename, dirname } from "node:path";
import { fileURLToPath } from "node:url";
import { freePorts, startServer, type Server } from "./childServer.ts";

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

/** Arguments of a server, without its address. */
export const argumentsOf = (model: string, more: readonly string[]): string[] => [
  ...["--model", basename(model), "--alias", alias, "--threads", "1"],
  ...["--ctx-size", `${slots * slotTokens}`, "--parallel", `${slots}`],
  ...more,
];

/** Resolves when it answers. Rejects with the end of its log when it exits before. */
export async function startLlamacpp({ command, model, more = [] }: ServerOptions): Promise<Server> {
  const [port] = await freePorts(1);
  return startServer({
    name: "llama.cpp's server",
    command,
    args: [...argumentsOf(model, more), "--host", "127.0.0.1", "--port", `${port}`],
    url: `http://127.0.0.1:${port}`,
    ready: "/health",
    cwd: dirname(model),
    signal: "SIGKILL",
  });
}
