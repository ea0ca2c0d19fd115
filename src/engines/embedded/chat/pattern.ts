// ECMAScript patterns as automata. Schemas use `pattern` with the `u` flag (JSON Schema 2020-12, 6.3.3), and generators in other languages
// escape more than that flag allows, so the escapes and brackets of Annex B are read too. What is not regular (back references) or not
// supported (lookaround, word boundaries, flags inside a pattern) is refused by name; nothing is approximated.
//
// `refa` parses and builds automata, but its automata know no anchors. So `^` and `$` are read as two symbols beyond Unicode. The strings
// in which the pattern matches somewhere are then those in which symbols can be put at the ends (`^` in front, `$` behind) so that the
// result lies in  any* pattern any* . The symbols are erased again afterwards.
import { CharSet, ENFA, JS, NFA, type Concatenation, type Element, type NoParent, type Quantifier } from "refa";
import {
  alphabet,
  anyChar,
  automatonWithin,
  determined,
  endSymbol,
  nfaStatesMax,
  rangesMax,
  startSymbol,
  type Automaton,
} from "./automaton.ts";
import { CannotExpress } from "./errors.ts";

type Tree = NoParent<Element>;
type Sequence = NoParent<Concatenation>;

/** The strings in which an ECMAScript pattern matches somewhere. Throws CannotExpress. */
export function patternAutomaton(source: string): Automaton {
  const sequences = parse(source).map((sequence) => withSymbols(sequence));
  const anywhere = { type: "Alternation" as const, alternatives: sequences };
  const any = star(CharSet.all(alphabet));
  return automatonWithin(() => {
    const matching = nfaOf([any, anywhere, any]);
    let ranges = 0;
    for (const node of matching.nodes()) for (const [, set] of node.out) ranges += set.ranges.length;
    if (ranges > rangesMax) throw new CannotExpress("too_complex", "too many characters");
    const framed = NFA.fromIntersection(matching, frame, new NFA.LimitedNodeFactory(nfaStatesMax));
    return determined(NFA.fromFA(withoutSymbols(framed), new NFA.LimitedNodeFactory(nfaStatesMax)));
  });
}

function parse(source: string): readonly Sequence[] {
  try {
    const literal = { source: strict(source), flags: "u" };
    const options = { assertions: "unknown", maxBackreferenceWords: 0, maxNodes: nfaStatesMax } as const;
    return JS.Parser.fromLiteral(literal).parse(options).expression.alternatives;
  } catch (error) {
    if (error instanceof CannotExpress) throw error;
    const { message } = error as Error;
    if (error instanceof RangeError || /create more than/.test(message))
      throw new CannotExpress("too_complex", "too long, or nested too deeply", error);
    const backReference = /back ?reference/i.test(message);
    const why = backReference
      ? "back references are not supported"
      : message.replace(/^Invalid regular expression: /, "");
    throw new CannotExpress("unsupported", why, error);
  }
}

/** Most repetitions of one part, because making an automaton deterministic takes time in proportion to their square. */
const repeatsMax = 1000;

/** Classes, escapes, groups with flags or Python's names, quantifiers, and brackets that stand for themselves. */
const token =
  /\[\^?(?:\\[\s\S]|[^\]\\])*\]|\\[pPu]\{[^}]*\}|\\[\s\S]|\(\?[a-zA-Z-]+[:)]|\(\?P<|\{\d+(?:,\d*)?\}|[{}\]]/gu;
/** A character that needs no escape with the `u` flag, and may not have one. */
const plain = /[^\w^$\\.*+?()[\]{}|/]|_/u;

/**
 * The pattern in the form that the `u` flag accepts: needlessly escaped characters by their code, lone brackets escaped, `(?P<` as `(?<`.
 */
function strict(source: string): string {
  const unescaped = (text: string) =>
    text.replaceAll(/\\([\s\S])/gu, (pair, char: string) =>
      plain.test(char) ? `\\u{${char.codePointAt(0)!.toString(16)}}` : pair,
    );
  return source.replaceAll(token, (part) => {
    if (part.startsWith("[") || /^\\[^pPu]/.test(part)) return unescaped(part);
    if (part === "(?P<") return "(?<";
    if (part.startsWith("(?"))
      throw new CannotExpress("unsupported", `flags inside a pattern (\`${part}\`) are not supported`);
    return part.length === 1 ? `\\${part}` : part;
  });
}

/** Anchors become symbols, and all classes use the alphabet with these symbols. */
function withSymbols(sequence: Sequence): Sequence {
  return { ...sequence, elements: sequence.elements.map((element) => symbolOf(element)) };
}

function symbolOf(element: Tree): Tree {
  switch (element.type) {
    case "CharacterClass":
      return { ...element, characters: CharSet.empty(alphabet).union(element.characters.ranges) };
    case "Unknown":
      if (element.id === "^") return oneOf(CharSet.fromCharacter(alphabet, startSymbol));
      if (element.id === "$") return oneOf(CharSet.fromCharacter(alphabet, endSymbol));
      throw new CannotExpress(
        "unsupported",
        element.id.startsWith("(")
          ? `lookaround \`${element.id}\` is not supported`
          : `the word boundary \`${element.id}\` is not supported`,
      );
    case "Quantifier":
      if (element.min > repeatsMax || (element.max !== Infinity && element.max > repeatsMax))
        throw new CannotExpress(
          "unsupported",
          `a part repeats more than ${repeatsMax} times; use maxLength for long strings`,
        );
      return { ...element, alternatives: element.alternatives.map((sequence) => withSymbols(sequence)) };
    default:
      return { ...element, alternatives: element.alternatives.map((sequence) => withSymbols(sequence)) } as Tree;
  }
}

const oneOf = (characters: CharSet): Tree => ({ type: "CharacterClass", characters });

const star = (characters: CharSet): NoParent<Quantifier> => ({
  type: "Quantifier",
  min: 0,
  max: Infinity,
  lazy: false,
  alternatives: [{ type: "Concatenation", elements: [oneOf(characters)] }],
});

const nfaOf = (...alternatives: Tree[][]): NFA =>
  NFA.fromRegex(
    { type: "Expression", alternatives: alternatives.map((elements) => ({ type: "Concatenation", elements })) },
    { maxCharacter: alphabet },
    {},
    new NFA.LimitedNodeFactory(nfaStatesMax),
  );

/** Where symbols may stand: `^` in front, `$` behind, and in an empty string both in any order. */
const symbols = CharSet.fromRange(alphabet, { min: startSymbol, max: endSymbol });
const frame = nfaOf(
  [star(CharSet.fromCharacter(alphabet, startSymbol)), star(anyChar), star(CharSet.fromCharacter(alphabet, endSymbol))],
  [star(symbols)],
);

/** The same strings without their symbols. Each edge of a framed automaton is of symbols alone or of characters alone. */
function withoutSymbols(framed: NFA): ENFA {
  const erased = ENFA.fromFA(framed, new ENFA.LimitedNodeFactory(2 * nfaStatesMax));
  for (const node of erased.nodes())
    for (const [to, set] of node.out)
      if (set?.has(startSymbol) || set?.has(endSymbol)) {
        node.unlink(to);
        node.link(to, null);
      }
  return erased;
}
