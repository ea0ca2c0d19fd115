// A large request on its way through: its messages leave as the very bytes that they came as. Writing 400 KB of JSON anew
// costs more CPU than all else about the call together (900 us; every further copy of it 350 us), and all that changes is a
// field or two at the top.
//
// The text is known to be valid JSON (it was parsed); here only the members of the outermost object are found. Strings are
// skipped by indexOf: on V8's strings that is several times faster than on bytes, and than a loop over either.
//
// What leaves must be what was checked and priced. JSON may give a name twice, and readers differ in which one they take; so bytes
// are passed on only where they can be read in one way: a value whose text has as many members as the parsed value has keys, in
// bytes that are UTF-8. Other bytes became U+FFFD in the text, and another reader may make something else of them.
import { isUtf8 } from "node:buffer";
import { EngineError } from "../types.ts";

/** A body as it came: its bytes, its JSON text, and the object that was parsed from it. */
export interface SourceBody {
  bytes: Uint8Array;
  text: string;
  object: Record<string, unknown>;
}

/** Below this many characters writing anew is as cheap. */
const leastLength = 16 * 1024;
/** Shorter values are written anew: a piece of its own costs a system call's worth. */
const leastPiece = 4 * 1024;
/** Writing more than this anew would hold the event loop for too long: about 3 ms for a million characters. */
const mostRewritten = 8 * 1024 * 1024;

/**
 * JSON of `body`: taken from the source wherever a large member is still the same value, as pieces to be sent one after the other.
 * It is written anew without a source, and where the source could be read in two ways (bytes that are not UTF-8, a member given
 * twice at any depth). Throws EngineError 400 where that is too large to be written anew.
 */
export function encodeBody(body: Record<string, unknown>, source: SourceBody | undefined): string | Uint8Array[] {
  const usable = source && source.text.length >= leastLength && isUtf8(source.bytes);
  const members = usable ? membersOf(source.text) : undefined;
  if (!usable || !members) {
    if (source && source.text.length > mostRewritten) throw ambiguous();
    return JSON.stringify(body);
  }
  const places = placesInBytes(source, members);
  const pieces: Uint8Array[] = [];
  // What is written anew is gathered until a piece of the source follows.
  let text = "{";
  let first = true;
  for (const key in body) {
    const value = body[key];
    if (value === undefined) continue;
    text += `${first ? "" : ","}${JSON.stringify(key)}:`;
    first = false;
    const span = Object.hasOwn(source.object, key) && value === source.object[key] ? members.get(key) : undefined;
    const readInOneWay = span !== undefined && span[2] === keysIn(value);
    if (span && !readInOneWay && span[1] - span[0] > mostRewritten) throw ambiguous();
    if (!readInOneWay || span[1] - span[0] < leastPiece) {
      text += JSON.stringify(value);
    } else {
      const [start, end] = places.get(key)!;
      pieces.push(Buffer.from(text), source.bytes.subarray(start, end));
      text = "";
    }
  }
  pieces.push(Buffer.from(`${text}}`));
  return pieces;
}

function ambiguous(): EngineError {
  return new EngineError({
    status: 400,
    code: "invalid_json",
    message: "The body gives a name twice in one object, or is not UTF-8, and is too large to be written anew.",
    hint: "Give each name once, in UTF-8.",
    retryable: false,
  });
}

/**
 * The same places in the bytes. ASCII has them where the text has them. Of other text each stretch is measured once, in order: a few
 * milliseconds for 32 MB, where writing it anew and encoding it takes ninety.
 */
function placesInBytes(
  { text, bytes }: SourceBody,
  members: ReadonlyMap<string, readonly [start: number, end: number, names: number]>,
): ReadonlyMap<string, readonly [start: number, end: number, ...rest: number[]]> {
  if (text.length === bytes.length) return members;
  const places = new Map<string, [number, number]>();
  let atText = 0;
  let atBytes = 0;
  const reach = (place: number): number => {
    atBytes += Buffer.byteLength(text.slice(atText, place));
    atText = place;
    return atBytes;
  };
  for (const [name, [start, end]] of members) places.set(name, [reach(start), reach(end)]);
  return places;
}

/** Names of members in a value, at any depth. */
function keysIn(value: unknown): number {
  if (typeof value !== "object" || value === null) return 0;
  let keys = 0;
  const open: object[] = [value];
  for (let at = open.pop(); at !== undefined; at = open.pop()) {
    const inside: unknown[] = Array.isArray(at) ? at : Object.values(at);
    if (!Array.isArray(at)) keys += inside.length;
    for (const one of inside) if (typeof one === "object" && one !== null) open.push(one);
  }
  return keys;
}

const quote = 0x22;
const colon = 0x3a;
const comma = 0x2c;
const backslash = 0x5c;

/**
 * Where the values of the outermost object's members lie, [start, end), and how many names of members are in them; undefined when a
 * name of the outermost object occurs twice.
 */
export function membersOf(text: string): Map<string, [start: number, end: number, names: number]> | undefined {
  const members = new Map<string, [number, number, number]>();
  let at = text.indexOf("{") + 1;
  for (;;) {
    const nameStart = text.indexOf('"', at);
    if (nameStart < 0) return members;
    const nameEnd = endOfString(text, nameStart);
    const name = JSON.parse(text.slice(nameStart, nameEnd)) as string;
    const start = text.indexOf(":", nameEnd) + 1;
    const [end, names] = endOfValue(text, start);
    if (members.has(name)) return undefined;
    members.set(name, [start, end, names]);
    if (text.charCodeAt(end) !== comma) return members;
    at = end + 1;
  }
}

/** One past the closing quote of the string that begins at `start`. */
function endOfString(text: string, start: number): number {
  for (let at = start + 1; ;) {
    const end = text.indexOf('"', at);
    if (end < 0) return text.length;
    let before = end - 1;
    while (text.charCodeAt(before) === backslash) before--;
    // An even number of backslashes escape each other, an odd number the quote as well.
    if ((end - 1 - before) % 2 === 0) return end + 1;
    at = end + 1;
  }
}

/** Place of the comma or brace that follows the value that begins at `start`, and the names of members in it. */
function endOfValue(text: string, start: number): [end: number, names: number] {
  let depth = 0;
  let names = 0;
  for (let at = start; at < text.length;) {
    const code = text.charCodeAt(at);
    if (code === quote) {
      at = endOfString(text, at);
      continue;
    }
    if (code === 0x7b || code === 0x5b) depth++;
    else if (code === 0x7d || code === 0x5d) {
      if (depth === 0) return [at, names];
      depth--;
    } else if (code === colon) names++;
    else if (code === comma && depth === 0) return [at, names];
    at++;
  }
  return [text.length, names];
}
