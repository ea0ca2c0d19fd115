// The known name that a mistyped one was most likely meant to be.

/** The nearest of `known` by edits (insert, delete, replace, ignoring case), when it is near enough to be meant. */
export function nearest(name: string, known: readonly string[]): string | undefined {
  const wanted = name.toLowerCase().slice(0, 100);
  let best: string | undefined;
  let bestDistance = Infinity;
  for (const candidate of known) {
    const text = candidate.toLowerCase();
    // A part of a longer name counts as near: "smollm2" for "smollm2-135m-instruct".
    const part = wanted.length >= 3 && (text.includes(wanted) || wanted.includes(text));
    const distance = part ? Math.min(2, editDistance(wanted, text)) : editDistance(wanted, text);
    if (distance < bestDistance) [best, bestDistance] = [candidate, distance];
  }
  return bestDistance <= Math.max(2, Math.floor(wanted.length / 3)) ? best : undefined;
}

function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, place) => place);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++)
      next[j] = Math.min(row[j]! + 1, next[j - 1]! + 1, row[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1));
    row = next;
  }
  return row[b.length]!;
}
