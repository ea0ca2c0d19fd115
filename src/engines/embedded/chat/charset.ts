// Sets of Unicode code points as sorted, disjoint, inclusive ranges: the alphabet of automata (automaton.ts) and of
// regular expressions (regex.ts).

export type Charset = readonly (readonly [low: number, high: number])[];

export const lastCodePoint = 0x10ffff;
export const anyChar: Charset = [[0, lastCodePoint]];

/** Sorts and joins ranges. */
export function charset(ranges: Charset): Charset {
  const sorted = ranges.filter(([low, high]) => low <= high).toSorted((a, b) => a[0] - b[0]);
  const joined: [number, number][] = [];
  for (const [low, high] of sorted) {
    const last = joined.at(-1);
    if (last && low <= last[1] + 1) last[1] = Math.max(last[1], high);
    else joined.push([low, high]);
  }
  return joined;
}

export const charsOf = (text: string): Charset =>
  charset(Array.from(text, (char) => [char.codePointAt(0)!, char.codePointAt(0)!] as const));

export function complement(set: Charset): Charset {
  const result: [number, number][] = [];
  let next = 0;
  for (const [low, high] of set) {
    if (low > next) result.push([next, low - 1]);
    next = high + 1;
  }
  if (next <= lastCodePoint) result.push([next, lastCodePoint]);
  return result;
}

export function intersect(a: Charset, b: Charset): Charset {
  const result: [number, number][] = [];
  for (let i = 0, j = 0; i < a.length && j < b.length;) {
    const low = Math.max(a[i]![0], b[j]![0]);
    const high = Math.min(a[i]![1], b[j]![1]);
    if (low <= high) result.push([low, high]);
    if (a[i]![1] < b[j]![1]) i++;
    else j++;
  }
  return result;
}

export const subtract = (a: Charset, b: Charset): Charset => intersect(a, complement(b));

export const contains = (set: Charset, codePoint: number): boolean =>
  set.some(([low, high]) => low <= codePoint && codePoint <= high);
