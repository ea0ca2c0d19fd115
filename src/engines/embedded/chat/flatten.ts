// Resolves $ref, allOf, anyOf and oneOf: a schema becomes alternatives, each a plain conjunction of constraints on the value (flat.ts). No
// keyword is dropped: a keyword that keywords.ts does not know is refused by name.
import { schemaRefused } from "./errors.ts";
import {
  anything,
  child,
  elementNodes,
  kindOf,
  propertyNodes,
  refuse,
  type Flat,
  type Kind,
  type Node,
} from "./flat.ts";
import { keywords, type Keyword } from "./keywords.ts";

const maxAlternatives = 64;
const maxDepth = 64;
const maxWork = 100_000;

/** The node that a `$ref` leads to. Only pointers into the same document are followed. */
export function resolve(node: Node, reference: unknown): Node {
  const fail = (sentence: string): never => {
    throw schemaRefused("$ref", node.path, sentence);
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
    // A percent sign without two hex digits is taken literally.
  }
  return text.replaceAll("~1", "/").replaceAll("~0", "~");
}

/**
 * Alternatives of a conjunction of schemas; none: no value satisfies it. `judge: false` accepts the branches of oneOf without proving that
 * they exclude each other. Throws LineshaftError.
 */
export function flatten(nodes: readonly Node[], judge = true): Flat[] {
  const first = nodes[0];
  if (!first) return [];
  let flats: Flat[] = [anything(first)];
  for (const node of nodes) flats = narrow(flats, node, judge, 0);
  return flats.filter((flat) => !isEmpty(flat));
}

function narrow(flats: Flat[], node: Node, judge: boolean, depth: number): Flat[] {
  const { schema, path } = node;
  if (++node.document.work > maxWork) {
    throw schemaRefused("schema", path, "its combinators nest too deeply to be resolved; make it flatter.");
  }
  if (depth > maxDepth) {
    throw schemaRefused(
      "$ref",
      path,
      "it refers to itself without anything in between, or combinators nest too deeply.",
    );
  }
  if (schema === true) return flats;
  if (schema === false) return [];
  if (typeof schema !== "object" || schema === null || Array.isArray(schema)) {
    throw schemaRefused("schema", path, "a schema must be an object or a boolean.");
  }
  const record = schema as Record<string, unknown>;
  let result = flats;
  for (const [name, value] of Object.entries(record)) {
    if (value === undefined) continue;
    const rule: Keyword | undefined = Object.hasOwn(keywords, name) ? keywords[name] : undefined;
    if (name === "$ref") result = narrow(result, resolve(node, value), judge, depth + 1);
    else if (name === "allOf" || name === "anyOf" || name === "oneOf") {
      const branches = branchesOf(node, name, value);
      if (name === "oneOf" && judge) requireDisjoint(branches, node);
      if (name === "allOf") for (const branch of branches) result = narrow(result, branch, judge, depth + 1);
      else result = either(result, branches, node, name, judge, depth);
    } else if (rule) result = result.map((flat) => rule(flat, value, node, record));
    else if (!name.startsWith("x-")) {
      refuse(node, name, "this keyword is not known here; remove it, or check its spelling.");
    }
  }
  return result;
}

function branchesOf(node: Node, keyword: string, value: unknown): Node[] {
  if (!Array.isArray(value) || value.length === 0) {
    throw schemaRefused(keyword, node.path, "it must be a list of schemas.");
  }
  if (keyword !== "allOf" && value.length > maxAlternatives) {
    throw schemaRefused(keyword, node.path, `it has more than ${maxAlternatives} branches; use enum for plain values.`);
  }
  return value.map((schema, index) => child(node, schema, keyword, index));
}

function either(flats: Flat[], branches: Node[], node: Node, keyword: string, judge: boolean, depth: number): Flat[] {
  const result = branches.flatMap((branch) => narrow(flats, branch, judge, depth + 1)).filter((flat) => !isEmpty(flat));
  if (result.length <= maxAlternatives) return result;
  const sentence = `it multiplies to more than ${maxAlternatives} alternatives; nest fewer combinators.`;
  throw schemaRefused(keyword, node.path, sentence);
}

/** A grammar cannot say "exactly one", so the branches must exclude each other: by type, const, enum or a required property. */
function requireDisjoint(branches: readonly Node[], node: Node): void {
  const overlap = branches.some((branch, index) =>
    branches.slice(index + 1).some((other) => inhabited([branch, other])),
  );
  if (overlap) {
    const advice = "use anyOf, or give each branch a required property with its own const.";
    refuse(node, "oneOf", `its branches may overlap; ${advice}`);
  }
}

/** Whether types, values and bounds alone show that no value satisfies it. */
function isEmpty(flat: Flat): boolean {
  if (flat.values) return !flat.values.some((value) => flat.kinds?.has(kindOf(value)) ?? true);
  if (flat.kinds?.size === 0) return true;
  const only = (kind: Kind): boolean => flat.kinds?.size === 1 && flat.kinds.has(kind);
  if (only("number")) return (flat.min ?? -Infinity) > (flat.max ?? Infinity);
  if (only("string")) return flat.minLength > flat.maxLength;
  if (only("array")) return flat.minItems > flat.maxItems;
  return only("object") && Math.max(flat.minProperties, flat.required.size) > flat.maxProperties;
}

/**
 * Whether some finite value may satisfy all the schemas. False is certain: types, values, bounds, elements and required members show it, or
 * the schema needs itself inside itself without end. `within` holds the conjunctions that are being checked.
 */
export function inhabited(nodes: readonly Node[], within: ReadonlySet<string> = new Set()): boolean {
  const first = nodes[0];
  if (!first || within.size > maxDepth) return true;
  const key = nodes.map(({ path }) => path).join("&");
  const known = first.document.inhabited;
  if (known.has(key)) return true;
  if (within.has(key)) return false;
  const inside = new Set([...within, key]);
  const result = flatten(nodes, false).some((flat) => inhabitedFlat(flat, inside));
  if (result) known.add(key);
  return result;
}

export function inhabitedFlat(flat: Flat, within: ReadonlySet<string> = new Set()): boolean {
  if (flat.values) return true;
  const kinds = flat.kinds ?? (flat.implied.size > 0 ? flat.implied : new Set<Kind>(["null"]));
  return [...kinds].some((kind) => {
    if (kind === "object") return [...flat.required].every((key) => inhabited(propertyNodes(flat, key), within));
    if (kind !== "array") return true;
    const listed = Math.max(0, ...flat.arrays.map(({ prefix }) => prefix.length));
    const needed = Math.min(flat.minItems, listed + 1);
    return Array.from({ length: needed }, (_, index) => index).every((index) =>
      inhabited(elementNodes(flat, index), within),
    );
  });
}
