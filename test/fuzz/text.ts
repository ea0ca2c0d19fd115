// Any text, for properties. fast-check's own unit "binary" has the same characters, and takes a second of CPU time in each process to make
// its table of them.
import fc from "fast-check";

const between = (first: number, last: number) =>
  fc.integer({ min: first, max: last }).map((point) => String.fromCodePoint(point));

/** Any character but a half of a surrogate pair. Those of one, two, three and four bytes in UTF-8 are all frequent. */
const character = fc.oneof(
  between(0, 0x7f),
  between(0x80, 0x7ff),
  between(0x800, 0xd7ff),
  between(0xe000, 0xffff),
  between(0x1_0000, 0x10_ffff),
);

/** Text of any characters, well formed. */
export const anyText = (constraints: fc.StringConstraints = {}): fc.Arbitrary<string> =>
  fc.string({ ...constraints, unit: character });
