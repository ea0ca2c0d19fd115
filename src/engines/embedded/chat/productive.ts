// Finds grammar rules that never end, because every alternative refers back to the rule. With such a rule a model would generate without
// end. Only recursive schemas can produce them; flatten.ts finds most in the schema, this file finds the rest in the grammar.

/** Alternatives of rows; a row holds its mandatory parts: names of rules, or groups of alternatives. */
type Rows = (string | Rows)[][];

const token = /"(?:[^"\\]|\\.)*"|\[(?:[^\]\\]|\\.)*\]|\{(\d+)[^}]*\}|[a-zA-Z][a-zA-Z0-9-]*|[()|?*+]/g;

/** The name of a rule without an end, or undefined when all have one. */
export function endlessRule(bodies: ReadonlyMap<string, string>): string | undefined {
  // Rules mostly refer to later ones (or, when recursive, to any): from the last to the first few rounds are enough.
  const rules = [...bodies].map(([name, body]) => ({ name, rows: rowsOf(body) })).toReversed();
  const ending = new Set<string>();
  const ends = (rows: Rows): boolean =>
    rows.some((row) => row.every((part) => (typeof part === "string" ? ending.has(part) : ends(part))));
  for (let before = -1; before < ending.size;) {
    before = ending.size;
    for (const { name, rows } of rules) if (!ending.has(name) && ends(rows)) ending.add(name);
  }
  return rules.find(({ name }) => !ending.has(name))?.name;
}

function rowsOf(body: string): Rows {
  const stack: Rows[] = [[[]]];
  for (const [text, count] of body.matchAll(token)) {
    const rows = stack.at(-1)!;
    const row = rows.at(-1)!;
    if (text === "(") stack.push([[]]);
    else if (text === "|") rows.push([]);
    else if (text === ")") {
      stack.pop();
      stack.at(-1)!.at(-1)!.push(rows);
    } else if (text === "?" || text === "*" || (count !== undefined && Number(count) === 0)) row.pop();
    else if (text === "+" || count !== undefined) continue;
    // Parts that always end are kept in the row only so that a following `?` removes the right part.
    else row.push(/^["[]/.test(text) ? [[]] : text);
  }
  return stack[0]!;
}
