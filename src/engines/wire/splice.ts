// A request on its way through: what of its body need not change leaves as the very bytes that it came as. Numbers that a reader of JSON would
// write otherwise (1.0, integers beyond 2^53), white space and the order of names stay as the client wrote them. Of a large body nothing
// is copied either: writing 400 KB of JSON anew costs more CPU than all else about the call together (900 us; every further copy of it 350 us).
//
// The bytes are known to be valid JSON (they were parsed), and where the members of the outermost object lie is noted while they are read
// (bounded/json.ts).
//
// What leaves must be what was checked and priced. JSON may give a name twice, and readers differ in which one they take; so bytes
// are passed on only where they can be read in one way: a value whose text has as many members as the parsed value has keys, in
// bytes that are UTF-8. Another reader may make something else of other bytes.
import {
  isSameMember,
  isUtf8,
  JsonMeter,
  outlineOf,
  Pieces,
  slicesOf,
  type Bytes,
  type JsonMembers,
} from "../../bounded/index.ts";
import type { Received } from "../asked.ts";
import { EngineError } from "../types.ts";

/** A body as it came: its bytes, and the object that was parsed from it. */
export type SourceBody = Pick<Received, "bytes" | "object" | "members">;

type Json = Record<string, unknown>;
/** What is written anew as text, and what is taken from the source. */
type Piece = string | Uint8Array;

/** Pieces of more bytes than this together are not copied into one. */
const mostCopied = 16 * 1024;
/** Writing more than this anew would hold the event loop for too long: about 3 ms for a million bytes. */
const mostRewritten = 8 * 1024 * 1024;
/** Names that are written in JSON as they are. */
const plain = /^\w+$/;
const unbounded = { depth: Infinity, values: Infinity, numbers: Infinity };

/**
 * JSON of `body`: taken from the source wherever a member is still the same value. What is short is one text or one buffer; a long one is
 * pieces to be sent one after the other. It is written anew without a source, and where the source could be read in two ways (bytes that
 * are not UTF-8, a member given twice at any depth). Throws EngineError 400 where that is too large to be written anew.
 */
export function encodeBody(body: Json, source: SourceBody | undefined): string | Uint8Array | Uint8Array[] {
  const members = source && isUtf8(source.bytes) ? (source.members ?? membersOf(source.bytes)) : undefined;
  if (!source || !members) {
    if (source && source.bytes.length > mostRewritten) throw ambiguous();
    return JSON.stringify(body);
  }
  const pieces: Piece[] = [];
  splice(body, { ...source, members }, pieces);
  return joined(pieces);
}

/** Adds the pieces of an object. */
function splice(body: Json, { bytes, object, members }: SourceBody & { members: JsonMembers }, pieces: Piece[]): void {
  let text = "{";
  let isFirst = true;
  for (const key in body) {
    // Of a list that is not parsed yet the outline has as many names.
    const value = outlineOf(body, key);
    if (value === undefined) continue;
    text += `${isFirst ? "" : ","}${plain.test(key) ? `"${key}"` : JSON.stringify(key)}:`;
    isFirst = false;
    const place = Object.hasOwn(object, key) ? members.get(key) : undefined;
    const isOneWay = place !== undefined && place.names === keysIn(outlineOf(object, key));
    const isSame = place !== undefined && isSameMember(body, object, key);
    if (isOneWay && isSame) {
      pieces.push(text, ...slicesOf(bytes, place.start, place.end));
      text = "";
      continue;
    }
    if (isSame && !isOneWay && place.end - place.start > mostRewritten) throw ambiguous();
    const inside = isOneWay && isObject(value) && isObject(object[key]) ? object[key] : undefined;
    const within = inside && new Pieces(slicesOf(bytes, place!.start, place!.end));
    const found = within && membersOf(within);
    if (!found) {
      text += JSON.stringify(body[key]);
      continue;
    }
    // An object of which a member was changed or added, such as the limit of output among Google's options.
    pieces.push(text);
    splice(value as Json, { bytes: within, object: inside, members: found }, pieces);
    text = "";
  }
  pieces.push(`${text}}`);
}

const isObject = (value: unknown): value is Json =>
  typeof value === "object" && value !== null && !Array.isArray(value);

/** The pieces as they are sent. */
function joined(pieces: readonly Piece[]): Uint8Array | Uint8Array[] {
  const written: Uint8Array[] = [];
  /** Where what is copied into one buffer begins in `written`, and its bytes. */
  let first = 0;
  let bytes = 0;
  const close = () => {
    if (written.length - first > 1) written.splice(first, Infinity, Buffer.concat(written.slice(first)));
    bytes = 0;
  };
  for (const piece of pieces) {
    const one = typeof piece === "string" ? Buffer.from(piece) : piece;
    if (bytes + one.length > mostCopied) {
      close();
      first = written.length;
    }
    written.push(one);
    bytes += one.length;
  }
  close();
  return written.length === 1 ? written[0]! : written;
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

/** Where the members of the outermost object lie in bytes of JSON; undefined when a name of that object occurs twice. */
export function membersOf(bytes: Bytes): JsonMembers | undefined {
  const meter = new JsonMeter(unbounded, true);
  for (const piece of slicesOf(bytes, 0, bytes.length)) meter.push(piece);
  return meter.members;
}
