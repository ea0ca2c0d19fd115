// The data between a schema and its grammar: a Flat holds all constraints of a schema on a value, with $ref and combinators resolved.
// flatten.ts makes Flats, keywords.ts adds each keyword's constraint, writer.ts writes Flats as grammar.
import { schemaRefused } from "./errors.ts";
import { canonicalJson } from "./json.ts";

/** A subschema and where it stands: `path` is a JSON pointer into its document, unique over all documents of a grammar. */
export interface Node {
  schema: unknown;
  path: string;
  document: SchemaDocument;
}

interface SchemaDocument {
  root: unknown;
  /** Leads every path of this document: `#`, or `#tool-name` where several schemas share a grammar. */
  name: string;
  /** `refuse`: what cannot be enforced is an error. `validate`: it is left to validation of the result. */
  unenforceable: "refuse" | "validate";
  /** Visits of schemas so far, which nested combinators repeat. Bounded, so that no schema takes unbounded time. */
  work: number;
  /** Conjunctions known to have a value (flatten.ts). */
  inhabited: Set<string>;
}

export type Kind = "null" | "boolean" | "number" | "string" | "array" | "object";
export const allKinds: readonly Kind[] = ["null", "boolean", "number", "string", "array", "object"];

/** All constraints on a value, in conjunction. Lists hold one entry per schema with the constraint. */
export interface Flat {
  /** Undefined: no `type` was given. */
  kinds: ReadonlySet<Kind> | undefined;
  /** Types that the other keywords apply to; they replace a missing `type`. */
  implied: ReadonlySet<Kind>;
  integer: boolean;
  values: readonly unknown[] | undefined;
  min: number | undefined;
  max: number | undefined;
  exclusiveMin: number | undefined;
  exclusiveMax: number | undefined;
  minLength: number;
  maxLength: number;
  patterns: readonly { source: string; path: string }[];
  formats: readonly { name: string; path: string }[];
  minItems: number;
  maxItems: number;
  arrays: readonly { prefix: readonly Node[]; items: Node | undefined }[];
  objects: readonly { properties: ReadonlyMap<string, Node>; additional: Node | undefined }[];
  required: ReadonlySet<string>;
  keys: readonly Node[];
  minProperties: number;
  maxProperties: number;
  /** Where it came from, for errors. */
  path: string;
  document: SchemaDocument;
}

/** No constraint. */
export const anything = (node: Node): Flat => ({
  kinds: undefined,
  implied: new Set(),
  integer: false,
  values: undefined,
  min: undefined,
  max: undefined,
  exclusiveMin: undefined,
  exclusiveMax: undefined,
  minLength: 0,
  maxLength: Infinity,
  patterns: [],
  formats: [],
  minItems: 0,
  maxItems: Infinity,
  arrays: [],
  objects: [],
  required: new Set(),
  keys: [],
  minProperties: 0,
  maxProperties: Infinity,
  path: node.path,
  document: node.document,
});

export const child = (node: Node, schema: unknown, ...steps: (string | number)[]): Node => ({
  schema,
  document: node.document,
  path: node.path + steps.map((step) => `/${String(step).replaceAll("~", "~0").replaceAll("/", "~1")}`).join(""),
});

/** Refuses a keyword, or leaves it to validation if the document allows that. */
export function refuse(node: { path: string; document: SchemaDocument }, keyword: string, sentence: string): void {
  if (node.document.unenforceable === "refuse") throw schemaRefused(keyword, node.path, sentence);
}

/** The schemas of the member `key`, in conjunction; empty: no constraint. */
export function propertyNodes(flat: Flat, key: string): Node[] {
  return flat.objects.flatMap(({ properties, additional }) => properties.get(key) ?? additional ?? []);
}

/** The schemas of the element at `index`. */
export function elementNodes(flat: Flat, index: number): Node[] {
  return flat.arrays.flatMap(({ prefix, items }) => prefix[index] ?? items ?? []);
}

/** Values that both lists hold. */
export function commonValues(a: readonly unknown[] | undefined, b: readonly unknown[]): readonly unknown[] {
  if (!a) return b;
  const known = new Set(b.map(canonicalJson));
  return a.filter((value) => known.has(canonicalJson(value)));
}

export function kindOf(value: unknown): Kind {
  if (value === null) return "null";
  if (Array.isArray(value)) return "array";
  return typeof value as Kind;
}
