// Whether schemas allow a value that is known beforehand: members of `enum`, `const` and names of properties. Grammars list such values, so
// each must be checked against all other keywords.
import { accepts } from "./automaton.ts";
import { elementNodes, kindOf, propertyNodes, type Flat, type Node } from "./flat.ts";
import { flatten } from "./flatten.ts";
import { stringAutomaton } from "./strings.ts";

export function admits(nodes: readonly Node[], value: unknown): boolean {
  return (
    nodes.length === 0 ||
    flatten(nodes).some(
      (flat) => (flat.values ? flat.values.some((own) => same(own, value)) : true) && fits(flat, value),
    )
  );
}

const same = (a: unknown, b: unknown): boolean => JSON.stringify(a) === JSON.stringify(b);

/** Whether everything but `enum` allows the value. */
export function fits(flat: Flat, value: unknown): boolean {
  const kind = kindOf(value);
  if (flat.kinds && !flat.kinds.has(kind)) return false;
  switch (kind) {
    case "number": {
      const number = value as number;
      if (flat.integer && !Number.isInteger(number)) return false;
      if (number < (flat.min ?? -Infinity) || number > (flat.max ?? Infinity)) return false;
      return number > (flat.exclusiveMin ?? -Infinity) && number < (flat.exclusiveMax ?? Infinity);
    }
    case "string": {
      const text = value as string;
      const length = Array.from(text).length;
      if (length < flat.minLength || length > flat.maxLength) return false;
      const automaton = stringAutomaton({ ...flat, values: undefined, minLength: 0, maxLength: Infinity });
      return !automaton || accepts(automaton, text);
    }
    case "array": {
      const list = value as unknown[];
      if (list.length < flat.minItems || list.length > flat.maxItems) return false;
      return list.every((element, index) => admits(elementNodes(flat, index), element));
    }
    case "object": {
      const record = value as Record<string, unknown>;
      const keys = Object.keys(record);
      if (keys.length < flat.minProperties || keys.length > flat.maxProperties) return false;
      if (![...flat.required].every((key) => Object.hasOwn(record, key))) return false;
      return keys.every((key) => admits(propertyNodes(flat, key), record[key]) && admits(flat.keys, key));
    }
    default:
      return true;
  }
}
