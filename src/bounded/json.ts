// Counts JSON before it is parsed, in its bytes while they come in, and notes where the members of its outermost object lie. The cost of
// parsing and checking depends on the number of values, and a megabyte may hold one string or half a million lists. Strings are skipped by
// the search for their end (jsonString.ts).

import { LineshaftError } from "../errors/index.ts";
import { Outline } from "./jsonOutline.ts";
import { escaped, look, mayBeEscaped, placeBits, stringEnd, textAt, window, windowBytes, wrong } from "./jsonString.ts";

/** Counts that a JSON text may reach. */
export interface JsonBounds {
  /** Lists and objects inside each other. */
  depth: number;
  /** Lists, objects, texts, names of members, true, false and null. */
  values: number;
  /** Numbers in lists: token ids, which cost little each. */
  numbers: number;
}

/** Where the value of a member of the outermost object lies: [start, end), white space around it included. */
export interface JsonMember {
  start: number;
  end: number;
  /** Names of members inside the value, at any depth, as often as they are written. */
  names: number;
  /** Places of commas where a long list can be cut into lists of about `partLength`. */
  cuts: readonly number[];
}

interface MeterOptions {
  /** Length from which on a list gets a cut. */
  partLength?: number;
  outlined?: string | undefined;
}

/** By name. Offsets count bytes. */
export type JsonMembers = ReadonlyMap<string, JsonMember>;

