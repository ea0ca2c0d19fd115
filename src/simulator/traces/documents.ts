// The JSON objects of a file that may stand one a line, over many lines, one after the other, or in one list: whatever a tool has written.
// Objects are found by their braces, so that only one is held in memory at a time.
import { documentBytesMost, documentDepthMost } from "../limits.ts";
import { readBytes, shown, tooDeep, tooLong, unreadable } from "./files.ts";

/** One JSON object at the top of a file (or of the list that the file is). */
interface JsonDocument {
  value: unknown;
  /** Line on which it begins, from 1. */
  line: number;
}

const quote = 0x22;
const backslash = 0x5c;
const newline = 0x0a;
const openList = 0x5b;
const closeList = 0x5d;
// Compared byte by byte, since a trace has hundreds of millions of them.
const opens = (byte: number): boolean => byte === 0x7b || byte === openList;
const closes = (byte: number): boolean => byte === 0x7d || byte === closeList;
/** White space, and the commas of a list around all objects. */
const blank = (byte: number): boolean =>
  byte === 0x20 || byte === 0x09 || byte === newline || byte === 0x0d || byte === 0x2c;

/**
 * Reads a file's objects in order, at most `limit`.
 * @throws SimulatorError `trace_unreadable` naming the line, `trace_too_large`
 */
export async function* readDocuments(path: string, limit = Infinity): AsyncGenerator<JsonDocument> {
  const scanner = new Scanner(path);
  let count = 0;
  for await (const chunk of readBytes(path)) {
    for (const document of scanner.scan(chunk)) {
      if (count++ >= limit) return;
      yield document;
    }
  }
  scanner.finish();
}

class Scanner {
  readonly #path: string;
  /** Nesting that is not the list around all objects. */
  #depth = 0;
  #inString = false;
  #escaped = false;
  #inList = false;
  #begun = false;
  #parts: Buffer[] = [];
  #held = 0;
  #line = 1;
  #startLine = 1;

  constructor(path: string) {
    this.#path = path;
  }

  *scan(chunk: Buffer): Generator<JsonDocument> {
    let from = 0;
    for (let at = 0; at < chunk.length; at++) {
      const byte = chunk[at]!;
      if (byte === newline) this.#line++;
      if (this.#inString) this.#inText(byte);
      else if (byte === quote && this.#depth > 0) this.#inString = true;
      else if (opens(byte)) {
        if (this.#depth === 0 && !this.#begins(byte)) continue;
        if (this.#depth === 0) {
          from = at;
          this.#startLine = this.#line;
        }
        if (++this.#depth > documentDepthMost) throw tooDeep(this.#path, `line ${this.#line}`);
      } else if (closes(byte)) {
        if (this.#depth === 0) this.#outside(byte);
        else if (--this.#depth === 0) yield this.#take(chunk.subarray(from, at + 1));
      } else if (this.#depth === 0 && !blank(byte)) this.#outside(byte);
    }
    if (this.#depth === 0) return;
    this.#parts.push(chunk.subarray(from));
    this.#held += chunk.length - from;
    if (this.#held > documentBytesMost) throw tooLong(this.#path, `the object that begins on line ${this.#startLine}`);
  }

  finish(): void {
    if (this.#depth > 0)
      throw unreadable(this.#path, "the file ends before it does", `the object that begins on line ${this.#startLine}`);
  }

  #inText(byte: number): void {
    if (this.#escaped) this.#escaped = false;
    else if (byte === backslash) this.#escaped = true;
    else if (byte === quote) this.#inString = false;
  }

  /** Whether an object begins; false for the bracket of the list around all objects. */
  #begins(byte: number): boolean {
    if (byte !== openList) return (this.#begun = true);
    if (this.#begun || this.#inList) this.#outside(byte);
    this.#inList = true;
    return false;
  }

  /** What stands beside the objects: only the end of the list around them may. */
  #outside(byte: number): void {
    if (this.#inList && byte === closeList) return;
    const what = shown(String.fromCodePoint(byte)).trim();
    throw unreadable(
      this.#path,
      `${what === "" ? "a byte" : `"${what}"`} stands where an object should begin`,
      `line ${this.#line}`,
    );
  }

  #take(rest: Buffer): JsonDocument {
    const text = (this.#parts.length === 0 ? rest : Buffer.concat([...this.#parts, rest])).toString("utf8");
    this.#parts = [];
    this.#held = 0;
    try {
      return { value: JSON.parse(text), line: this.#startLine };
    } catch {
      throw unreadable(this.#path, `it is not JSON: ${shown(text)}`, `line ${this.#startLine}`);
    }
  }
}
