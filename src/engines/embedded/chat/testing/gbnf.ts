// A reader of GBNF grammars for tests: `matches` says whether a grammar accepts a text, `derive` writes a random text that it
// accepts. With both, "all that the grammar lets through is valid" and "what is valid gets through" are tested without a model.

type Item =
  | { kind: "text"; chars: number[] }
  | { kind: "class"; ranges: [number, number][] }
  | { kind: "rule"; name: string }
  | { kind: "choice"; options: Item[] }
  | { kind: "row"; items: Item[] }
  | { kind: "repeat"; item: Item; min: number; max: number };

interface Grammar {
  rules: ReadonlyMap<string, Item>;
}

export function readGrammar(gbnf: string): Grammar {
  const rules = new Map<string, Item>();
  for (const line of gbnf.split("\n")) {
    const found = /^([a-zA-Z][a-zA-Z0-9-]*) ::= (.*)$/s.exec(line);
    if (!found) {
      if (line !== "") throw new Error(`not a rule: ${line}`);
      continue;
    }
    if (rules.has(found[1]!)) throw new Error(`rule ${found[1]} twice`);
    rules.set(found[1]!, new RuleReader(found[2]!).read());
  }
  const check = (item: Item): void => {
    if (item.kind === "rule" && !rules.has(item.name)) throw new Error(`no rule ${item.name}`);
    for (const part of parts(item)) check(part);
  };
  for (const item of rules.values()) check(item);
  return { rules };
}

const parts = (item: Item): Item[] =>
  item.kind === "choice" ? item.options : item.kind === "row" ? item.items : item.kind === "repeat" ? [item.item] : [];

class RuleReader {
  private readonly source: string;
  private at = 0;

  constructor(source: string) {
    this.source = source;
  }

  read(): Item {
    const item = this.choice();
    if (this.at < this.source.length) throw new Error(`left over: ${this.source.slice(this.at)}`);
    return item;
  }

  private choice(): Item {
    const options = [this.row()];
    while (this.source[this.at] === "|") {
      this.at++;
      options.push(this.row());
    }
    return options.length === 1 ? options[0]! : { kind: "choice", options };
  }

  private row(): Item {
    const items: Item[] = [];
    for (;;) {
      while (this.source[this.at] === " ") this.at++;
      const char = this.source[this.at];
      if (char === undefined || char === "|" || char === ")") break;
      items.push(this.repeated(this.atom(char)));
    }
    if (items.length === 0) throw new Error(`empty alternative in ${this.source}`);
    return items.length === 1 ? items[0]! : { kind: "row", items };
  }

  private atom(char: string): Item {
    if (char === "(") {
      this.at++;
      const inside = this.choice();
      if (this.source[this.at++] !== ")") throw new Error(`unclosed group in ${this.source}`);
      return inside;
    }
    if (char === '"') {
      this.at++;
      const chars: number[] = [];
      while (this.source[this.at] !== '"') chars.push(this.char());
      this.at++;
      return { kind: "text", chars };
    }
    if (char === "[") return this.charClass();
    const name = /^[a-zA-Z][a-zA-Z0-9-]*/.exec(this.source.slice(this.at))?.[0];
    if (!name) throw new Error(`unexpected ${this.source.slice(this.at)}`);
    this.at += name.length;
    return { kind: "rule", name };
  }

  private charClass(): Item {
    this.at++;
    const negated = this.source[this.at] === "^";
    if (negated) this.at++;
    const ranges: [number, number][] = [];
    while (this.source[this.at] !== "]") {
      const low = this.char();
      const isRange = this.source[this.at] === "-" && this.source[this.at + 1] !== "]";
      if (isRange) this.at++;
      ranges.push([low, isRange ? this.char() : low]);
    }
    this.at++;
    if (!negated) return { kind: "class", ranges };
    const inverse: [number, number][] = [];
    let next = 0;
    for (const [low, high] of ranges.toSorted((a, b) => a[0] - b[0])) {
      if (low > next) inverse.push([next, low - 1]);
      next = Math.max(next, high + 1);
    }
    inverse.push([next, 0xd7ff], [0xe000, 0x10ffff]);
    return { kind: "class", ranges: inverse.filter(([low, high]) => low <= high) };
  }

  private char(): number {
    const code = this.source.codePointAt(this.at)!;
    this.at += code > 0xffff ? 2 : 1;
    if (code !== 0x5c) return code;
    const kind = this.source[this.at++]!;
    const digits = { x: 2, u: 4, U: 8 }[kind];
    if (digits) {
      this.at += digits;
      return Number.parseInt(this.source.slice(this.at - digits, this.at), 16);
    }
    return { n: 10, r: 13, t: 9 }[kind] ?? kind.codePointAt(0)!;
  }

