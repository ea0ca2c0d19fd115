// The bounds of every JSON body, beside its schema: depth, number of values, finite numbers, and text that can be stored. They are checked
// once, right after parsing and before any recursion over the body.
import { LineshaftError } from "../errors/index.ts";
import { isStorable, unstorable } from "../store/index.ts";

interface ValueBounds {
  /** Most levels of arrays and objects inside each other. */
  depth: number;
  /** Values in all, of every kind. */
  values: number;
  /** The field of the body whose lists of numbers are token ids, which come by the million and are counted where they are read. */
  tokensIn?: string;
  /** Whether all text must be storable. Prompts are not stored and may hold anything. */
  text: boolean;
}

/** An array or object that is still to be looked into, with the way to it. */
interface Open {
  value: object;
  depth: number;
  name: string | number | undefined;
  parent: Open | undefined;
}

/** Throws a 400 that names the first field at fault. */
export function checkValues(body: unknown, bounds: ValueBounds): void {
  const open: Open[] = [];
  let count = 0;
  const look = (parent: Open | undefined, name: string | number | undefined, value: unknown) => {
    if (++count > bounds.values) throw refusal(undefined, `holds more than ${bounds.values} values`);
    if (typeof value === "object" && value !== null) {
      const depth = (parent?.depth ?? 0) + 1;
      if (depth > bounds.depth) throw refusal(parent, `is nested deeper than ${bounds.depth} levels`);
      open.push({ value, depth, name, parent });
    } else if (typeof value === "string") {
      if (bounds.text && !isStorable(value)) throw refusal(parent, unstorable, name);
    } else if (typeof value === "number" && !Number.isFinite(value)) {
      throw refusal(parent, "is a number that is too large", name);
    }
  };
  look(undefined, undefined, body);
  for (let at = open.pop(); at !== undefined; at = open.pop()) {
    if (Array.isArray(at.value)) {
      const tokens = bounds.tokensIn !== undefined && isIn(at, bounds.tokensIn);
      for (let place = 0; place < at.value.length; place++) {
        const item: unknown = at.value[place];
        if (tokens && typeof item === "number" && Number.isFinite(item)) continue;
        look(at, place, item);
      }
      continue;
    }
    for (const [key, value] of Object.entries(at.value)) {
      if (bounds.text && !isStorable(key)) throw refusal(at, `has a field whose name ${unstorable}`);
      look(at, key, value);
    }
  }
}

/** Whether the list is the body's field itself, or a list in that field's list. */
function isIn({ depth, name, parent }: Open, field: string): boolean {
  if (depth === 2) return name === field;
  return depth === 3 && parent?.name === field && Array.isArray(parent.value);
}

const shownPath = 200;

function refusal(parent: Open | undefined, problem: string, name?: string | number): LineshaftError {
  const parts = name === undefined ? [] : [name];
  for (let at = parent; at?.name !== undefined; at = at.parent) parts.unshift(at.name);
  const param = parts
    .map((part, place) => (typeof part === "number" ? `[${part}]` : (place > 0 ? "." : "") + part))
    .join("")
    .slice(0, shownPath);
  return new LineshaftError({
    code: "invalid_value",
    message: `${param || "The body"} ${problem}.`,
    param: param || undefined,
    hint: "Send less at once, in the shape that /api/docs describes.",
  });
}
