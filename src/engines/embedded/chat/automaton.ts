// Deterministic automata over code points. Everything a schema says about a string (pattern, format, length, names that
// are taken) becomes one automaton: intersected, stripped of dead ends, written as a right-linear grammar in which the
// model is always in exactly one state. The same automaton checks results in linear time, so that no pattern a caller
// sends can make a backtracking matcher spin.
import { anyChar, charsOf, contains, intersect, subtract, type Charset } from "./charset.ts";
import { joined, minimal } from "./minimal.ts";

/** State 0 is the start. An automaton without states accepts nothing. Edges of one state never overlap. */
export interface Automaton {
  readonly edges: readonly (readonly { on: Charset; to: number }[])[];
  readonly accepting: readonly boolean[];
}

/** A regular expression. `start` and `end` are the anchors `^` and `$`. */
export type Regex =
  | { kind: "set"; set: Charset }
  | { kind: "cat"; items: Regex[] }
  | { kind: "alt"; items: Regex[] }
  | { kind: "repeat"; item: Regex; min: number; max: number }
  | { kind: "start" }
  | { kind: "end" };

export const maxStates = 2000;

/** The language is regular, but its automaton would be larger than `maxStates`. */
export class TooComplex extends Error {}

type Guard = "always" | "start" | "end";

interface Nfa {
  silent: { to: number; guard: Guard }[][];
  edges: { on: Charset; to: number }[][];
}

/** The strings in which the expression matches somewhere, as JSON Schema's `pattern` means it. */
export function automatonOf(regex: Regex): Automaton {
  const nfa: Nfa = { silent: [], edges: [] };
  const any: Regex = { kind: "repeat", item: { kind: "set", set: anyChar }, min: 0, max: Infinity };
  const first = addState(nfa);
  const last = build(nfa, first, { kind: "cat", items: [any, regex, any] });
  return minimal(determinise(nfa, first, last));
}

function addState(nfa: Nfa): number {
  if (nfa.edges.length >= 4 * maxStates) throw new TooComplex("too many states");
  nfa.silent.push([]);
  return nfa.edges.push([]) - 1;
}

/** Adds the expression behind state `from`; returns the state reached after it. */
function build(nfa: Nfa, from: number, regex: Regex): number {
  switch (regex.kind) {
    case "set": {
      const to = addState(nfa);
      nfa.edges[from]!.push({ on: regex.set, to });
      return to;
    }
    case "start":
    case "end": {
      const to = addState(nfa);
      nfa.silent[from]!.push({ to, guard: regex.kind });
      return to;
    }
    case "cat":
      return regex.items.reduce((state, item) => build(nfa, state, item), from);
    case "alt": {
      const to = addState(nfa);
      for (const item of regex.items) {
        const entry = addState(nfa);
        nfa.silent[from]!.push({ to: entry, guard: "always" });
        nfa.silent[build(nfa, entry, item)]!.push({ to, guard: "always" });
      }
      return to;
    }
    case "repeat": {
      let state = from;
      for (let count = 0; count < regex.min; count++) state = build(nfa, state, regex.item);
      if (regex.max === Infinity) {
        const loop = addState(nfa);
        nfa.silent[state]!.push({ to: loop, guard: "always" });
        nfa.silent[build(nfa, loop, regex.item)]!.push({ to: loop, guard: "always" });
        return loop;
      }
      const to = addState(nfa);
      for (let count = regex.min; count < regex.max; count++) {
        nfa.silent[state]!.push({ to, guard: "always" });
        state = build(nfa, state, regex.item);
      }
      nfa.silent[state]!.push({ to, guard: "always" });
      return to;
    }
  }
}

function closure(nfa: Nfa, states: Iterable<number>, open: ReadonlySet<Guard>): number[] {
  const reached = new Set(states);
  for (const state of reached) {
    for (const { to, guard } of nfa.silent[state]!) if (open.has(guard)) reached.add(to);
  }
  return [...reached].toSorted((a, b) => a - b);
}

function determinise(nfa: Nfa, first: number, last: number): Automaton {
  const inside: ReadonlySet<Guard> = new Set<Guard>(["always"]);
  const ids = new Map<string, number>();
  const subsets: number[][] = [];
  const accepting: boolean[] = [];
  const edges: { on: Charset; to: number }[][] = [];
  const idOf = (subset: number[], guards: Guard[]): number => {
    // The start set is kept apart: only there may `^` and, for the empty string, `^$` still hold.
    const key = (guards.length > 0 ? "^" : "") + subset.join();
    let id = ids.get(key);
    if (id === undefined) {
      id = subsets.push(subset) - 1;
      if (id >= maxStates) throw new TooComplex("too many states");
      ids.set(key, id);
      accepting.push(closure(nfa, subset, new Set<Guard>(["always", "end", ...guards])).includes(last));
    }
    return id;
  };
  idOf(closure(nfa, [first], new Set<Guard>(["always", "start"])), ["start"]);
  for (let id = 0; id < subsets.length; id++) {
    const moves = subsets[id]!.flatMap((state) => nfa.edges[state]!);
    edges.push(split(moves).map(({ on, to }) => ({ on, to: idOf(closure(nfa, to, inside), []) })));
  }
  return { edges: edges.map(joined), accepting };
}

