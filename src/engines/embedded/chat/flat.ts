// The data between a schema and its grammar: a Flat is everything that a schema, freed of $ref and combinators, says about
// a value. flatten.ts makes them, keywords.ts says what each keyword adds, writer.ts writes them as grammar.
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
  /** Schemas looked at so far, over and over where combinators nest; bounded, so that no schema can keep us busy. */
  work: number;
  /** Conjunctions known to have a value (flatten.ts). */
  inhabited: Set<string>;
}

export type Kind = "null" | "boolean" | "number" | "string" | "array" | "object";
export const allKinds: readonly Kind[] = ["null", "boolean", "number", "string", "array", "object"];

/** Everything said about a value, in conjunction. Lists hold one entry per schema that said it. */
export interface Flat {
  /** Undefined: no `type` was given. */
  kinds: ReadonlySet<Kind> | undefined;
  /** Kinds that the other keywords are about; they stand in where no `type` was given. */
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

/** Nothing said yet. */
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

/** Refuses a keyword, or leaves it to validation where the document says so. */
export function refuse(node: { path: string; document: SchemaDocument }, keyword: string, sentence: string): void {
  if (node.document.unenforceable === "refuse") throw schemaRefused(keyword, node.path, sentence);
}

/** What the schemas say of the member `key`, in conjunction; empty: nothing. */
export function propertyNodes(flat: Flat, key: string): Node[] {
  return flat.objects.flatMap(({ properties, additional }) => properties.get(key) ?? additional ?? []);
}

/** What the schemas say of the element at `index`. */
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
