// The language of strings that a Flat allows, as one automaton: patterns and formats intersected, then bounded in length.
import { LRUCache } from "lru-cache";
import { both, lengthAutomaton, wordsAutomaton, type Automaton } from "./automaton.ts";
import { CannotExpress, schemaRefused } from "./errors.ts";
import { refuse, type Flat } from "./flat.ts";
import { formatPatterns } from "./formats.ts";
import { patternAutomaton } from "./pattern.ts";

/** Longest generated string under a pattern or format, unless `minLength` asks for more. */
const longestPatterned = 1000;

const automata = new LRUCache<string, Automaton>({ max: 256 });
const intersections = new LRUCache<string, Automaton>({ max: 256 });

/** The automaton of a pattern, made once. Throws CannotExpress. */
function automatonOf(source: string): Automaton {
  let automaton = automata.get(source);
  if (!automaton) automata.set(source, (automaton = patternAutomaton(source)));
  return automaton;
}

/** The automaton of the flat's strings; undefined: no constraint except, perhaps, a length. Throws LineshaftError. */
export function stringAutomaton(flat: Flat): Automaton | undefined {
  if (flat.values) return wordsAutomaton(flat.values.filter((value) => typeof value === "string"));
  const sources = [
    ...flat.formats.map(({ name, path }) => ({ keyword: "format", source: formatPatterns[name]!, path })),
    ...flat.patterns.map(({ source, path }) => ({ keyword: "pattern", source, path })),
  ];
  const parts = sources.flatMap((source) => {
    const automaton = read(flat, source.keyword, source.source, source.path);
    return automaton ? [{ ...source, automaton }] : [];
  });
  const last = parts.at(-1);
  if (!last) return undefined;
  const { minLength, maxLength } = flat;
  const key = JSON.stringify([parts.map(({ source }) => source), minLength, maxLength === Infinity ? null : maxLength]);
  let result = intersections.get(key);
  try {
    if (!result) {
      const common = parts.map(({ automaton }) => automaton).reduce(both);
      intersections.set(key, (result = ofLength(common, minLength, maxLength)));
    }
  } catch (error) {
    return tooComplex(error, flat, last.keyword, last.path);
  }
  if (!result.isEmpty) return result;
  throw schemaRefused(
    last.keyword,
    last.path,
    "no string satisfies it together with what else is said about the string.",
  );
}

function ofLength(automaton: Automaton, minLength: number, maxLength: number): Automaton {
  if (minLength === 0 && maxLength === Infinity) return automaton;
  const longest = maxLength === Infinity ? Infinity : Math.min(maxLength, Math.max(longestPatterned, minLength));
  return both(automaton, lengthAutomaton(minLength, longest));
}

function read(flat: Flat, keyword: string, source: string, path: string): Automaton | undefined {
  try {
    return automatonOf(source);
  } catch (error) {
    if (error instanceof CannotExpress && error.reason === "unsupported") {
      refuse(
        { path, document: flat.document },
        keyword,
        `${error.message}; write it with classes, groups, alternatives and quantifiers.`,
      );
      return undefined;
    }
    return tooComplex(error, flat, keyword, path);
  }
}

function tooComplex(error: unknown, flat: Flat, keyword: string, path: string): undefined {
  if (!(error instanceof CannotExpress)) throw error;
  const sentence = "it is too complex to be enforced; use smaller repetitions, or a plain minLength and maxLength.";
  refuse({ path, document: flat.document }, keyword, sentence);
}