/** Cuts overlapping moves into disjoint ones, each with all the states it leads to. */
function split(moves: { on: Charset; to: number }[]): { on: Charset; to: number[] }[] {
  const cuts = [...new Set(moves.flatMap(({ on }) => on.flatMap(([low, high]) => [low, high + 1])))].toSorted(
    (a, b) => a - b,
  );
  const byTargets = new Map<string, { on: [number, number][]; to: number[] }>();
  for (const [index, low] of cuts.slice(0, -1).entries()) {
    const to = [...new Set(moves.filter(({ on }) => contains(on, low)).map((move) => move.to))];
    if (to.length === 0) continue;
    const key = to.join();
    const entry = byTargets.get(key) ?? { on: [], to };
    const high = cuts[index + 1]! - 1;
    const last = entry.on.at(-1);
    if (last && last[1] + 1 === low) last[1] = high;
    else entry.on.push([low, high]);
    byTargets.set(key, entry);
  }
  return [...byTargets.values()];
}

function product(a: Automaton, b: Automaton, keep: "both" | "only-first"): Automaton {
  const dead = b.edges.length;
  const ids = new Map<number, number>();
  const pairs: [number, number][] = [];
  const idOf = (x: number, y: number): number => {
    const key = x * (dead + 1) + y;
    let id = ids.get(key);
    if (id === undefined) {
      if (pairs.length >= maxStates) throw new TooComplex("too many states");
      id = pairs.push([x, y]) - 1;
      ids.set(key, id);
    }
    return id;
  };
  if (a.edges.length === 0) return a;
  idOf(0, dead > 0 ? 0 : dead);
  const edges: { on: Charset; to: number }[][] = [];
  for (const [x, y] of pairs) {
    const moves: { on: Charset; to: number }[] = [];
    for (const first of a.edges[x]!) {
      let rest = first.on;
      for (const second of b.edges[y] ?? []) {
        const on = intersect(first.on, second.on);
        if (on.length === 0) continue;
        moves.push({ on, to: idOf(first.to, second.to) });
        rest = subtract(rest, second.on);
      }
      if (keep === "only-first" && rest.length > 0) moves.push({ on: rest, to: idOf(first.to, dead) });
    }
    edges.push(moves);
  }
  const accepting = pairs.map(([x, y]) => a.accepting[x]! && (b.accepting[y] ?? false) === (keep === "both"));
  return minimal({ edges, accepting });
}

/** Strings that both accept. */
export const both = (a: Automaton, b: Automaton): Automaton => product(a, b, "both");

/** Strings that `a` accepts and `b` does not. */
export const without = (a: Automaton, b: Automaton): Automaton => product(a, b, "only-first");

/** Strings of `min` to `max` code points. */
export function lengthAutomaton(min: number, max: number): Automaton {
  const states = (max === Infinity ? min : max) + 1;
  if (states > maxStates) throw new TooComplex("too long");
  const edges = Array.from({ length: states }, (_, state) => {
    if (state + 1 < states) return [{ on: anyChar, to: state + 1 }];
    return max === Infinity ? [{ on: anyChar, to: state }] : [];
  });
  return { edges, accepting: edges.map((_, state) => state >= min) };
}

/** Exactly these strings. */
export function wordsAutomaton(words: Iterable<string>): Automaton {
  const edges: { on: Charset; to: number }[][] = [[]];
  const accepting = [false];
  for (const word of words) {
    let state = 0;
    for (const char of word) {
      const code = char.codePointAt(0)!;
      let next = edges[state]!.find(({ on }) => on[0]![0] === code)?.to;
      if (next === undefined) {
        next = edges.push([]) - 1;
        accepting.push(false);
        edges[state]!.push({ on: charsOf(char), to: next });
      }
      state = next;
    }
    accepting[state] = true;
  }
  return { edges, accepting };
}

export function accepts(automaton: Automaton, text: string): boolean {
  if (automaton.edges.length === 0) return false;
  let state = 0;
  for (const char of text) {
    const code = char.codePointAt(0)!;
    const move = automaton.edges[state]!.find(({ on }) => contains(on, code));
    if (!move) return false;
    state = move.to;
  }
  return automaton.accepting[state]!;
}
