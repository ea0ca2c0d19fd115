// Bounds within which a conversation is judged by hand, by its outline where it has one. The schemas and values.ts take many times as long;
// they judge what exceeds these bounds, which are well within theirs.

/** Values of all of it together. */
const mostValues = 20_000;
/** Lists and objects inside each other. */
const mostDepth = 32;

/** Whether a list stays within the bounds of depth and number, and every number in it is finite. */
export function isWithinUsual(list: readonly unknown[]): boolean {
  let values = 0;
  const open: [value: object, depth: number][] = [[list, 0]];
  for (let at = open.pop(); at !== undefined; at = open.pop()) {
    const [value, depth] = at;
    if (depth > mostDepth) return false;
    for (const one of Array.isArray(value) ? (value as unknown[]) : Object.values(value)) {
      if (++values > mostValues) return false;
      if (typeof one === "object" && one !== null) open.push([one, depth + 1]);
      else if (typeof one === "number" && !Number.isFinite(one)) return false;
    }
  }
  return true;
}
