// Writes schemas as GBNF rules: one rule per distinct schema, so that recursion becomes a rule that refers to itself. All values are in the
// spaced form of json.ts. Listed properties come in the schema's order, optional ones may be absent.
import { anyString, wordsAutomaton, without, type Automaton } from "./automaton.ts";
import { admits, fits } from "./admits.ts";
import { CannotExpress, schemaRefused } from "./errors.ts";
import { allKinds, elementNodes, propertyNodes, refuse, type Flat, type Kind, type Node } from "./flat.ts";
import { flatten, inhabited, inhabitedFlat, resolve } from "./flatten.ts";
import { anyStringChar, automatonString, literal, oneOfThese, repeated, type GrammarBuilder } from "./gbnf.ts";
import { spacedJson } from "./json.ts";
import { keywords } from "./keywords.ts";
import { numberGrammar } from "./numbers.ts";
import { stringAutomaton } from "./strings.ts";

const maxNesting = 100;
/** Longest string and array that are generated if the schema allows longer ones. */
const longestString = 20_000;
const longestArray = 2_000;

const annotationOnly = (schema: Record<string, unknown>): boolean =>
  Object.keys(schema).every(
    (key) =>
      key === "$ref" || key.startsWith("x-") || (Object.hasOwn(keywords, key) && keywords[key] === keywords["title"]),
  );

export class SchemaWriter {
  private readonly builder: GrammarBuilder;
  /** The rule of each conjunction of schemas; undefined while it is being written and has not been referred to. */
  private readonly rules = new Map<string, string | undefined>();
  private nesting = 0;

  constructor(builder: GrammarBuilder) {
    this.builder = builder;
  }

  /** A symbol for the values that satisfy all the schemas; no schemas: any JSON value. Throws LineshaftError. */
  value(nodes: readonly Node[], hint: string): string {
    const targets = nodes.map((node) => followed(node)).filter(({ schema }) => !isAnything(schema));
    if (targets.length === 0) return this.anyValue();
    const key = [...new Set(targets.map(({ path }) => path))].join("&");
    if (this.rules.has(key)) {
      const known = this.rules.get(key);
      if (known !== undefined) return known;
      const name = this.builder.reserve(hint);
      this.builder.recursive = true;
      this.rules.set(key, name);
      return name;
    }
    this.rules.set(key, undefined);
    if (++this.nesting > maxNesting)
      throw schemaRefused("schema", targets[0]!.path, `it nests deeper than ${maxNesting} levels.`);
    const flats = flatten(targets).filter((flat) => inhabitedFlat(flat));
    const options = flats.flatMap((flat) => this.options(flat, hint));
    this.nesting--;
    if (options.length === 0) throw schemaRefused("schema", targets[0]!.path, "no value can satisfy it.");
    const body = [...new Set(options)].join(" | ");
    const reserved = this.rules.get(key);
    if (reserved) this.builder.define(reserved, body);
    const name = reserved ?? (/^[a-zA-Z][a-zA-Z0-9-]*$/.test(body) ? body : this.builder.rule(hint, body));
    this.rules.set(key, name);
    return name;
  }

  /** Any JSON object. */
  anyObject(): string {
    return this.builder.rule("object", this.record([], `${this.anyText()} ": " ${this.anyValue()}`, 0, Infinity));
  }

  private anyValue(): string {
    const known = this.rules.get("*");
    if (known) return known;
    const name = this.builder.reserve("value");
    this.rules.set("*", name);
    const options = [
      this.anyObject(),
      this.list([], name, 0, Infinity),
      this.anyText(),
      ...this.number(),
      '"true"',
      '"false"',
      '"null"',
    ];
    this.builder.define(name, options.join(" | "));
    return name;
  }

  private anyText(): string {
    return this.builder.rule("string", `"\\"" ${anyStringChar(this.builder)}* "\\""`);
  }

  private number(flat?: Flat): string[] {
    try {
      const body = numberGrammar(flat ?? { integer: false });
      return body === undefined ? [] : [this.builder.rule(flat?.integer ? "integer" : "number", body)];
    } catch (error) {
      if (!(error instanceof CannotExpress) || !flat) throw error;
      refuse(flat, "minimum", `${error.message}; use a rounder bound.`);
      return this.number();
    }
  }

