// What a person hands over: a file, or stdin as `-`.
import { readFile } from "node:fs/promises";
import { text } from "node:stream/consumers";
import { CliError } from "./errors.ts";

export async function readInput(path: string): Promise<string> {
  if (path === "-") return text(process.stdin);
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

export async function readJsonInput(path: string): Promise<unknown> {
  const content = await readInput(path);
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
