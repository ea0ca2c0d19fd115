// Errors of the command line: three short lines on stderr (what failed, why, what to do) and an exit code. 1: the command failed; 2: wrong
// usage. Stacks are printed only with LINESHAFT_DEBUG=1.
import { LineshaftError, type FailureDetail } from "../errors/index.ts";
import type { Terminal } from "./terminal.ts";

/** A failed command. `exitCode` 2: wrong usage. */
export class CliError extends LineshaftError {
  readonly exitCode: 1 | 2;

  constructor({
    exitCode = 1,
    code = "failed",
    ...detail
  }: Omit<FailureDetail, "code"> & { exitCode?: 1 | 2; code?: string }) {
    super({ ...detail, code });
    this.exitCode = exitCode;
  }
}

/** Errors of the rooms have `why` and `hint`; this reads them without importing the room. */
interface Explained {
  message: string;
  why?: unknown;
  hint?: unknown;
  exitCode?: unknown;
}

/** Writes the error and returns the exit code. */
export function printError(error: unknown, terminal: Terminal): number {
  const explained: Explained = error instanceof Error ? error : { message: String(error) };
  const { red, dim } = terminal.colours("stderr");
  const hint = typeof explained.hint === "string" ? explained.hint : fallbackHint(error);
  terminal.note(`${red("error:")} ${withoutHint(explained.message, hint)}`);
  if (typeof explained.why === "string") for (const line of explained.why.split("\n")) terminal.note(`  why:  ${line}`);
  terminal.note(`  next: ${hint}`);
  if (terminal.env["LINESHAFT_DEBUG"] === "1" && error instanceof Error) terminal.note(dim(stackOf(error)));
  return explained.exitCode === 2 ? 2 : 1;
}

/** The API's messages include the next step, because SDKs show only the message; here it has a line of its own. */
function withoutHint(message: string, hint: string): string {
  return message.endsWith(hint) && message.length > hint.length ? message.slice(0, -hint.length).trimEnd() : message;
}

function fallbackHint(error: unknown): string {
  const code = (error as NodeJS.ErrnoException | undefined)?.code;
  if (code === "ENOSPC") return "The disk is full. Free some space, then try again.";
  if (code === "ENOMEM") return "There is not enough memory. Stop other programs, then try again.";
  return "Run it again with LINESHAFT_DEBUG=1 to see where it happened; `npx lineshaft doctor` checks the machine.";
}

function stackOf(error: Error): string {
  const cause = error.cause instanceof Error ? `\ncaused by ${stackOf(error.cause)}` : "";
  return `${error.stack ?? error.message}${cause}`;
}
