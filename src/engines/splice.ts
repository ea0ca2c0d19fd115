// A large request on its way through: its messages leave as the very bytes that they came as. Writing 400 KB of JSON anew
// costs more CPU than all else about the call together, and all that changes is a field or two at the top.
//
// The bytes are known to be valid JSON (they were parsed); here only the members of the outermost object are found. Strings are
// skipped by the native indexOf, so it is fast where texts are long, which is where it is used.

/** A body as it came: its JSON text, and the object that was parsed from it. */
export interface SourceBody {
  bytes: Uint8Array;
  object: Record<string, unknown>;
}

/** Below this many bytes writing anew is as cheap. */
const leastBytes = 16 * 1024;

/**
 * JSON of `body`, taken from the source's bytes wherever a member is still the same value. Without a source, or where its text
 * could be read in two ways (a member given twice), it is written anew.
 */
export function encodeBody(body: Record<string, unknown>, source: SourceBody | undefined): string | Uint8Array {
  if (!source || source.bytes.length < leastBytes) return JSON.stringify(body);
  const bytes = Buffer.from(source.bytes.buffer, source.bytes.byteOffset, source.bytes.byteLength);
  const members = membersOf(bytes);
  if (!members) return JSON.stringify(body);
  const pieces: Uint8Array[] = [];
  let separator = "{";
  for (const key in body) {
    const value = body[key];
    if (value === undefined) continue;
    const span = value === source.object[key] ? members.get(key) : undefined;
    pieces.push(Buffer.from(`${separator}${JSON.stringify(key)}:${span ? "" : JSON.stringify(value)}`));
    if (span) pieces.push(bytes.subarray(span[0], span[1]));
    separator = ",";
  }
  pieces.push(Buffer.from(separator === "{" ? "{}" : "}"));
  return Buffer.concat(pieces);
}

const quote = 0x22;
const backslash = 0x5c;

/** Where the values of the outermost object's members lie, [start, end); undefined when a name occurs twice. */
export function membersOf(bytes: Buffer): Map<string, [start: number, end: number]> | undefined {
  const members = new Map<string, [number, number]>();
  let at = bytes.indexOf(0x7b) + 1;
  for (;;) {
    const nameStart = bytes.indexOf(quote, at);
    if (nameStart < 0) return members;
    const nameEnd = endOfString(bytes, nameStart);
    const name = JSON.parse(bytes.toString("utf8", nameStart, nameEnd)) as string;
    const start = bytes.indexOf(0x3a, nameEnd) + 1;
    const end = endOfValue(bytes, start);
    if (members.has(name)) return undefined;
    members.set(name, [start, end]);
    at = end + 1;
    if (bytes[end] !== 0x2c) return members;
  }
}

/** One past the closing quote of the string that begins at `start`. */
function endOfString(bytes: Buffer, start: number): number {
  for (let at = start + 1; ;) {
    const end = bytes.indexOf(quote, at);
    if (end < 0) return bytes.length;
    let before = end - 1;
    while (bytes[before] === backslash) before--;
    // An even number of backslashes escape each other, an odd number the quote as well.
    if ((end - 1 - before) % 2 === 0) return end + 1;
    at = end + 1;
  }
}

/** Place of the comma or brace that follows the value that begins at `start`. */
function endOfValue(bytes: Buffer, start: number): number {
  let depth = 0;
  for (let at = start; at < bytes.length;) {
    const byte = bytes[at]!;
    if (byte === quote) {
      at = endOfString(bytes, at);
      continue;
    }
    if (byte === 0x7b || byte === 0x5b) depth++;
    else if (byte === 0x7d || byte === 0x5d) {
      if (depth === 0) return at;
      depth--;
    } else if (byte === 0x2c && depth === 0) return at;
    at++;
  }
  return bytes.length;
}
