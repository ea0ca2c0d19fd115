import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { accepts, anyString, both, lengthAutomaton, statesOf, without, wordsAutomaton } from "./automaton.ts";
import { formatPatterns } from "./formats.ts";
import { patternAutomaton } from "./pattern.ts";
import { runs } from "../../../../test/setup/runs.ts";

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
  "^\\p{L}[\\p{Nd}_]*$",
  "^a^b$|c$d|^^x$$",
  "$^",
  "(?:^|$|a)*b",
];

describe("patterns", () => {
  it.each(patterns)("mean what ECMAScript means: %s", (pattern) => {
    const automaton = patternAutomaton(pattern);
    const real = new RegExp(pattern, "u");
    const near = fc.string({ unit: fc.constantFrom(..."abcd01 -_\\]/^$.\n\u2028é😀😁".normalize()), maxLength: 8 });
    fc.assert(
      fc.property(fc.oneof(near, fc.string({ unit: "binary-ascii" })), (text) => {
        expect(accepts(automaton, text)).toBe(real.test(text));
      }),
      { numRuns: runs(300), seed: 5 },
    );
  });

  it.each([
    "(?=a)",
    "(?<!a)b",
    "\\bx",
    "(a)\\1",
    "\\k<n>",
    "\\p{Nonsense}",
    "(?i)a",
    "(?i:a)",
    "a**",
    "*a",
    "(a",
    "a)",
    "[a",
    "\\",
    "^*",
    "a{1001}",
    "a{2000,}",
    "[b-a]",
    "\\u{110000}",
    "\\q",
  ])("are refused where they are not regular or not ECMAScript: %s", (pattern) => {
    expect(() => patternAutomaton(pattern)).toThrow(expect.objectContaining({ reason: "unsupported" }));
  });

  it.each<[string, string]>([
    ["choices that multiply", "(a|b)*a(a|b){20}"],
    ["repetitions that multiply", "((a{100}){100}){100}"],
    ["a long alternation", "abc|".repeat(30_000)],
    ["deep nesting", "(".repeat(50_000) + "a" + ")".repeat(50_000)],
    [
      "a large class, often",
      `[${Array.from({ length: 5000 }, (_, i) => String.fromCodePoint(0x4e00 + 2 * i)).join("")}]{300}`,
    ],
    ["a class as long as a schema may be", `[${"\u4e00x".repeat(60_000)}]{2}[^a]{900}(?:a|b)*a(?:a|b){20}`],
  ])("are refused when their automaton would be too large: %s", (_name, pattern) => {
    expect(() => patternAutomaton(pattern)).toThrow(expect.objectContaining({ reason: "too_complex" }));
  });

  it("may have classes that overlap in many ways", () => {
    const classes = Array.from({ length: 300 }, (_, i) => `[\\u{${i.toString(16)}}-\\u{${(i + 3000).toString(16)}}]`);
    expect(statesOf(patternAutomaton(`^(?:${classes.join("|")}){3}$`))).toHaveLength(4);
  });

  it.each([
    ["^a\\-b\\@c\\_\\ d$", "a-b@c_ d"],
    ["^[\\-\\@\\_]{3}$", "-@_"],
    ["^{a},{2,x}]}$", "{a},{2,x}]}"],
    ["^(?P<year>\\d{2})$", "19"],
    ["^[]a]*$|^[(?P<]{4}$", "(?P<"],
    ["^\\u{61}\\u0062\\x63$", "abc"],
  ])("are read as other languages' generators write them: %s", (pattern, text) => {
    expect(accepts(patternAutomaton(pattern), text)).toBe(true);
    expect(accepts(patternAutomaton(pattern), `${text}~`)).toBe(false);
  });
});

describe("automata", () => {
  const of = patternAutomaton;

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

  it("that accept nothing are empty", () => {
    expect(both(of("^a$"), of("^b$")).isEmpty).toBe(true);
    expect(accepts(both(of("^a$"), of("^b$")), "a")).toBe(false);
  });

  it("are small: equal languages get equal automata", () => {
    expect(statesOf(of("^(a|b)(a|b)$"))).toEqual(statesOf(of("^[ab]{2}$")));
    expect(statesOf(of("^(?:x*)*$"))).toHaveLength(1);
    for (const pattern of Object.values(formatPatterns)) expect(statesOf(of(pattern)).length).toBeLessThan(400);
  });
});
