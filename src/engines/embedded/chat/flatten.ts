// Resolves $ref, allOf, anyOf and oneOf: a schema becomes alternatives, each a plain conjunction of what was said about the
// value (flat.ts). Nothing is dropped on the way: a keyword that keywords.ts does not know is refused by name.
import { SchemaError } from "./errors.ts";
import { anything, child, propertyNodes, refuse, type Flat, type Kind, type Node } from "./flat.ts";
import { keywords, type Keyword } from "./keywords.ts";

const maxAlternatives = 64;
const maxDepth = 64;
const maxWork = 100_000;

/** The node that a `$ref` leads to. Only pointers into the same document are followed. */
export function resolve(node: Node, reference: unknown): Node {
  const fail = (sentence: string): never => {
    throw new SchemaError("$ref", node.path, sentence);
  };
  if (typeof reference !== "string") return fail("it must be a string.");
  if (!/^#(\/|$)/.test(reference))
    return fail(
      `\`${reference}\` is not a pointer into this schema; put the definition under $defs and refer to it as #/$defs/NAME.`,
    );
  let target: Node = { schema: node.document.root, path: node.document.name, document: node.document };
  for (const step of reference.slice(1).split("/").slice(1)) {
    const key = unescaped(step);
    const holder = target.schema;
    if (typeof holder !== "object" || holder === null || !Object.hasOwn(holder, key)) {
      return fail(`\`${reference}\` leads nowhere; define it or correct the pointer.`);
    }
    target = child(target, (holder as Record<string, unknown>)[key], key);
  }
  return target;
}

/** A step of a pointer in a URI fragment: percent-encoding first, then the pointer's own. */
function unescaped(step: string): string {
  let text = step;
  try {
    text = decodeURIComponent(step);
  } catch {
    // A lone percent sign stands for itself.
  }
  return text.replaceAll("~1", "/").replaceAll("~0", "~");
}

/** Alternatives of a conjunction of schemas; none: no value satisfies it. Throws SchemaError. */
export function flatten(nodes: readonly Node[], depth = 0): Flat[] {
  const first = nodes[0];
  if (!first) return [];
  if (depth > maxDepth)
    throw new SchemaError(
      "$ref",
      first.path,
      "it refers to itself without anything in between, or combinators nest too deeply.",
    );
  let flats: Flat[] = [anything(first)];
  for (const node of nodes) flats = narrow(flats, node, depth);
  return flats.filter((flat) => !isEmpty(flat, depth));
}

function narrow(flats: Flat[], node: Node, depth: number): Flat[] {
  const { schema } = node;
  if (++node.document.work > maxWork) {
    throw new SchemaError("schema", node.path, "its combinators nest too deeply to be resolved; make it flatter.");
  }
  if (schema === true) return flats;
  if (schema === false) return [];
  if (typeof schema !== "object" || schema === null || Array.isArray(schema)) {
    throw new SchemaError("schema", node.path, "a schema must be an object or a boolean.");
  }
  const record = schema as Record<string, unknown>;
  let result = flats;
  for (const [name, value] of Object.entries(record)) {
    if (value === undefined) continue;
    const rule: Keyword | undefined = Object.hasOwn(keywords, name) ? keywords[name] : undefined;
    if (name === "$ref") result = narrow(result, resolve(node, value), depth + deeper(node, depth));
    else if (name === "allOf" || name === "anyOf" || name === "oneOf")
      result = combine(result, node, name, value, depth);
    else if (rule) result = result.map((flat) => rule(flat, value, node, record));
    else if (!name.startsWith("x-"))
      refuse(node, name, "this keyword is not known here; remove it, or check its spelling.");
  }
  return result;
}

function deeper(node: Node, depth: number): number {
  if (depth > maxDepth) throw new SchemaError("$ref", node.path, "it refers to itself without anything in between.");
  return 1;
}

function combine(flats: Flat[], node: Node, keyword: string, value: unknown, depth: number): Flat[] {
  deeper(node, depth);
  if (!Array.isArray(value) || value.length === 0)
    throw new SchemaError(keyword, node.path, "it must be a list of schemas.");
  if (keyword !== "allOf" && value.length > maxAlternatives) {
    throw new SchemaError(
      keyword,
      node.path,
      `it has more than ${maxAlternatives} branches; use enum for plain values.`,
    );
  }
  const branches = value.map((schema, index) => child(node, schema, keyword, index));
  if (keyword === "allOf") return branches.reduce((result, branch) => narrow(result, branch, depth + 1), flats);
  if (keyword === "oneOf") requireDisjoint(branches, node, depth);
  const result = branches.flatMap((branch) => narrow(flats, branch, depth + 1)).filter((flat) => !isEmpty(flat, depth));
  if (result.length > maxAlternatives) {
    throw new SchemaError(
      keyword,
      node.path,
      `it multiplies to more than ${maxAlternatives} alternatives; nest fewer combinators.`,
    );
  }
  return result;
}

/** A grammar cannot say "exactly one", so the branches must exclude each other: by type, const, enum or a required property. */
function requireDisjoint(branches: readonly Node[], node: Node, depth: number): void {
  for (const [index, branch] of branches.entries()) {
    for (const other of branches.slice(index + 1)) {
      if (flatten([branch, other], depth + 1).length === 0) continue;
      refuse(
        node,
        "oneOf",
        "its branches may overlap; use anyOf, or give each branch a required property with its own const.",
      );
      return;
    }
  }
}

/** Whether certainly no value satisfies it. May miss some: it decides only what types, values, bounds and required properties show. */
function isEmpty(flat: Flat, depth: number): boolean {
  if (flat.values) return flat.values.length === 0;
  if (flat.kinds?.size === 0) return true;
  const only = (kind: Kind): boolean => flat.kinds?.size === 1 && flat.kinds.has(kind);
  if (only("number") && (flat.min ?? -Infinity) > (flat.max ?? Infinity)) return true;
  if (only("string") && flat.minLength > flat.maxLength) return true;
  if (only("array") && flat.minItems > flat.maxItems) return true;
  if (!only("object") || depth > 8) return false;
  return [...flat.required].some((key) => {
    const nodes = propertyNodes(flat, key);
    return nodes.length > 0 && flatten(nodes, depth + 4).length === 0;
  });
}
