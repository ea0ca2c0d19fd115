// Makes automata small: states from which no string is accepted go, states that behave alike become one.
import type { Automaton } from "./automaton.ts";
import type { Charset } from "./charset.ts";

/** Edges to the same state become one. */
export function joined(edges: { on: Charset; to: number }[]): { on: Charset; to: number }[] {
  const byTarget = new Map<number, [number, number][]>();
  for (const { on, to } of edges)
    byTarget.set(to, [...(byTarget.get(to) ?? []), ...on.map(([l, h]) => [l, h] as [number, number])]);
  return [...byTarget].map(([to, ranges]) => {
    const on: [number, number][] = [];
    for (const [low, high] of ranges.toSorted((a, b) => a[0] - b[0])) {
      const last = on.at(-1);
      if (last && last[1] + 1 === low) last[1] = high;
      else on.push([low, high]);
    }
    return { on, to };
  });
}

/** Moore's refinement takes rounds in proportion to the longest chain: larger automata are joined in one pass instead. */
const smallStates = 100;

/** Drops states that cannot reach an accepting one and joins states that behave alike. */
export function minimal({ edges, accepting }: Automaton): Automaton {
  const sources: number[][] = edges.map(() => []);
  for (const [from, list] of edges.entries()) for (const { to } of list) sources[to]!.push(from);
  const alive = new Set([...accepting.keys()].filter((state) => accepting[state]));
  for (const state of alive) for (const from of sources[state]!) alive.add(from);
  if (!alive.has(0)) return { edges: [], accepting: [] };
  const live = edges.map((list, state) => (alive.has(state) ? list.filter(({ to }) => alive.has(to)) : []));
  const group = alive.size <= smallStates ? refined(live, accepting) : registered(live, accepting);
  // Renumber by discovery from the start, so that state 0 is the start again and equal languages get equal automata.
  const order = [0];
  const numberOf = new Map([[group[0]!, 0]]);
  const result: { on: Charset; to: number }[][] = [];
  for (const state of order) {
    const moves = joined(live[state]!.map(({ on, to }) => ({ on, to: group[to]! }))).toSorted(
      (a, b) => a.on[0]![0] - b.on[0]![0],
    );
    for (const move of moves) {
      if (numberOf.has(move.to)) continue;
      numberOf.set(move.to, order.length);
      order.push(group.indexOf(move.to));
    }
    result.push(moves.map(({ on, to }) => ({ on, to: numberOf.get(to)! })));
  }
  return { edges: result, accepting: order.map((state) => accepting[state]!) };
}

type Edges = readonly (readonly { on: Charset; to: number }[])[];

/** What a state does, in words of the groups its edges lead to. */
const behaviour = (accepts: boolean, moves: Edges[number], group: (state: number) => number): string =>
  `${accepts}|${joined(moves.map(({ on, to }) => ({ on, to: group(to) })))
    .map(({ on, to }) => `${on.join()}>${to}`)
    .toSorted()
    .join(";")}`;

/** Groups of equal states, the coarsest there are. */
function refined(edges: Edges, accepting: readonly boolean[]): number[] {
  let group = accepting.map(Number);
  for (let groups = new Set(group).size; ;) {
    const keys = new Map<string, number>();
    group = group.map((own, state) => {
      const key = `${own}|${behaviour(accepting[state]!, edges[state]!, (to) => group[to]!)}`;
      return keys.get(key) ?? (keys.set(key, keys.size), keys.size - 1);
    });
    if (keys.size === groups) return group;
    groups = keys.size;
  }
}

/** Groups of equal states, found from the ends backwards: all there are where nothing loops. */
function registered(edges: Edges, accepting: readonly boolean[]): number[] {
  const group = edges.map((_, state) => state);
  const known = new Map<string, number>();
  const seen = new Set<number>();
  const visit = (state: number): void => {
    seen.add(state);
    for (const { to } of edges[state]!) if (!seen.has(to)) visit(to);
    const key = behaviour(accepting[state]!, edges[state]!, (to) => group[to]!);
    group[state] = known.get(key) ?? (known.set(key, state), state);
  };
  visit(0);
  return group;
}
