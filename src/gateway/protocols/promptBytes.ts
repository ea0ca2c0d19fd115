// The prompt of a call in the bytes of its body, for the prefix index of engines that do not tokenise: what must tell one prompt's beginning from
// another's need not be decoded for it. The members come in the order in which engines render them, tools first, wherever they stand in
// the body. Conversations are the last member; its closing bracket is left out, so that a conversation that grows begins with the same bytes.
//
// The same conversation in other white space, in other escapes or over another API has other bytes, and is another prompt to the index.
import { slicesOf, type Bytes } from "../../bounded/index.ts";
import type { Received } from "../../engines/index.ts";

const noBytes = new Uint8Array(0);

/**
 * Bytes of these members of the body, one after the other, in pieces that share the body's memory. Undefined where the body did not come as
 * bytes, or gives a name twice.
 */
export function bytesOfMembers(received: Received | undefined, names: readonly string[]): Uint8Array[] | undefined {
  if (!received?.members) return undefined;
  const { bytes, members } = received;
  const slices: Uint8Array[] = [];
  for (const [place, name] of names.entries()) {
    const member = members.get(name);
    if (!member) continue;
    const isLast = place === names.length - 1;
    slices.push(...slicesOf(bytes, member.start, isLast ? openEnd(bytes, member.start, member.end) : member.end));
  }
  return slices;
}

/** Where a list at [start, end) ends without its closing bracket and the white space around that; `end` itself where it is no list. */
function openEnd(bytes: Bytes, start: number, end: number): number {
  const bracket = beforeSpace(bytes, start, end);
  return byteBefore(bytes, bracket) === 0x5d ? beforeSpace(bytes, start, bracket - 1) : end;
}

/** The end without the white space before it. */
function beforeSpace(bytes: Bytes, start: number, end: number): number {
  let at = end;
  while (at > start && byteBefore(bytes, at) <= 0x20) at--;
  return at;
}

const byteBefore = (bytes: Bytes, end: number): number => (slicesOf(bytes, end - 1, end)[0] ?? noBytes)[0] ?? 0;
