// A JSON text without the long texts of one of its lists. A conversation of 400 KB is 395 KB of what was said, and to judge and to pass on a
// request nothing of that is read: of a text it counts that it is a text. So the request is parsed without its long texts, and the list
// itself only where its reader is (jsonLazy.ts). A text is left out only where all of it is known to be a valid string.

/** Bytes from which on a text is left out. */
const leastBytes = 128;
/** Bytes of a text that goes on behind a window, from which on what came is dropped. */
const leastDropped = 4 * 1024;
/** A longer outline of the list is given up: it costs as much to parse as the list part by part. */
const mostListBytes = 128 * 1024;
/** What stands beside the list is parsed whole in any case. */
const mostBytes = 512 * 1024;
const startBytes = 8 * 1024;

/** Stands in place of every text that was left out: no name of a role or a kind, and not empty. */
const placeholder = 0x2e;

/** A text that goes on behind what was looked at. */
interface Span {
  /** Where its content begins in the outline. */
  at: number;
  bytes: number;
  isWrong: boolean;
  isDropped: boolean;
}

/** Written while the JSON comes in, window by window. */
export class Outline {
  #bytes = Buffer.allocUnsafe(startBytes);
  #length = 0;
  /** How much of the window was taken over. */
  #taken = 0;
  /** Bytes that the outline may reach now. */
  #most = mostBytes;
  #span: Span | undefined;
  #isGivenUp = false;
  #hasLeftOut = false;
  /** The last text was left out. */
  isLeftOut = false;

  readonly #window: Uint8Array;

  constructor(window: Uint8Array) {
    this.#window = window;
  }

  /** The list begins in the window before `at`. */
  begins(at: number): void {
    this.take(at);
    this.#most = Math.min(mostBytes, this.#length + mostListBytes);
  }

  /** The list has ended. */
  ends(at: number): void {
    this.take(at);
    this.#most = mostBytes;
  }

  /** The window has other bytes. */
  looks(): void {
    this.#taken = 0;
  }

  /** Takes over what stands in the window up to there. */
  take(to: number): void {
    const from = this.#taken;
    if (to <= from || this.#isGivenUp) return;
    this.#taken = to;
    const length = this.#length + to - from;
    if (length > this.#most) return this.#giveUp();
    if (length > this.#bytes.length) this.#grow(length);
    // The usual few bytes between two texts; a call out of JavaScript costs more than a loop over them.
    if (to - from < 64) for (let at = from; at < to; at++) this.#bytes[this.#length++] = this.#window[at]!;
    else {
      this.#bytes.set(this.#window.subarray(from, to), this.#length);
      this.#length = length;
    }
  }

  /** A text has its content, or more of it, at [from, to) in the window. `isOpen`: it goes on behind the window. */
  string(from: number, to: number, isOpen: boolean, isWrong: boolean): void {
    this.isLeftOut = false;
    if (this.#isGivenUp) return;
    if (!this.#span && !isOpen) {
      if (isWrong || to - from < leastBytes) return;
      this.take(from);
      this.#leaveOut(to);
      return;
    }
    if (!this.#span) {
      this.take(from);
      this.#span = { at: this.#length, bytes: 0, isWrong: false, isDropped: false };
    }
    const span = this.#span;
    span.bytes += to - from;
    span.isWrong ||= isWrong;
    if (isOpen) {
      span.isDropped ||= span.bytes >= leastDropped;
      if (!span.isDropped) return;
      this.#length = span.at;
      this.#taken = to;
      return;
    }
    this.#span = undefined;
    if (span.isWrong && span.isDropped) this.#giveUp();
    if (span.isWrong || span.bytes < leastBytes) return;
    this.#length = span.at;
    this.#leaveOut(to);
  }

  /** The outline as text; undefined where nothing was left out, or it was given up. */
  get text(): string | undefined {
    return this.#isGivenUp || this.#span || !this.#hasLeftOut
      ? undefined
      : this.#bytes.toString("utf8", 0, this.#length);
  }

  /** The text whose content begins at the end of the outline ends at `to` in the window. */
  #leaveOut(to: number): void {
    if (this.#length >= this.#bytes.length) this.#grow(this.#length + 1);
    this.#bytes[this.#length++] = placeholder;
    this.#taken = to;
    this.isLeftOut = true;
    this.#hasLeftOut = true;
  }

  #grow(length: number): void {
    const more = Buffer.allocUnsafe(Math.max(length, 2 * this.#bytes.length));
    this.#bytes.copy(more, 0, 0, this.#length);
    this.#bytes = more;
  }

  #giveUp(): void {
    this.#isGivenUp = true;
    this.#length = 0;
  }
}
