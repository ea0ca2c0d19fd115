// Bytes in the pieces that they came in. Putting 400 KB together is a copy into memory that is new to the process, which costs as much as
// sending them; so long bodies stay in pieces, and what reads them takes ranges of them.
import { isUtf8 as isUtf8Piece } from "node:buffer";

/** Bytes in one piece or in several. */
export type Bytes = Uint8Array | Pieces;

/** Bytes that lie one after the other in several pieces; `length` counts them all. The pieces are kept, not copied, and are not to be changed. */
export class Pieces {
  readonly pieces: readonly Uint8Array[];
  readonly length: number;

  constructor(pieces: readonly Uint8Array[]) {
    this.pieces = pieces;
    this.length = pieces.reduce((sum, piece) => sum + piece.length, 0);
  }
}

/** The bytes at [from, to), in pieces that share their memory. */
export function slicesOf(bytes: Bytes, from: number, to: number): Uint8Array[] {
  if (from >= to) return [];
  if (!(bytes instanceof Pieces)) return [bytes.subarray(from, to)];
  const slices: Uint8Array[] = [];
  let start = 0;
  for (const piece of bytes.pieces) {
    const end = start + piece.length;
    if (start >= to) break;
    if (end > Math.max(from, start))
      slices.push(piece.subarray(Math.max(0, from - start), Math.min(piece.length, to - start)));
    start = end;
  }
  return slices;
}

/** UTF-8 at [from, to) as text. */
export function textOf(bytes: Bytes, from = 0, to: number = bytes.length): string {
  const slices = slicesOf(bytes, from, to);
  const whole = slices.length === 1 ? slices[0]! : Buffer.concat(slices);
  return Buffer.from(whole.buffer, whole.byteOffset, whole.byteLength).toString("utf8");
}

/** Whether all of it is UTF-8; a character may lie in two pieces. */
export function isUtf8(bytes: Bytes): boolean {
  if (!(bytes instanceof Pieces)) return isUtf8Piece(bytes);
  /** A character whose end is in the next piece. */
  let begun: Uint8Array = noBytes;
  for (const piece of bytes.pieces) {
    let from = 0;
    if (begun.length > 0) {
      from = Math.min(piece.length, lengthFrom(begun[0]!) - begun.length);
      begun = Buffer.concat([begun, piece.subarray(0, from)]);
      if (begun.length < lengthFrom(begun[0]!)) continue;
      if (!isUtf8Piece(begun)) return false;
    }
    const to = Math.max(from, piece.length - cutOff(piece));
    if (!isUtf8Piece(piece.subarray(from, to))) return false;
    begun = piece.subarray(to);
  }
  return begun.length === 0;
}

const noBytes = new Uint8Array(0);

/** Bytes of a character by its first one. */
const lengthFrom = (first: number): number => (first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : first >= 0xc0 ? 2 : 1);

/** How many bytes at the end begin a character that does not end there. */
function cutOff(piece: Uint8Array): number {
  for (let back = 1; back <= Math.min(3, piece.length); back++) {
    const byte = piece[piece.length - back]!;
    if (byte >= 0xc0) return lengthFrom(byte) > back ? back : 0;
    if (byte < 0x80) return 0;
  }
  return 0;
}