  private options(flat: Flat, hint: string): string[] {
    if (flat.values) return flat.values.filter((value) => fits(flat, value)).map((value) => literal(spacedJson(value)));
    const kinds = flat.kinds ?? (flat.implied.size > 0 ? flat.implied : undefined);
    if (!kinds) return [this.anyValue()];
    return allKinds.filter((kind) => kinds.has(kind)).flatMap((kind) => this.kind(kind, flat, hint));
  }

  private kind(kind: Kind, flat: Flat, hint: string): string[] {
    switch (kind) {
      case "null":
        return ['"null"'];
      case "boolean":
        return ['"true"', '"false"'];
      case "number":
        return this.number(flat);
      case "string":
        return [this.text(flat, hint)];
      case "array":
        return this.array(flat, hint);
      case "object":
        return this.object(flat, hint);
    }
  }

  private text(flat: Flat, hint: string): string {
    const automaton = stringAutomaton(flat);
    if (automaton) return automatonString(this.builder, automaton, hint);
    if (flat.minLength === 0 && flat.maxLength === Infinity) return this.anyText();
    if (flat.minLength > longestString)
      throw schemaRefused("minLength", flat.path, `strings of more than ${longestString} characters are not produced.`);
    const max = flat.maxLength === Infinity ? Infinity : Math.min(flat.maxLength, longestString);
    const chars = repeated(this.builder, anyStringChar(this.builder), flat.minLength, max);
    return this.builder.rule(hint, `"\\"" ${chars} "\\""`.replace("  ", " "));
  }

  private array(flat: Flat, hint: string): string[] {
    const listed = Math.max(0, ...flat.arrays.map(({ prefix }) => prefix.length));
    let max = flat.maxItems;
    const prefix: string[] = [];
    for (let index = 0; index < listed && index < max; index++) {
      const element = this.possible(elementNodes(flat, index), `${hint}-${index}`);
      if (element === undefined) max = index;
      else prefix.push(element);
    }
    const rest = max > listed ? this.possible(elementNodes(flat, listed), `${hint}-item`) : undefined;
    if (rest === undefined) max = Math.min(max, prefix.length);
    if (flat.minItems > max) return [];
    if (flat.minItems > longestArray)
      throw schemaRefused("minItems", flat.path, `arrays of more than ${longestArray} elements are not produced.`);
    return [this.list(prefix, rest, flat.minItems, max === Infinity ? max : Math.min(max, longestArray))];
  }

  /** The symbol for the schemas, or undefined when no value satisfies them. */
  private possible(nodes: readonly Node[], hint: string): string | undefined {
    return !inhabited(nodes) ? undefined : this.value(nodes, hint);
  }

  private list(prefix: readonly string[], rest: string | undefined, min: number, max: number): string {
    const listed = Math.min(prefix.length, max);
    let tail =
      rest === undefined
        ? ""
        : repeated(this.builder, `(", " ${rest})`, Math.max(0, min - Math.max(listed, 1)), max - Math.max(listed, 1));
    for (let index = listed - 1; index > 0; index--) {
      const more = `", " ${prefix[index]} ${tail}`.trimEnd();
      tail = index < min ? more : `(${more})?`;
    }
    const first = listed > 0 ? prefix[0] : rest;
    if (first === undefined || max === 0) return '"[]"';
    const filled = `${first} ${tail}`.trimEnd();
    return min > 0 ? `"[" ${filled} "]"` : `"[" (${filled})? "]"`;
  }

  private object(flat: Flat, hint: string): string[] {
    const names = new Set(flat.objects.flatMap(({ properties }) => [...properties.keys()]));
    for (const key of flat.required) names.add(key);
    const members: { text: string; required: boolean }[] = [];
    for (const name of names) {
      const required = flat.required.has(name);
      const nodes = propertyNodes(flat, name);
      const value = admits(flat.keys, name) ? this.possible(nodes, `${hint}-${name}`) : undefined;
      if (value !== undefined) members.push({ text: `${literal(`${JSON.stringify(name)}: `)} ${value}`, required });
      else if (required) return [];
    }
    const extra = this.extraMember(flat, names, hint);
    return [this.builder.rule(hint, this.bounded(flat, members, extra))];
  }

