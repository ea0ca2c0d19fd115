// Server-sent events out of bytes, as the WHATWG specification reads them (lines end with LF, CRLF or CR; data lines of one
// event are joined; unknown fields are dropped), wherever the bytes happen to be cut. Comments are dropped too, unless the reader asks
// for them: the embedded worker counts its output in comments, which cost no JSON.
//
// Own, because this runs for every token: bytes are searched by the native indexOf and decoded once per line, and only the
// line that a cut went through is copied.
import { limits } from "../limits.ts";
import { EngineError } from "../types.ts";

type SseListener = (data: string, event: string | undefined, id: string | undefined) => void;

const lf = 10;
const cr = 13;

export class SseScanner {
  readonly #listener: SseListener;
  readonly #mostBytes: number;
  readonly #onComment: ((text: string) => void) | undefined;
  /** The line that the last pieces ended in the middle of: put together when its end comes, so that a long one is copied once. */
  #rest: Buffer[] = [];
  #restBytes = 0;
  /** The last piece ended with CR: an LF that follows belongs to it. */
  #skipLf = false;
  #first = true;
  #data: string | undefined;
  #event: string | undefined;
  #id: string | undefined;
  #eventBytes = 0;

  constructor(
    listener: SseListener,
    mostBytes: number = limits.eventBytes,
    onComment: ((text: string) => void) | undefined = undefined,
  ) {
    this.#listener = listener;
    this.#mostBytes = mostBytes;
    this.#onComment = onComment;
  }

  /** Takes the next piece; calls the listener for every event that is complete with it. Throws EngineError past the bound. */
  push(piece: Uint8Array): void {
    let bytes = Buffer.isBuffer(piece) ? piece : Buffer.from(piece.buffer, piece.byteOffset, piece.byteLength);
    if (this.#skipLf && bytes.length > 0) {
      if (bytes[0] === lf) bytes = bytes.subarray(1);
      this.#skipLf = false;
    }
    if (this.#restBytes > 0) {
      if (!bytes.includes(lf) && !bytes.includes(cr)) return this.#keep(bytes);
      bytes = Buffer.concat([...this.#rest, bytes]);
      this.#rest = [];
      this.#restBytes = 0;
    }
    let start = 0;
    // Most streams hold no CR at all: it is looked for once per piece, not once per line.
    let nextCr = bytes.indexOf(cr);
    while (start < bytes.length) {
      const nextLf = bytes.indexOf(lf, start);
      let end = nextLf;
      let next = nextLf + 1;
      if (nextCr >= 0 && (nextLf < 0 || nextCr < nextLf)) {
        end = nextCr;
        next = nextCr + 1;
        if (next === bytes.length) this.#skipLf = true;
        else if (bytes[next] === lf) next++;
        nextCr = bytes.indexOf(cr, next);
      }
      if (end < 0) break;
      this.#line(bytes, start, end);
      start = next;
    }
    if (start < bytes.length) this.#keep(bytes.subarray(start));
  }

  #keep(bytes: Buffer): void {
    // A copy: the piece belongs to the socket's buffer and will be written over.
    this.#rest.push(Buffer.from(bytes));
    this.#restBytes += bytes.length;
    if (this.#restBytes + this.#eventBytes > this.#mostBytes) throw tooLong(this.#mostBytes);
  }

  #line(bytes: Buffer, from: number, end: number): void {
    let start = from;
    if (this.#first) {
      this.#first = false;
      if (bytes[start] === 0xef && bytes[start + 1] === 0xbb && bytes[start + 2] === 0xbf) start += 3;
    }
    if (start >= end) return this.#dispatch();
    // `data:`, the field that nearly every line is.
    if (
      bytes[start] === 0x64 &&
      bytes[start + 1] === 0x61 &&
      bytes[start + 2] === 0x74 &&
      bytes[start + 3] === 0x61 &&
      bytes[start + 4] === 0x3a &&
      start + 5 <= end
    ) {
      const value = start + 5;
      this.#append(bytes.toString("utf8", bytes[value] === 0x20 && value < end ? value + 1 : value, end), end - start);
      return;
    }
    if (bytes[start] === 0x3a) return this.#onComment?.(bytes.toString("utf8", start + 1, end));
    const line = bytes.toString("utf8", start, end);
    const colon = line.indexOf(":");
    const field = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? "" : line.slice(line[colon + 1] === " " ? colon + 2 : colon + 1);
    if (field === "data") this.#append(value, line.length);
    else if (field === "event") this.#event = value;
    else if (field === "id" && !value.includes("\0")) this.#id = value;
  }

  #append(text: string, bytes: number): void {
    this.#eventBytes += bytes;
    if (this.#eventBytes > this.#mostBytes) throw tooLong(this.#mostBytes);
    this.#data = this.#data === undefined ? text : `${this.#data}\n${text}`;
  }

  #dispatch(): void {
    const data = this.#data;
    const event = this.#event;
    this.#data = undefined;
    this.#event = undefined;
    this.#eventBytes = 0;
    if (data !== undefined) this.#listener(data, event, this.#id);
  }
}

function tooLong(bytes: number): EngineError {
  return new EngineError({
    status: 502,
    code: "engine_invalid_answer",
    message: `The engine sent an event longer than ${bytes} bytes.`,
    retryable: false,
  });
}
