// Builds llama.cpp grammars (GBNF). Rules with the same body share one name, so that several schemas (the tools of a call)
// live in one grammar without repeating each other; recursive rules are reserved first and defined later.
import { CharSet } from "refa";
import { alphabet, lastCodePoint, statesOf, type Automaton } from "./automaton.ts";
import { CannotExpress } from "./errors.ts";
import { endlessRule } from "./productive.ts";

/** llama.cpp refuses repetitions beyond its own limit, and expands each into a rule; longer ones are written in chunks. */
const chunk = 128;
const maxRules = 20_000;

export class GrammarBuilder {
  /** Set when a schema's rule refers to itself. */
  recursive = false;
  private readonly bodies = new Map<string, string | undefined>();
  private readonly nameOfBody = new Map<string, string>();

  /** A rule for this body; an equal body gets the rule that exists. `hint` makes the name readable. */
  rule(hint: string, body: string): string {
    const known = this.nameOfBody.get(body);
    if (known) return known;
    const name = this.reserve(hint);
    this.bodies.set(name, body);
    this.nameOfBody.set(body, name);
    return name;
  }

  /** A fresh name, to be given its body by `define`. */
  reserve(hint: string): string {
    if (this.bodies.size >= maxRules) throw new CannotExpress("too_large", `more than ${maxRules} rules`);
    const base =
      hint
        .replace(/[^a-zA-Z0-9]+/g, "-")
        .replace(/^[-0-9]+|-$/g, "")
        .slice(0, 40) || "rule";
    let name = base;
    for (let count = 2; this.bodies.has(name) || name === "root"; count++) name = `${base}-${count}`;
    this.bodies.set(name, undefined);
    return name;
  }

  define(name: string, body: string): void {
    this.bodies.set(name, body);
  }

  /** Throws CannotExpress when a rule has no end. */
  private check(): void {
    if (!this.recursive) return;
    const endless = endlessRule(new Map([...this.bodies].map(([name, body]) => [name, body ?? ""])));
    if (endless !== undefined) throw new CannotExpress("endless", endless);
  }

  /**
   * The whole grammar. Throws CannotExpress; throws Error when a reserved rule was never defined, which is a bug in this code, not in the
   * schema.
   */
  finish(root: string): string {
    this.check();
    const lines = [`root ::= ${root}`];
    for (const [name, body] of this.bodies) {
      if (body === undefined) throw new Error(`grammar rule ${name} has no body`);
      lines.push(`${name} ::= ${body}`);
    }
    return `${lines.join("\n")}\n`;
  }
}

/** A GBNF literal of exactly this text. */
export function literal(text: string): string {
  const escaped = text.replace(/[\\"\n\r\t]|[^\P{Cc}]/gu, (char) => {
    if (char === "\\" || char === '"') return `\\${char}`;
    if (char === "\n") return "\\n";
    return `\\x${char.codePointAt(0)!.toString(16).padStart(2, "0")}`;
  });
  return `"${escaped}"`;
}

/** An alternation, in brackets where there is more than one. */
export const oneOfThese = (options: readonly string[]): string =>
  options.length === 1 ? options[0]! : `(${options.join(" | ")})`;

/** `item` between `min` and `max` times. `item` must be one symbol (a rule's name, a class, brackets). */
export function repeated(builder: GrammarBuilder, item: string, min: number, max: number): string {
  if (max === 0) return "";
  const parts: string[] = [];
  for (let rest = min; rest > 0; rest -= chunk) parts.push(counted(item, Math.min(rest, chunk), Math.min(rest, chunk)));
  if (max === Infinity) parts.push(`${item}*`);
  else if (max > min) parts.push(atMost(builder, item, max - min));
  return parts.join(" ");
}

const counted = (item: string, min: number, max: number): string =>
  min === 1 && max === 1 ? item : min === max ? `${item}{${min}}` : `${item}{${min},${max}}`;

function atMost(builder: GrammarBuilder, item: string, max: number): string {
  if (max <= chunk) return counted(item, 0, max);
  let tail = max % chunk === 0 ? chunk : max % chunk;
  let body = counted(item, 0, tail);
  for (; tail < max; tail += chunk) {
    const rest = builder.rule("upto", body);
    body = `${item}{${chunk}} ${rest} | ${item}{0,${chunk - 1}}`;
  }
  return builder.rule("upto", body);
}

// Characters inside a JSON string. NUL is left out altogether: it is legal JSON, but no database text column takes it.
const range = (min: number, max: number): CharSet => CharSet.fromRange(alphabet, { min, max });
const controls = range(0x01, 0x1f);
const quote = range(0x22, 0x22);
const backslash = range(0x5c, 0x5c);
const escaped = controls.union(quote, backslash);
const plain = range(0x20, lastCodePoint).without(quote.union(backslash, range(0xd800, 0xdfff)));

/** One character of any JSON string: itself or any legal escape. Surrogates only in pairs. */
export function anyStringChar(builder: GrammarBuilder): string {
  const hex = "[0-9a-fA-F]";
  const scalar = `[1-9a-cA-CefEF] ${hex}{3} | "0" ([1-9a-fA-F] ${hex}{2} | "0" ([1-9a-fA-F] ${hex} | "0" [1-9a-fA-F])) | [dD] [0-7] ${hex}{2}`;
  const pair = `[dD] [89abAB] ${hex}{2} "\\\\u" [dD] [c-fC-F] ${hex}{2}`;
  const unicode = builder.rule("unicode", `${scalar} | ${pair}`);
  return builder.rule("char", `[^"\\\\\\x00-\\x1f] | "\\\\" (["\\\\/bfnrt] | "u" ${unicode})`);
}

/** A JSON string whose decoded text the automaton accepts, as a rule. */
export function automatonString(builder: GrammarBuilder, automaton: Automaton, hint: string): string {
  const states = statesOf(automaton);
  const names = states.map(({ edges }, index) => (edges.length === 0 && index > 0 ? "" : builder.reserve(`${hint}-s`)));
  for (const [index, { accepting, edges }] of states.entries()) {
    const name = names[index]!;
    if (name === "") continue;
    const options = edges.map(({ on, to }) => `${encoded(on)} ${names[to]!}`.trimEnd());
    const body = options.length === 0 ? "" : oneOfThese(options);
    builder.define(name, body === "" ? '""' : accepting ? `(${body})?` : body);
  }
  return builder.rule(hint, `"\\"" ${names[0]!} "\\""`);
}

/** One code point of the set, as it stands in a JSON string: itself where it may, else its shortest escape. */
function encoded(set: CharSet): string {
  const options: string[] = [];
  const unescaped = set.intersect(plain);
  if (!unescaped.isEmpty) options.push(charClass(unescaped));
  for (const { min, max } of set.intersect(escaped).ranges)
    for (let code = min; code <= max; code++)
      options.push(literal(JSON.stringify(String.fromCodePoint(code)).slice(1, -1)));
  return options.length === 0 ? "[^\\x00-\\U0010ffff]" : oneOfThese(options);
}

function charClass(set: CharSet): string {
  const ranges = set.ranges.map(({ min, max }) =>
    min === max ? classChar(min) : `${classChar(min)}-${classChar(max)}`,
  );
  return `[${ranges.join("")}]`;
}

function classChar(code: number): string {
  const char = String.fromCodePoint(code);
  if (/[a-zA-Z0-9]/.test(char)) return char;
  if (code <= 0xff) return `\\x${code.toString(16).padStart(2, "0")}`;
  if (code <= 0xffff) return `\\u${code.toString(16).padStart(4, "0")}`;
  return `\\U${code.toString(16).padStart(8, "0")}`;
}
