// Counts JSON before it is parsed, in its text or in its bytes while they come in. The cost of parsing and checking depends on the number of values, and a
// megabyte may hold one string or half a million lists. Strings are skipped by the search for their end, on a piece as Latin-1 text: that
// search costs two thirds of the one on bytes, where the quotes are some dozen bytes apart.

import { LineshaftError } from "../errors/index.ts";

/** Counts that a JSON text may reach. */
export interface JsonBounds {
  /** Lists and objects inside each other. */
  depth: number;
  /** Lists, objects, texts, names of members, true, false and null. */
  values: number;
  /** Numbers in lists: token ids, which cost little each. */
  numbers: number;
}

/** A text exceeds a bound; the message continues after "The body". */
export class JsonBoundError extends LineshaftError {
  readonly bound: keyof JsonBounds;

  constructor(bound: keyof JsonBounds, most: number) {
    const message = bound === "depth" ? `is nested deeper than ${most} levels` : `holds more than ${most} ${bound}`;
    super({ code: "json_bound", message });
    this.bound = bound;
  }
}

const quote = 0x22;
const backslash = 0x5c;

/** Counts one JSON text (RFC 8259) in UTF-8 that comes in pieces. Linear in its bytes; keeps none of them. */
export class JsonMeter {
  readonly #bounds: JsonBounds;
  #depth = 0;
  #values = 0;
  #numbers = 0;
  #inString = false;
  /** The last byte of the piece before was a backslash that escapes what follows. */
  #escaped = false;
  /** A comma or an opening bracket came, and its element has not begun yet. */
  #elementOpen = false;

  constructor(bounds: JsonBounds) {
    this.#bounds = bounds;
  }

  /** Counts the next bytes. Throws JsonBoundError at the first bound that is passed. What is no JSON is counted all the same. */
  push(piece: Uint8Array): void {
    this.pushText(Buffer.from(piece.buffer, piece.byteOffset, piece.byteLength).toString("latin1"));
  }

  /** The same of text: a reader that needs the text anyway spares a copy of the bytes. */
  pushText(text: string): void {
    let at = 0;
    if (this.#inString) at = this.#skipString(text, 0);
    while (at < text.length) {
      const byte = text.charCodeAt(at);
      at++;
      // Space, tab and line ends.
      if (byte <= 0x20) continue;
      if (this.#elementOpen) {
        this.#elementOpen = false;
        // A digit or a minus sign begins a number; a closing bracket means that there is no element.
        if ((byte >= 0x30 && byte <= 0x39) || byte === 0x2d) this.#number();
        else if (byte !== 0x5d && byte !== 0x7d) this.#value();
      }
      if (byte === quote) {
        this.#inString = true;
        at = this.#skipString(text, at);
      } else if (byte === 0x2c) this.#elementOpen = true;
      else if (byte === 0x5b || byte === 0x7b) {
        this.#elementOpen = true;
        if (++this.#depth > this.#bounds.depth) throw new JsonBoundError("depth", this.#bounds.depth);
      } else if (byte === 0x5d || byte === 0x7d) this.#depth--;
    }
  }

  #value(): void {
    if (++this.#values > this.#bounds.values) throw new JsonBoundError("values", this.#bounds.values);
  }

  #number(): void {
    if (++this.#numbers > this.#bounds.numbers) throw new JsonBoundError("numbers", this.#bounds.numbers);
  }

  /** Where the string ends that the place is inside of, or the piece's end. */
  #skipString(text: string, from: number): number {
    let start = from;
    if (this.#escaped && start < text.length) {
      this.#escaped = false;
      start++;
    }
    for (let at = start; ;) {
      const end = text.indexOf('"', at);
      const stop = end < 0 ? text.length : end;
      let slashes = 0;
      while (stop - 1 - slashes >= start && text.charCodeAt(stop - 1 - slashes) === backslash) slashes++;
      const escapes = slashes % 2 === 1;
      if (end < 0) {
        this.#escaped = escapes;
        return text.length;
      }
      at = end + 1;
      // What stands before an escaped quote is looked at once.
      start = at;
      if (escapes) continue;
      this.#inString = false;
      return at;
    }
  }
}

/** Gives the event loop a turn. Large texts are worked on in steps, each of which is short. */
export const nextTurn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
