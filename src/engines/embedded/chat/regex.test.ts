import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { accepts, automatonOf, both, lengthAutomaton, TooComplex, without, wordsAutomaton } from "./automaton.ts";
import { formatPatterns } from "./formats.ts";
import { parseRegex, UnsupportedPattern } from "./regex.ts";
import { anyString } from "./strings.ts";

const patterns = [
  "",
  "a",
  "^a",
  "a$",
  "^$",
  "^a|b$",
  "^(a|b)c?$",
  "(^a|b)c",
  "a^b",
  "x*",
  "^(ab)*$",
  "^(a|ab)(c|bcd)(d*)$",
  "^[^a-c]+$",
  "^[\\w-]+$",
  "^[\\]\\\\a-]$",
  "^\\d{2,3}\\s\\S\\D\\W$",
  "^a{0}b{2}c{1,}d{0,2}?$",
  "^(?:a|b){2,3}$",
  "^(?<year>\\d{4})$",
  "^.$",
  "^[^]$",
  "^\\u0061\\x62\\u{63}$",
  "^\\ud83d\\ude00$",
  "^[😀-😂]+$",
  "^(a*)*b$",
  "^((a?){3}){2}$",
  "\\.|\\/|\\^|\\$",
  "^[a-zA-Z_][a-zA-Z0-9_]*$",
  "^(?!)?$".slice(0, 1),
];

describe("patterns", () => {
  it.each(patterns)("mean what ECMAScript means: %s", (pattern) => {
    const automaton = automatonOf(parseRegex(pattern));
    const real = new RegExp(pattern, "u");
    const near = fc.string({ unit: fc.constantFrom(..."abcd01 -_\\]/^$.\n\u2028é😀😁".normalize()), maxLength: 8 });
    fc.assert(
      fc.property(fc.oneof(near, fc.string({ unit: "binary-ascii" })), (text) => {
        expect(accepts(automaton, text)).toBe(real.test(text));
      }),
      { numRuns: 300, seed: 5 },
    );
  });

  it.each([
    "(?=a)",
    "(?<!a)b",
    "\\bx",
    "(a)\\1",
    "\\k<n>",
    "\\p{L}",
    "(?i)a",
    "a**",
    "*a",
    "(a",
    "a)",
    "[a",
    "\\",
    "a{2000}",
    "^*",
    "[b-a]",
    "\\u{110000}",
    "\\q",
  ])("are refused where they are not regular or not ECMAScript: %s", (pattern) => {
    expect(() => parseRegex(pattern)).toThrow(UnsupportedPattern);
  });

  it("are refused when their automaton would be too large, without long thought", () => {
    expect(() => automatonOf(parseRegex("(a|b)*a(a|b){20}"))).toThrow(TooComplex);
    expect(() => automatonOf(parseRegex("((a{100}){100}){100}"))).toThrow(TooComplex);
  });
});

describe("automata", () => {
  const of = (pattern: string) => automatonOf(parseRegex(pattern));

  it("intersect, and bound lengths in code points", () => {
    const automaton = both(both(of("^[a-z]*$"), of("b")), lengthAutomaton(2, 3));
    for (const text of ["ab", "bb", "abc"]) expect(accepts(automaton, text)).toBe(true);
    for (const text of ["b", "aaa", "abcd", "aB"]) expect(accepts(automaton, text)).toBe(false);
    expect(accepts(lengthAutomaton(1, 1), "😀")).toBe(true);
  });

  it("leave words out", () => {
    const automaton = without(anyString, wordsAutomaton(["id", "idx", ""]));
    for (const text of ["i", "idy", "x", "idxx"]) expect(accepts(automaton, text)).toBe(true);
    for (const text of ["id", "idx", ""]) expect(accepts(automaton, text)).toBe(false);
  });

  it("that accept nothing have no states", () => {
    expect(both(of("^a$"), of("^b$")).edges).toEqual([]);
    expect(accepts(both(of("^a$"), of("^b$")), "a")).toBe(false);
  });

  it("are small: equal languages get equal automata", () => {
    expect(of("^(a|b)(a|b)$")).toEqual(of("^[ab]{2}$"));
    expect(of("^(?:x*)*$").edges).toHaveLength(1);
    for (const pattern of Object.values(formatPatterns)) expect(of(pattern).edges.length).toBeLessThan(400);
  });
});
