// What a JSON schema costs, counted before anything is compiled: its size, its nesting, its alternatives, and what it comes to once
// every reference is followed. Pure, and linear in the schema: it stops at the first bound that is passed.
import { LineshaftError } from "../errors/index.ts";
import { memberOf } from "./dialect.ts";
import { limits } from "./limits.ts";

/** A bound that a schema passes, in words that follow "The schema …". */
export class SchemaBoundError extends LineshaftError {
  /** Name of the bound in limits.ts. */
  readonly bound: keyof typeof limits;

  constructor(bound: keyof typeof limits, message: string) {
    super({ code: "schema_bound", message });
    this.bound = bound;
  }
}

/** What a schema holds. */
interface SchemaCost {
  /** JSON values. */
  nodes: number;
  /** At least the characters of its JSON text that are keys and strings. */
  characters: number;
  enumValues: number;
}

type Json = Record<string, unknown>;

/** Keywords whose schemas judge the same value as the schema that holds them: their costs multiply through references. */
const inPlaceLists = ["allOf", "anyOf", "oneOf"] as const;
const inPlace = ["not", "if", "then", "else"] as const;

/** Counts a schema. Throws SchemaBoundError at the first bound that it passes. */
export function schemaCost(schema: unknown): SchemaCost {
  const cost: SchemaCost = { nodes: 0, characters: 0, enumValues: 0 };
  count(schema, cost, 0);
  new Expansion(schema).check();
  return cost;
}

function count(value: unknown, cost: SchemaCost, depth: number): void {
  if (++cost.nodes > limits.schemaNodes)
    throw new SchemaBoundError("schemaNodes", `has more than ${limits.schemaNodes} values`);
  if (depth > limits.schemaDepth)
    throw new SchemaBoundError("schemaDepth", `is nested more than ${limits.schemaDepth} levels deep`);
  if (typeof value === "string") cost.characters += value.length;
  else if (Array.isArray(value)) for (const item of value) count(item, cost, depth + 1);
  else if (value !== null && typeof value === "object")
    for (const [name, member] of Object.entries(value)) {
      cost.characters += name.length;
      countKeyword(name, member, cost);
      count(member, cost, depth + 1);
    }
  if (cost.characters > limits.schemaBytes)
    throw new SchemaBoundError("schemaBytes", `is longer than ${limits.schemaBytes} bytes`);
}

function countKeyword(name: string, value: unknown, cost: SchemaCost): void {
  if (!Array.isArray(value)) return;
  if ((name === "anyOf" || name === "oneOf" || name === "allOf") && value.length > limits.schemaBranches)
    throw new SchemaBoundError(
      "schemaBranches",
      `has ${value.length} alternatives in one ${name}, more than ${limits.schemaBranches}`,
    );
  if (name === "enum" && (cost.enumValues += value.length) > limits.schemaEnumValues)
    throw new SchemaBoundError("schemaEnumValues", `has more than ${limits.schemaEnumValues} values in enum`);
}

/** How many schemas judge one place of a value, references followed: 25 definitions that each name the next twice are 33 million. */
class Expansion {
  readonly #root: unknown;
  readonly #known = new Map<object, number>();
  readonly #open = new Set<object>();

  constructor(root: unknown) {
    this.#root = root;
  }

  check(): void {
    this.#everywhere(this.#root);
  }

  #everywhere(value: unknown): void {
    if (value === null || typeof value !== "object") return;
    if (!Array.isArray(value)) this.#of(value as Json);
    for (const member of Array.isArray(value) ? value : Object.values(value)) this.#everywhere(member);
  }

  #of(schema: unknown): number {
    if (schema === null || typeof schema !== "object" || Array.isArray(schema)) return 1;
    const known = this.#known.get(schema);
    if (known !== undefined) return known;
    if (this.#open.has(schema) || this.#open.size > limits.schemaExpansion)
      throw new SchemaBoundError("schemaExpansion", "refers to itself without anything in between");
    this.#open.add(schema);
    let sum = 1;
    const add = (part: unknown) => {
      sum += this.#of(part);
      if (sum > limits.schemaExpansion)
        throw new SchemaBoundError(
          "schemaExpansion",
          `multiplies to more than ${limits.schemaExpansion} schemas for one value once its references are followed`,
        );
    };
    const { $ref } = schema as Json;
    if (typeof $ref === "string") add(this.#target($ref));
    for (const name of inPlaceLists) {
      const list = (schema as Json)[name];
      if (Array.isArray(list)) list.forEach(add);
    }
    for (const name of inPlace) if (Object.hasOwn(schema, name)) add((schema as Json)[name]);
    for (const name of ["dependentSchemas", "dependencies"]) {
      const dependent = (schema as Json)[name];
      if (dependent !== null && typeof dependent === "object") Object.values(dependent).forEach(add);
    }
    this.#open.delete(schema);
    this.#known.set(schema, sum);
    return sum;
  }

  /** What a pointer into this schema leads to; undefined for all other references, which the compiler refuses. */
  #target(reference: string): unknown {
    if (!reference.startsWith("#")) return undefined;
    let target: unknown = this.#root;
    for (const step of reference.slice(1).split("/").slice(1)) {
      target = memberOf(target, step);
    }
    return target;
  }
}
