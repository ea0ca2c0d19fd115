// From tokens to text: whole characters only, stop strings across token borders, and back from a place in the text to the
// token at which it begins.

/** The bytes of one character may be spread over at most this many tokens; after that the character counts as broken. */
const heldTokensMax = 6;

/** Tokens before a piece that some tokenizers look at to decide about a space. */
const contextTokensKept = 4;

export class TokenText {
  private readonly detokenize: (tokens: readonly number[], before: readonly number[]) => string;
  private readonly before: number[] = [];
  private held: number[] = [];
  private text = "";
  /** Length of the text that is certain after each token. */
  private readonly lengths: number[] = [];

  /** `before`: the tokens of a text that this one goes on with. */
  constructor(
    detokenize: (tokens: readonly number[], before: readonly number[]) => string,
    before: readonly number[] = [],
  ) {
    this.detokenize = detokenize;
    this.before.push(...before.slice(-contextTokensKept));
  }

  /** All text so far. */
  get whole(): string {
    return this.text;
  }

  /** The text that this token completes; empty while a character is incomplete. */
  push(token: number): string {
    this.held.push(token);
    const piece = this.detokenize(this.held, this.before);
    const incomplete = piece.endsWith("\u{FFFD}") && this.held.length < heldTokensMax;
    if (!incomplete) this.take(piece);
    this.lengths.push(this.text.length);
    return incomplete ? "" : piece;
  }

  /** What was held back, at the end of the text. */
  flush(): string {
    if (this.held.length === 0) return "";
    const piece = this.detokenize(this.held, this.before);
    this.take(piece);
    return piece;
  }

  /** Tokens whose text ends at or before `offset`, and the text from there to `offset`. */
  cutAt(offset: number): { keep: number; rest: string } {
    let keep = 0;
    let length = 0;
    while (keep < this.lengths.length && this.lengths[keep]! <= offset) length = this.lengths[keep++]!;
    // A token that completed no character belongs to the one after it.
    while (keep > 0 && keep < this.lengths.length && this.lengths[keep - 1] === (this.lengths[keep - 2] ?? 0)) keep--;
    return { keep, rest: this.text.slice(length, offset) };
  }

  /** Starts over with these tokens as the whole output, and `text` as their text. */
  reset(tokens: readonly number[], text: string): void {
    const kept = this.lengths.filter((length) => length <= text.length).slice(0, tokens.length);
    this.lengths.length = 0;
    this.lengths.push(...kept);
    while (this.lengths.length < tokens.length) this.lengths.push(text.length);
    this.held = [];
    this.text = text;
    this.before.splice(0, this.before.length, ...tokens.slice(-contextTokensKept));
  }

  private take(piece: string): void {
    this.text += piece;
    this.before.push(...this.held);
    this.before.splice(0, Math.max(0, this.before.length - contextTokensKept));
    this.held = [];
  }
}

/** Finds stop strings in a stream of text; holds back what could be the beginning of one. */
export class StopStrings {
  private readonly stops: readonly string[];
  private readonly longest: number;
  private held = "";

  constructor(stops: readonly string[]) {
    this.stops = stops;
    this.longest = Math.max(0, ...stops.map((stop) => stop.length));
  }

  /** Text that is safe to pass on, and whether a stop string ended it. */
  push(piece: string): { text: string; stopped: boolean } {
    if (this.stops.length === 0) return { text: piece, stopped: false };
    const text = this.held + piece;
    let first = -1;
    for (const stop of this.stops) {
      const at = text.indexOf(stop);
      if (at >= 0 && (first < 0 || at < first)) first = at;
    }
    if (first >= 0) {
      this.held = "";
      return { text: text.slice(0, first), stopped: true };
    }
    const keep = this.beginning(text);
    this.held = text.slice(text.length - keep);
    return { text: text.slice(0, text.length - keep), stopped: false };
  }

  /** What was held back, when the text has ended. */
  flush(): string {
    const text = this.held;
    this.held = "";
    return text;
  }

  /** Length of the longest end of `text` with which a stop string begins. */
  private beginning(text: string): number {
    for (let length = Math.min(this.longest - 1, text.length); length > 0; length--) {
      const end = text.slice(text.length - length);
      if (this.stops.some((stop) => stop.startsWith(end))) return length;
    }
    return 0;
  }
}