  private repeated(item: Item): Item {
    const found = /^(?:[*+?]|\{(\d+)(,(\d+)?)?\})/.exec(this.source.slice(this.at));
    if (!found) return item;
    this.at += found[0].length;
    if (found[0] === "*") return { kind: "repeat", item, min: 0, max: Infinity };
    if (found[0] === "+") return { kind: "repeat", item, min: 1, max: Infinity };
    if (found[0] === "?") return { kind: "repeat", item, min: 0, max: 1 };
    const min = Number(found[1]);
    return {
      kind: "repeat",
      item,
      min,
      max: found[2] === undefined ? min : found[3] === undefined ? Infinity : Number(found[3]),
    };
  }
}

/** Whether the whole text can be derived from `root`. */
export function matches({ rules }: Grammar, text: string): boolean {
  const chars = Array.from(text, (char) => char.codePointAt(0)!);
  const known = new Map<string, Set<number>>();
  const ends = (item: Item, from: number): Set<number> => {
    switch (item.kind) {
      case "text":
        return new Set(
          item.chars.every((char, index) => chars[from + index] === char) ? [from + item.chars.length] : [],
        );
      case "class": {
        const char = chars[from];
        return new Set(
          char !== undefined && item.ranges.some(([low, high]) => low <= char && char <= high) ? [from + 1] : [],
        );
      }
      case "rule": {
        const key = `${item.name}@${from}`;
        let result = known.get(key);
        if (!result) known.set(key, (result = ends(rules.get(item.name)!, from)));
        return result;
      }
      case "choice":
        return new Set(item.options.flatMap((option) => [...ends(option, from)]));
      case "row":
        return item.items.reduce(
          (reached, part) => new Set([...reached].flatMap((at) => [...ends(part, at)])),
          new Set([from]),
        );
      case "repeat": {
        let reached = new Set([from]);
        const result = new Set(item.min === 0 ? [from] : []);
        for (let count = 1; count <= item.max && reached.size > 0; count++) {
          reached = new Set([...reached].flatMap((at) => [...ends(item.item, at)]));
          if (count < item.min) continue;
          const before = result.size;
          for (const at of reached) result.add(at);
          if (result.size === before) break;
        }
        return result;
      }
    }
  };
  return ends(rules.get("root")!, 0).has(chars.length);
}

/**
 * A random text of the grammar. `random` gives numbers in [0, 1); beyond `budget` rules deep, or `work` rules in all, the shortest way out
 * is taken.
 */
export function derive({ rules }: Grammar, random: () => number, budget = 40, work = 2000): string {
  const heights = heightsOf(rules);
  const pick = <T>(list: readonly T[]): T => list[Math.floor(random() * list.length)]!;
  let spent = 0;
  const write = (item: Item, level: number): string => {
    const depth = spent > work ? budget + level + 1 : level;
    switch (item.kind) {
      case "text":
        return String.fromCodePoint(...item.chars);
      case "class": {
        const [low, high] = pick(item.ranges);
        const near = random() < 0.7 ? Math.min(high, Math.max(low, 0x7e)) : high;
        return String.fromCodePoint(low + Math.floor(random() * (near - low + 1)));
      }
      case "rule":
        spent++;
        return write(rules.get(item.name)!, level + 1);
      case "choice": {
        if (depth <= budget) return write(pick(item.options), level);
        const lowest = Math.min(...item.options.map((option) => heightOf(option, heights)));
        return write(
          item.options.find((option) => heightOf(option, heights) === lowest)!,
          depth,
        );
      }
      case "row":
        return item.items.map((part) => write(part, level)).join("");
      case "repeat": {
        const most = Math.min(item.max, item.min + (random() < 0.9 ? 3 : 40));
        const times = depth > budget ? item.min : item.min + Math.floor(random() * (most - item.min + 1));
        return Array.from({ length: times }, () => write(item.item, level)).join("");
      }
    }
  };
  return write(rules.get("root")!, 0);
}

/** How many rules deep the shallowest derivation goes. */
function heightsOf(rules: ReadonlyMap<string, Item>): Map<string, number> {
  const heights = new Map([...rules.keys()].map((name) => [name, Infinity]));
  for (let changed = true; changed;) {
    changed = false;
    for (const [name, item] of rules) {
      const height = 1 + heightOf(item, heights);
      if (height < heights.get(name)!) {
        heights.set(name, height);
        changed = true;
      }
    }
  }
  return heights;
}

function heightOf(item: Item, heights: ReadonlyMap<string, number>): number {
  switch (item.kind) {
    case "rule":
      return heights.get(item.name)!;
    case "choice":
      return Math.min(...item.options.map((option) => heightOf(option, heights)));
    case "row":
      return Math.max(0, ...item.items.map((part) => heightOf(part, heights)));
    case "repeat":
      return item.min === 0 ? 0 : heightOf(item.item, heights);
    default:
      return 0;
  }
}

/** Numbers in [0, 1) from a seed (mulberry32). */
export function seeded(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
