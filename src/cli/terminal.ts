// The command line's output: data to stdout, everything else to stderr; colour and rewritten lines only on a terminal, and colour only
// without NO_COLOR. One object, so that tests give it their own streams and clock.
import { styleText } from "node:util";

interface Output {
  write(text: string): unknown;
  isTTY?: boolean;
  columns?: number;
}

/** The input stream of text. */
export interface Input extends AsyncIterable<Uint8Array | string> {
  isTTY?: boolean;
}

interface Colours {
  bold(text: string): string;
  dim(text: string): string;
  red(text: string): string;
  green(text: string): string;
  yellow(text: string): string;
}

/** Whether there is colour is decided by `Terminal.colours`, so node's own look at the environment and the stream is switched off. */
const paint = (style: "bold" | "dim" | "red" | "green" | "yellow") => (text: string) =>
  styleText(style, text, { validateStream: false });
const painted: Colours = {
  bold: paint("bold"),
  dim: paint("dim"),
  red: paint("red"),
  green: paint("green"),
  yellow: paint("yellow"),
};
const same = (text: string) => text;
const plain: Colours = { bold: same, dim: same, red: same, green: same, yellow: same };

/** Interval of plain progress lines where lines cannot be rewritten. */
const plainEveryMs = 3_000;
/** Work that is done sooner shows no progress. */
const quietMs = 2_000;

export class Terminal {
  readonly stdout: Output;
  readonly stderr: Output;
  readonly stdin: Input;
  readonly env: NodeJS.ProcessEnv;
  readonly now: () => number;
  #liveLine = false;

  constructor(
    given: { stdout?: Output; stderr?: Output; stdin?: Input; env?: NodeJS.ProcessEnv; now?: () => number } = {},
  ) {
    this.stdout = given.stdout ?? process.stdout;
    this.stderr = given.stderr ?? process.stderr;
    this.stdin = given.stdin ?? process.stdin;
    this.env = given.env ?? process.env;
    this.now = given.now ?? Date.now;
  }

  colours(stream: "stdout" | "stderr"): Colours {
    const colourless = Boolean(this.env["NO_COLOR"]) || this.env["TERM"] === "dumb" || !this[stream].isTTY;
    return colourless ? plain : painted;
  }

  /** A line of data. */
  print(line: string): void {
    this.clearLive();
    this.stdout.write(`${line}\n`);
  }

  /** Data without a newline: streamed text. */
  printRaw(text: string): void {
    this.clearLive();
    this.stdout.write(text);
  }

  printJson(value: unknown): void {
    this.print(JSON.stringify(value, null, this.stdout.isTTY ? 2 : undefined));
  }

  /** A message for the person, on stderr. */
  note(line: string): void {
    this.clearLive();
    this.stderr.write(`${line}\n`);
  }

  clearLive(): void {
    if (!this.#liveLine) return;
    this.stderr.write("\r\u001b[K");
    this.#liveLine = false;
  }

  /** Shows the progress of one piece of work; `line` returns its current text. Shown after two seconds. */
  progress(): { show(line: string): void; done(): void } {
    const begun = this.now();
    let shownAt = -Infinity;
    return {
      show: (line) => {
        const now = this.now();
        if (now - begun < quietMs) return;
        if (this.stderr.isTTY) {
          this.stderr.write(`\r\u001b[K${line.slice(0, (this.stderr.columns ?? 80) - 1)}`);
          this.#liveLine = true;
        } else if (now - shownAt >= plainEveryMs) {
          shownAt = now;
          this.note(line);
        }
      },
      done: () => this.clearLive(),
    };
  }
}
