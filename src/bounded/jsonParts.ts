// Parses a large JSON text out of its bytes, part by part. A text of 400 KB would be one large string in memory of its own, whose pages cost
// more CPU than the parsing does, and the whole of it would be parsed in one turn of the event loop. The long lists of the outermost object
// are therefore parsed some elements at a time, and everything else as an object in which these lists are empty.
//
// The result is that of JSON.parse: lists are cut only at commas between their elements (json.ts), and every byte is in one part.
import type { JsonMember, JsonMembers } from "./json.ts";
import { nextTurn } from "./json.ts";
import { slicesOf, textOf, type Bytes } from "./pieces.ts";

/** Bytes after which other calls get a turn. */
const turnBytes = 512 * 1024;

/** A value from the bytes of its JSON. `members`: as they were noted in these bytes. Throws SyntaxError. */
export function parseParts(bytes: Bytes, members: JsonMembers | undefined): unknown {
  const parts = parsing(bytes, members);
  for (;;) {
    const { done, value } = parts.next();
    if (done) return value;
  }
}

/** The value of one member. Throws SyntaxError. */
export function parseMember(bytes: Bytes, member: JsonMember): unknown {
  if (member.cuts.length === 0) return JSON.parse(textOf(bytes, member.start, member.end));
  const items: unknown[] = [];
  const parts = list(items, bytes, member);
  while (parts.next().done !== true);
  return items;
}

/** As `parseParts`, with turns of the event loop between the parts. */
export async function parsePartsInTurns(bytes: Bytes, members: JsonMembers | undefined): Promise<unknown> {
  await nextTurn();
  const parts = parsing(bytes, members);
  let passed = 0;
  for (;;) {
    const { done, value } = parts.next();
    if (done) {
      await nextTurn();
      return value;
    }
    passed += value as number;
    if (passed < turnBytes) continue;
    passed = 0;
    await nextTurn();
  }
}

/** Yields the bytes of each part that was parsed. */
function* parsing(bytes: Bytes, members: JsonMembers | undefined): Generator<number, unknown, void> {
  const lists = [...(members ?? [])].filter(([, { cuts }]) => cuts.length > 0);
  if (lists.length === 0) return JSON.parse(textOf(bytes));
  let around = "";
  let at = 0;
  for (const [, { start, end }] of lists) {
    around += `${textOf(bytes, at, start)}[]`;
    at = end;
  }
  const object = JSON.parse(around + textOf(bytes, at)) as Record<string, unknown>;
  for (const [name, member] of lists) yield* list(object[name] as unknown[], bytes, member);
  return object;
}

/** Puts the elements of a list into `items`. */
function* list(items: unknown[], bytes: Bytes, { start, end, cuts }: JsonMember): Generator<number, void, void> {
  let from = start;
  for (let place = 0; place <= cuts.length; place++) {
    const to = cuts[place] ?? end;
    // The opening bracket stands in the first part, and the closing one in the last.
    const part = JSON.parse(bracketed(bytes, from, to, place > 0, place < cuts.length)) as unknown[];
    // A part without elements has come from a comma too many.
    if (part.length === 0) throw new SyntaxError("An element is missing.");
    for (const item of part) items.push(item);
    yield to - from;
    from = to + 1;
  }
}

/** The text of a part, in brackets where it has none. Two texts put together would be copied once more to be read. */
function bracketed(bytes: Bytes, from: number, to: number, opens: boolean, closes: boolean): string {
  if (to - from + 2 > scratch.length) return `${opens ? "[" : ""}${textOf(bytes, from, to)}${closes ? "]" : ""}`;
  let length = 0;
  if (opens) scratch[length++] = 0x5b;
  for (const slice of slicesOf(bytes, from, to)) {
    scratch.set(slice, length);
    length += slice.length;
  }
  if (closes) scratch[length++] = 0x5d;
  return scratch.toString("utf8", 0, length);
}

/** Where a part of the usual length is put between brackets. Nothing of it is kept between two parts. */
const scratch = Buffer.allocUnsafe(64 * 1024);
