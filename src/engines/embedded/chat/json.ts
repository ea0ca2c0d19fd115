// The one JSON form that grammars hold the model to and that tool definitions are written in: one line, one space after every `:` and `,`,
// none elsewhere. Python's json.dumps writes this form, so models saw it most in training. With exactly one form, a small model cannot go
// on generating whitespace.

/** Text of a JSON value in the spaced form. Keys keep their order; undefined members are left out. */
export function spacedJson(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(spacedJson).join(", ")}]`;
  if (typeof value === "object" && value !== null) {
    const members = Object.entries(value).filter(([, member]) => member !== undefined);
    return `{${members.map(([key, member]) => `${JSON.stringify(key)}: ${spacedJson(member)}`).join(", ")}}`;
  }
  return JSON.stringify(value) ?? "null";
}

/** The same value whatever the order of its keys: for comparing enum members. */
export function canonicalJson(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonicalJson).join(",")}]`;
  if (typeof value === "object" && value !== null) {
    const members = Object.entries(value).toSorted(([a], [b]) => (a < b ? -1 : 1));
    return `{${members.map(([key, member]) => `${JSON.stringify(key)}:${canonicalJson(member)}`).join(",")}}`;
  }
  return JSON.stringify(value) ?? "null";
}
