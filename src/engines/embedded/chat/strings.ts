// The language of strings that a Flat allows, as one automaton: patterns and formats intersected, then bounded in length.
import { accepts, automatonOf, both, lengthAutomaton, TooComplex, wordsAutomaton, type Automaton } from "./automaton.ts";
import { anyChar } from "./charset.ts";
import { SchemaError } from "./errors.ts";
import { refuse, type Flat } from "./flat.ts";
import { formatPatterns } from "./formats.ts";
import { Lru } from "./lru.ts";
import { parseRegex, UnsupportedPattern } from "./regex.ts";

/** Longest string that is produced where a pattern or format also holds, unless `minLength` asks for more. */
const longestPatterned = 1000;

const automata = new Lru<string, Automaton>(256);

/** Automaton of an ECMAScript pattern, matched anywhere. Throws UnsupportedPattern or TooComplex. */
export function patternAutomaton(source: string): Automaton {
  return automata.get(source, () => automatonOf(parseRegex(source)));
}

/** A pattern as ajv wants one: linear in the text, and true where the pattern is one that we cannot read. */
export function patternTest(source: string): (text: string) => boolean {
  try {
    const automaton = patternAutomaton(source);
    return (text) => accepts(automaton, text);
  } catch (error) {
    if (error instanceof UnsupportedPattern || error instanceof TooComplex) return () => true;
    throw error;
  }
}

/** All strings. */
export const anyString: Automaton = { edges: [[{ on: anyChar, to: 0 }]], accepting: [true] };

/** What the flat says of strings; undefined: nothing but, perhaps, a length. Throws SchemaError. */
export function stringAutomaton(flat: Flat): Automaton | undefined {
  if (flat.values) return wordsAutomaton(flat.values.filter((value) => typeof value === "string"));
  let result: Automaton | undefined;
  const sources = [
    ...flat.formats.map(({ name, path }) => ({ keyword: "format", source: formatPatterns[name]!, path })),
    ...flat.patterns.map(({ source, path }) => ({ keyword: "pattern", source, path })),
  ];
  for (const { keyword, source, path } of sources) {
    const automaton = read(flat, keyword, source, path);
    if (automaton) result = result ? intersected(flat, keyword, result, automaton, path) : automaton;
  }
  if (!result || (flat.minLength === 0 && flat.maxLength === Infinity)) return result;
  const longest = Math.min(flat.maxLength, Math.max(longestPatterned, flat.minLength));
  const lengths = flat.maxLength === Infinity ? lengthAutomaton(flat.minLength, Infinity) : lengthAutomaton(flat.minLength, longest);
  return intersected(flat, "pattern", result, lengths, flat.path);
}

function read(flat: Flat, keyword: string, source: string, path: string): Automaton | undefined {
  try {
    return patternAutomaton(source);
  } catch (error) {
    if (error instanceof UnsupportedPattern) {
      refuse({ path, document: flat.document }, keyword, `${error.message}; write it with classes, groups, alternatives and quantifiers.`);
      return undefined;
    }
    throw tooComplex(error, keyword, path);
  }
}

function intersected(flat: Flat, keyword: string, a: Automaton, b: Automaton, path: string): Automaton {
  try {
    const result = both(a, b);
    if (result.edges.length === 0) throw new SchemaError(keyword, flat.path, "no string satisfies it together with its neighbours.");
    return result;
  } catch (error) {
    throw tooComplex(error, keyword, path);
  }
}

function tooComplex(error: unknown, keyword: string, path: string): unknown {
  if (!(error instanceof TooComplex)) return error;
  return new SchemaError(keyword, path, "it is too complex to be enforced; use smaller repetitions or a plain minLength and maxLength.");
}