  /**
   * The grammar of unlisted members; undefined: none are allowed. Without `additionalProperties` the grammar allows only listed properties.
   */
  private extraMember(flat: Flat, taken: ReadonlySet<string>, hint: string): string | undefined {
    const open = flat.objects.length === 0 || flat.objects.some(({ additional }) => additional !== undefined);
    if (!open || flat.maxProperties === 0) return undefined;
    const value = this.possible(
      flat.objects.flatMap(({ additional }) => additional ?? []),
      `${hint}-extra`,
    );
    if (value === undefined) return undefined;
    const keys = flat.keys.length === 0 ? [undefined] : flatten(flat.keys);
    const options = keys.flatMap((key) => {
      let language: Automaton | undefined = key && stringAutomaton(key);
      if (key && !language && (key.minLength > 0 || key.maxLength < Infinity) && taken.size === 0)
        return [this.text(key, `${hint}-key`)];
      if (key && (key.minLength > 0 || key.maxLength < Infinity)) {
        language = stringAutomaton({ ...key, patterns: [...key.patterns, { source: "", path: key.path }] });
      }
      if (taken.size > 0) language = without(language ?? anyString, wordsAutomaton(taken));
      if (!language) return [this.anyText()];
      return language.isEmpty ? [] : [automatonString(this.builder, language, `${hint}-key`)];
    });
    return options.length === 0 ? undefined : `${oneOfThese(options)} ": " ${value}`;
  }

  /**
   * Applies minProperties and maxProperties as far as the object's shape allows. For minProperties unlisted members count as one, because
   * they may share a name.
   */
  private bounded(flat: Flat, members: { text: string; required: boolean }[], extra: string | undefined): string {
    const certain = members.filter(({ required }) => required).length;
    const missing = Math.max(0, flat.minProperties - certain);
    let atLeast = 0;
    if (missing === 1 && extra !== undefined) atLeast = 1;
    else if (missing > 0)
      refuse(
        flat,
        "minProperties",
        "it can be enforced only as far as properties are required; list them under required.",
      );
    let atMost = Infinity;
    if (flat.maxProperties < Infinity) {
      atMost = Math.max(0, flat.maxProperties - members.length);
      if (members.length > flat.maxProperties)
        refuse(flat, "maxProperties", "it is less than the number of listed properties; list fewer.");
    }
    if (atLeast > atMost) {
      throw schemaRefused("maxProperties", flat.path, "it leaves no room for what minProperties asks for.");
    }
    return this.record(members, extra, atLeast, atMost);
  }

  private record(
    members: readonly { text: string; required: boolean }[],
    extra: string | undefined,
    minExtra: number,
    maxExtra: number,
  ): string {
    const more = extra === undefined ? "" : repeated(this.builder, `(", " ${extra})`, minExtra, maxExtra);
    const starts: string[] = [];
    let mayBeEmpty = minExtra === 0;
    const firstRequired = members.findIndex(({ required }) => required);
    // Tails are built from the end. The object may start with any member that has only optional members before it.
    let tail = more;
    for (let index = members.length - 1; index >= 0; index--) {
      const { text, required } = members[index]!;
      if (firstRequired < 0 || index <= firstRequired) starts.unshift(`${text} ${tail}`.trimEnd());
      if (required) mayBeEmpty = false;
      const own = required ? `", " ${text} ${tail}` : `(", " ${text})? ${tail}`;
      tail =
        index > 0 && (firstRequired < 0 || index <= firstRequired)
          ? this.builder.rule("more", own.trimEnd())
          : own.trimEnd();
    }
    if (firstRequired < 0 && extra !== undefined && maxExtra > 0) {
      starts.push(
        `${extra} ${repeated(this.builder, `(", " ${extra})`, Math.max(0, minExtra - 1), maxExtra - 1)}`.trimEnd(),
      );
    }
    if (starts.length === 0) return '"{}"';
    return mayBeEmpty ? `"{" (${starts.join(" | ")})? "}"` : `"{" ${oneOfThese(starts)} "}"`;
  }
}

const isAnything = (schema: unknown): boolean =>
  schema === true ||
  (typeof schema === "object" &&
    schema !== null &&
    !("$ref" in schema) &&
    annotationOnly(schema as Record<string, unknown>));

/** Follows schemas that consist of one reference, so that a recursive schema refers back to the rule it began with. */
function followed(node: Node): Node {
  let target = node;
  for (let steps = 0; steps < maxNesting; steps++) {
    const { schema } = target;
    if (
      typeof schema !== "object" ||
      schema === null ||
      !("$ref" in schema) ||
      !annotationOnly(schema as Record<string, unknown>)
    )
      return target;
    target = resolve(target, (schema as { $ref: unknown }).$ref);
  }
  throw schemaRefused("$ref", node.path, "it refers to itself without anything in between.");
}