/** Length from which on a list gets a cut. Texts of this length lie where the young generation is collected, and cost no memory of their own. */
const usualPartLength = 32 * 1024;

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
const noCuts: readonly number[] = [];

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
  /** Length of what was looked at before. */
  #before = 0;
  /** Names inside the outermost object's members so far. */
  #names = 0;
  #places: Places | undefined;
  /** What is written of the outlined list; undefined where none is wanted, or it is known that there will be none. */
  #outline: Outline | undefined;
  readonly #outlined: string | undefined;
  /** The place is inside of the outlined list. */
  #isOutlining = false;

  /**
   * `notesMembers`: it also notes where the members of the outermost object lie. `outlined`: name of the member that is a list whose long
   * texts are left out of an outline.
   */
  constructor(bounds: JsonBounds, notesMembers = false, { partLength = usualPartLength, outlined }: MeterOptions = {}) {
    this.#bounds = bounds;
    this.#outlined = outlined;
    if (notesMembers) this.#places = new Places(partLength);
    if (outlined !== undefined) this.#outline = new Outline(window);
  }

  /**
   * Members of the outermost object, once all of it was counted. Undefined where the text is no object, gives a name twice in it, or was cut
   * into pieces inside of one of these names.
   */
  get members(): JsonMembers | undefined {
    return this.#places?.members;
  }

  /** The JSON without the long texts of the outlined list, once all of it was counted. Undefined where it is not shorter, or not sure. */
  get outline(): string | undefined {
    return this.members && this.#outline?.text;
  }

  /** Counts the next bytes. Throws JsonBoundError at the first bound that is passed. What is no JSON is counted all the same. */
  push(piece: Uint8Array): void {
    for (let from = 0; from < piece.length; from += windowBytes) {
      const bytes = piece.length <= windowBytes ? piece : piece.subarray(from, from + windowBytes);
      look(bytes);
      this.#outline?.looks();
      this.#count(bytes.length);
      this.#before += bytes.length;
      this.#outline?.take(bytes.length);
    }
  }

  /** Counts the first bytes of the window. */
  #count(length: number): void {
    let at = 0;
    if (this.#inString) at = this.#skipString(0, length);
    while (at < length) {
      const byte = window[at]!;
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
        const start = at;
        at = this.#skipString(start, length);
        if (this.#depth === 1 && this.#places?.awaitsName === true) this.#noteName(start - 1, at);
      } else if (byte === 0x3a) {
        if (this.#depth > 1) this.#names++;
        else this.#places?.valueBegins(this.#before + at);
        // A name is never left out.
        if (this.#isOutlining && this.#outline?.isLeftOut === true) this.#outline = undefined;
      } else if (byte === 0x2c) {
        this.#elementOpen = true;
        if (this.#depth === 1) this.#noteEnd(at);
        else if (this.#depth === 2) this.#places?.comma(this.#before + at - 1);
      } else if (byte === 0x5b || byte === 0x7b) {
        this.#elementOpen = true;
        if (++this.#depth > this.#bounds.depth) throw new JsonBoundError("depth", this.#bounds.depth);
        if (this.#depth > 2) continue;
        if (this.#depth === 2) this.#opens(byte === 0x5b, at);
        else if (byte === 0x5b) this.#places = undefined;
      } else if (byte === 0x5d || byte === 0x7d) {
        if (--this.#depth === 0) this.#noteEnd(at);
        else if (this.#depth === 1) this.#closes(at);
      }
    }
  }

  #opens(isList: boolean, at: number): void {
    this.#places?.opens(isList);
    this.#isOutlining = isList && this.#outline !== undefined && this.#places?.current === this.#outlined;
    if (this.#isOutlining) this.#outline!.begins(at);
  }

  #closes(at: number): void {
    if (this.#isOutlining) this.#outline?.ends(at);
    this.#isOutlining = false;
  }

  #noteName(start: number, end: number): void {
    if (this.#inString || this.#places?.name(textAt(start, end)) === false) this.#places = undefined;
  }

  #noteEnd(at: number): void {
    this.#places?.valueEnds(this.#before + at - 1, this.#names);
    this.#names = 0;
  }

  #value(): void {
    if (++this.#values > this.#bounds.values) throw new JsonBoundError("values", this.#bounds.values);
  }

  #number(): void {
    if (++this.#numbers > this.#bounds.numbers) throw new JsonBoundError("numbers", this.#bounds.numbers);
  }

  /** Where the string ends that the place is inside of, or the end of what is looked at. */
  #skipString(from: number, length: number): number {
    const isCut = this.#escaped;
    const found = stringEnd(isCut ? from + 1 : from, length);
    const end = found & placeBits;
    this.#escaped = (found & escaped) !== 0;
    this.#inString = end === length;
    if (this.#isOutlining && this.#depth > 2) {
      const isWrong = (found & wrong) !== 0 || (isCut && !mayBeEscaped(window[from]!));
      this.#outline?.string(from, end, this.#inString, isWrong);
    }
    return this.#inString ? length : end + 1;
  }
}

/** Notes the members of the outermost object. */
class Places {
  readonly members = new Map<string, JsonMember>();
  readonly #partLength: number;
  #name: string | undefined;
  #start = -1;
  #isList = false;
  #cuts: number[] | undefined;
  /** Where the part of a list begins that is not cut yet. */
  #part = 0;

  constructor(partLength: number) {
    this.#partLength = partLength;
  }

  /** The member whose value comes or has begun. */
  get current(): string | undefined {
    return this.#name;
  }

  /** A text that comes now is the name of a member. */
  get awaitsName(): boolean {
    return this.#name === undefined;
  }

  /** Takes a name as it is written. False where it is none, or was given before. */
  name(written: string): boolean {
    try {
      this.#name = written.includes("\\") ? (JSON.parse(written) as string) : written.slice(1, -1);
    } catch {
      return false;
    }
    return !this.members.has(this.#name);
  }

  valueBegins(place: number): void {
    this.#start = place;
    this.#part = place;
    this.#isList = false;
    this.#cuts = undefined;
  }

  /** The member's value is a list or an object. */
  opens(isList: boolean): void {
    this.#isList = isList;
  }

  /** A comma inside the value. */
  comma(place: number): void {
    if (!this.#isList || place - this.#part < this.#partLength) return;
    (this.#cuts ??= []).push(place);
    this.#part = place + 1;
  }

  valueEnds(end: number, names: number): void {
    if (this.#name === undefined || this.#start < 0) return;
    this.members.set(this.#name, { start: this.#start, end, names, cuts: this.#cuts ?? noCuts });
    this.#name = undefined;
    this.#start = -1;
  }
}

/** Gives the event loop a turn. Large texts are worked on in steps, each of which is short. */
export const nextTurn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
