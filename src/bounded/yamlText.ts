// YAML as it is read inside a thread (thread.ts): the value, and the line of every path in it. Duplicate keys are found in linear time
// here, since the library compares each key with each; aliases are refused, since a few of them multiply to any size.
import { isAlias, isMap, isPair, isScalar, isSeq, LineCounter, parseDocument, type Node } from "yaml";
import { limits } from "./limits.ts";

export interface YamlProblem {
  line?: number;
  message: string;
}

/** What was read, as JSON texts: the value, and pairs of `pathKey` and line. Text is copied between threads faster than objects. */
export type YamlRead = { value: string; lines: string } | { problems: YamlProblem[] };

/** Path of a place as the key of `lines`. */
export const pathKey = (path: readonly PropertyKey[]): string => JSON.stringify(path.map(String));

export function readYamlText(text: string): YamlRead {
  const counter = new LineCounter();
  const document = parseDocument(text, { lineCounter: counter, uniqueKeys: false, maxAliasCount: 0 } as object);
  if (document.errors.length > 0)
    return {
      problems: document.errors.slice(0, limits.yamlProblems).map((error) => ({
        ...(error.linePos && { line: error.linePos[0].line }),
        message: error.message.split(" at line ")[0]!,
      })),
    };
  const walk = new Walk(counter);
  try {
    walk.node(document.contents as Node | null, [], 0);
    return walk.problems.length > 0
      ? { problems: walk.problems.slice(0, limits.yamlProblems) }
      : {
          value: JSON.stringify(document.toJS({ maxAliasCount: 0 })) ?? "null",
          lines: JSON.stringify([...walk.lines]),
        };
  } catch (error) {
    return { problems: [{ message: (error as Error).message }] };
  }
}

/** One walk over the document: lines of paths, keys that stand twice, and the bounds of depth and number. */
class Walk {
  readonly lines = new Map<string, number>();
  readonly problems: YamlProblem[] = [];
  readonly #counter: LineCounter;
  #nodes = 0;

  constructor(counter: LineCounter) {
    this.#counter = counter;
  }

  node(node: Node | null, path: string[], depth: number): void {
    if (++this.#nodes > limits.yamlNodes) throw new Error(`has more than ${limits.yamlNodes} keys and values`);
    if (depth > limits.yamlDepth) throw new Error(`is nested more than ${limits.yamlDepth} levels deep`);
    if (!node) return;
    if (isAlias(node)) throw new Error("uses aliases, which are not allowed here: write the value out");
    this.#note(path, node);
    if (isSeq(node)) node.items.forEach((item, index) => this.node(item as Node, [...path, String(index)], depth + 1));
    if (!isMap(node)) return;
    const seen = new Set<string>();
    for (const pair of node.items) {
      if (!isPair(pair) || !isScalar(pair.key)) continue;
      const name = String(pair.key.value);
      const inside = [...path, name];
      if (seen.has(name)) {
        const line = this.#lineOf(pair.key);
        this.problems.push({
          ...(line !== undefined && { line }),
          message: `Map keys must be unique: ${name.slice(0, 100)}`,
        });
      }
      seen.add(name);
      this.node(pair.value as Node | null, inside, depth + 1);
      // The line of a key locates a field better than the line of its value.
      this.#note(inside, pair.key);
    }
  }

  #note(path: string[], node: Node): void {
    const line = this.#lineOf(node);
    if (line !== undefined) this.lines.set(pathKey(path), line);
  }

  #lineOf(node: Node): number | undefined {
    return node.range ? this.#counter.linePos(node.range[0]).line : undefined;
  }
}
