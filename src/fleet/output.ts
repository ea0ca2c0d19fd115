// The last of what a child printed: enough to say why it ended, bounded whatever it prints.
import { StringDecoder } from "node:string_decoder";
import { outputTailBytes } from "./limits.ts";

export class OutputTail {
  #text = "";
  readonly #onLine: ((line: string) => void) | undefined;
  readonly #decoders = new Map<string, { decoder: StringDecoder; rest: string }>();

  constructor(onLine?: (line: string) => void) {
    this.#onLine = onLine;
  }

  /** Bytes from one of the child's streams; a line that is split over two writes is put together again per stream. */
  write(stream: "stdout" | "stderr", bytes: Buffer): void {
    const state = this.#decoders.get(stream) ?? { decoder: new StringDecoder("utf8"), rest: "" };
    this.#decoders.set(stream, state);
    const text = state.decoder.write(bytes);
    this.#text = (this.#text + text).slice(-outputTailBytes);
    if (!this.#onLine) return;
    const lines = (state.rest + text).split("\n");
    state.rest = lines.pop()!.slice(-outputTailBytes);
    for (const line of lines) if (line.trim() !== "") this.#onLine(line);
  }

  get text(): string {
    return this.#text;
  }
}
