// Deterministic automata over code points, by `refa`. Everything a schema says about a string (pattern, format, length, names that are
// taken) becomes one automaton: intersected, made minimal, and written as a right-linear grammar in which the model is always in exactly
// one state (gbnf.ts). Their size is bounded, so that no pattern of a caller keeps the worker busy.
import { CharSet, DFA, NFA, type Concatenation, type NoParent } from "refa";
import { CannotExpress } from "./errors.ts";

/** A minimal automaton. It is shared between callers, and never changed. */
export type Automaton = DFA;

/** States of an automaton, and of one that is not deterministic yet. */
const statesMax = 2000;
export const nfaStatesMax = 4 * statesMax;
/** Ranges of characters on all edges of an automaton that is not deterministic yet: a time of about a second. */
export const rangesMax = 100_000;

export const lastCodePoint = 0x10ffff;
/** Two symbols beyond Unicode that stand for the anchors `^` and `$` while a pattern is read (pattern.ts). */
export const startSymbol = lastCodePoint + 1;
export const endSymbol = lastCodePoint + 2;
/** The largest symbol of every automaton here. */
export const alphabet = endSymbol;
export const anyChar = CharSet.fromRange(alphabet, { min: 0, max: lastCodePoint });

const limited = () => new DFA.LimitedNodeFactory(statesMax);

/** Deterministic, of at most `statesMax` states. */
export const determined = (automaton: NFA): DFA => DFA.fromFA(automaton, limited());

/** What `make` builds, made minimal. Throws CannotExpress (`too_complex`) where it has too many states. */
export function automatonWithin(make: () => DFA): Automaton {
  try {
    const automaton = make();
    automaton.minimize();
    return automaton;
  } catch (error) {
    if (error instanceof CannotExpress) throw error;
    if (error instanceof RangeError || /create more than/.test((error as Error).message))
      throw new CannotExpress("too_complex", "too many states", error);
    throw error;
  }
}

/** Strings that both accept. Throws CannotExpress. */
export const both = (a: Automaton, b: Automaton): Automaton =>
  automatonWithin(() => DFA.fromIntersection(a, b, limited()));

/** Strings that `a` accepts and `b` does not. Throws CannotExpress. */
export const without = (a: Automaton, b: Automaton): Automaton =>
  automatonWithin(() => {
    const others = b.copy();
    others.complement(limited());
    return DFA.fromIntersection(a, others, limited());
  });

/** Strings of `min` to `max` code points. Throws CannotExpress. */
export const lengthAutomaton = (min: number, max: number): Automaton =>
  automatonWithin(() => {
    if (min > statesMax || (max !== Infinity && max > statesMax)) throw new CannotExpress("too_complex", "too long");
    const one: NoParent<Concatenation> = {
      type: "Concatenation",
      elements: [{ type: "CharacterClass", characters: anyChar }],
    };
    const regex: NoParent<Concatenation> = {
      type: "Concatenation",
      elements: [{ type: "Quantifier", min, max, lazy: false, alternatives: [one] }],
    };
    const states = new NFA.LimitedNodeFactory(nfaStatesMax);
    return determined(NFA.fromRegex(regex, { maxCharacter: alphabet }, {}, states));
  });

/** Exactly these strings. Throws CannotExpress. */
export const wordsAutomaton = (words: Iterable<string>): Automaton =>
  automatonWithin(() =>
    DFA.fromWords(
      [...words].map((word) => codePoints(word)),
      { maxCharacter: alphabet },
      limited(),
    ),
  );

/** All strings. */
export const anyString = lengthAutomaton(0, Infinity);

export const accepts = (automaton: Automaton, text: string): boolean => automaton.test(codePoints(text));

const codePoints = (text: string): number[] => Array.from(text, (char) => char.codePointAt(0)!);

/** One state: whether a string may end in it, and where the next character leads. Edges of one state never overlap. */
interface State {
  accepting: boolean;
  edges: { on: CharSet; to: number }[];
}

/** The states in the order in which they are found from the start, by their smallest characters: equal languages have equal lists. */
export function statesOf(automaton: Automaton): State[] {
  const order = [automaton.initial];
  const numbers = new Map([[automaton.initial, 0]]);
  const states: State[] = [];
  for (const node of order) {
    const sets = new Map<number, CharSet>();
    for (const [range, to] of node.out) {
      let number = numbers.get(to);
      if (number === undefined) {
        number = order.push(to) - 1;
        numbers.set(to, number);
      }
      sets.set(number, (sets.get(number) ?? CharSet.empty(alphabet)).union([range]));
    }
    const edges = [...sets].map(([to, on]) => ({ on, to }));
    states.push({ accepting: automaton.finals.has(node), edges });
  }
  return states;
}
