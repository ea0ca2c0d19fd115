// Reads input from a file, or from stdin as `-`.
import { readFile } from "node:fs/promises";
import { CliError } from "./errors.ts";
import type { Terminal } from "./terminal.ts";

export async function readInput(path: string, terminal: Terminal): Promise<string> {
  if (path === "-") return readStdin(terminal);
  try {
    return await readFile(path, "utf8");
  } catch (error) {
    throw new CliError({
      exitCode: 2,
      message: `${path} cannot be read.`,
      why: (error as NodeJS.ErrnoException).code === "ENOENT" ? "There is no such file." : (error as Error).message,
      hint: "Give the path of a file, or - for stdin.",
      cause: error,
    });
  }
}

async function readStdin(terminal: Terminal): Promise<string> {
  if (terminal.stdin.isTTY) terminal.note("Reading what you type; end it with Ctrl-D.");
  const chunks: Buffer[] = [];
  for await (const chunk of terminal.stdin) chunks.push(Buffer.from(chunk as string));
  return Buffer.concat(chunks).toString("utf8");
}

export async function readJsonInput(path: string, terminal: Terminal): Promise<unknown> {
  const content = await readInput(path, terminal);
  try {
    return JSON.parse(content) as unknown;
  } catch (error) {
    throw new CliError({
      exitCode: 2,
      message: `${path === "-" ? "stdin" : path} is not JSON.`,
      why: (error as Error).message,
      hint: "Write one JSON value; text goes in double quotes.",
      cause: error,
    });
  }
}
