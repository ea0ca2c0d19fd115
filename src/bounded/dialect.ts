// The one dialect of JSON Schema that Lineshaft reads: 2020-12, whatever `$schema` names. Schemas written for draft-07 (older generators,
// many MCP servers) are read too, because their differing forms are rewritten here or mean the same in 2020-12:
//
//   items as a list, additionalItems   become prefixItems and items (2020-12 core, 10.3.1), and references into them follow
//   definitions, dependencies          are still keywords of the compiler, with the meaning they had
//   keywords beside $ref               count, as in 2020-12; draft-07 ignores them, and no generator relies on that
//   $schema, $id                       are dropped: a schema is checked by this dialect, and its references stay inside it
//
// Refused by name, as no draft after 4 has them or both forms contradict each other: `exclusiveMinimum: true`, `id`, `items` as a list
// beside `prefixItems`, `nullable` without `type`. Patterns are never run (compile.ts), so `patternProperties` is dropped, and with it
// `additionalProperties` and `unevaluatedProperties`, which judge the properties that the patterns leave over.

type Json = Record<string, unknown>;

/** Keywords whose value is data, not a schema. */
const data = new Set(["const", "enum", "default", "examples", "required", "dependentRequired", "type"]);
/** Keywords whose value holds a schema per name. A name may look like a keyword. */
const maps = new Set(["properties", "$defs", "definitions", "dependentSchemas", "dependencies"]);

/** A copy of a schema in the one dialect. The given schema comes from JSON: it is a tree. */
export function inDialect(schema: unknown): unknown {
  return new Rewriting(schema).schema(schema);
}

class Rewriting {
  readonly #root: unknown;
  /** Some properties are evaluated by patterns, which are dropped, so no property is known to be unevaluated. */
  readonly #patterns: boolean;

  constructor(root: unknown) {
    this.#root = root;
    this.#patterns = holdsKey(root, "patternProperties");
  }

  schema(value: unknown): unknown {
    if (Array.isArray(value)) return value.map((item) => this.schema(item));
    if (!isObject(value)) return value;
    const tuple = hasTuple(value);
    const patterned = isObject(value["patternProperties"]);
    const members: [string, unknown][] = [];
    for (const [name, member] of Object.entries(value)) {
      if ((name === "$schema" || name === "$id") && typeof member === "string") continue;
      if (name === "patternProperties" || (name === "additionalProperties" && patterned)) continue;
      if (name === "unevaluatedProperties" && this.#patterns) continue;
      if (name === "additionalItems" && !tuple) continue;
      members.push([renamed(name, tuple), this.#member(name, member)]);
    }
    // Not by assignment: a keyword may be called `__proto__`.
    return Object.fromEntries(members);
  }

  #member(name: string, value: unknown): unknown {
    if (data.has(name)) return value;
    if (name === "$ref" && typeof value === "string") return this.#reference(value);
    if (maps.has(name) && isObject(value))
      return Object.fromEntries(Object.entries(value).map(([key, own]) => [key, this.schema(own)]));
    return this.schema(value);
  }

  /** A pointer that leads through a list of items leads to the place where its schemas are now. */
  #reference(reference: string): string {
    if (!reference.startsWith("#/")) return reference;
    let at: unknown = this.#root;
    const steps = reference.slice(2).split("/");
    return `#/${steps
      .map((step) => {
        const here = at;
        at = memberOf(here, step);
        return isObject(here) ? renamed(step, hasTuple(here)) : step;
      })
      .join("/")}`;
  }
}

/** `items` as a list, which 2020-12 calls `prefixItems`. Both together are left as they are, and the compiler refuses them. */
const hasTuple = (schema: Json): boolean => Array.isArray(schema["items"]) && !Object.hasOwn(schema, "prefixItems");

function renamed(keyword: string, tuple: boolean): string {
  if (!tuple) return keyword;
  return keyword === "items" ? "prefixItems" : keyword === "additionalItems" ? "items" : keyword;
}

/** The member that a step of a pointer in a URI fragment leads to; undefined if there is none. */
export function memberOf(holder: unknown, step: string): unknown {
  const name = pointerStep(step);
  if (holder === null || typeof holder !== "object" || !Object.hasOwn(holder, name)) return undefined;
  return (holder as Json)[name];
}

/** A step of a pointer in a URI fragment, decoded: percent-encoding first (RFC 3986), then the pointer's own (RFC 6901, section 6). */
function pointerStep(step: string): string {
  let text = step;
  try {
    text = decodeURIComponent(step);
  } catch {
    // A percent sign without two hex digits is taken literally.
  }
  return text.replaceAll("~1", "/").replaceAll("~0", "~");
}

const isObject = (value: unknown): value is Json =>
  value !== null && typeof value === "object" && !Array.isArray(value);

function holdsKey(value: unknown, key: string): boolean {
  if (value === null || typeof value !== "object") return false;
  return Object.hasOwn(value, key) || Object.values(value).some((member) => holdsKey(member, key));
}
