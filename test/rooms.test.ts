// The rules of the house, checked: rooms import what src/rooms.ts allows and point down, no imports form a circle, each room says what
// it owns, every export has an importer, the network has one door, and nothing of a particular machine is in the repository.
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, extname, join, relative, resolve, sep } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { rooms as house } from "../src/rooms.ts";

const root = fileURLToPath(new URL("..", import.meta.url));
const src = join(root, "src");

/** Files that may use the network without the egress, each with the reason. */
const networkClients = new Map([
  ["egress/egress.ts", "the door"],
  ["engines/vllm/sockets.ts", "KV events: ZeroMQ opens its own sockets, at addresses judged as the door's are"],
  ["cli/client.ts", "the command line is a client of its own instance"],
  ["cli/probe.ts", "it measures the engine whose address it is given, from outside"],
  ["agents/restate/client.ts", "Restate is a part of the house, like Postgres"],
]);
const networkPatterns = [
  /from "undici"/,
  /from "node:https"/,
  /from "node:tls"/,
  /(?<![.#\w])fetch\(/,
  /\bhttp2?\.(?:request|get|connect)\(/,
  /import \{[^}]*\b(?:request|connect)\b[^}]*\} from "node:(?:http|http2|net)"/,
  /import\("zeromq"\)|(?<!type .*) from "zeromq"/,
  /new WebSocket\(/,
  /new EventSource\(/,
];

const ignored = new Set(["node_modules", "dist", ".git", "coverage", "out", ".lineshaft"]);

function filesBelow(folder: string): string[] {
  return readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    if (ignored.has(entry.name)) return [];
    const path = join(folder, entry.name);
    return entry.isDirectory() ? filesBelow(path) : entry.isFile() ? [path] : [];
  });
}

const isCode = (path: string) => [".ts", ".tsx", ".mjs", ".js"].includes(extname(path));
const isTest = (path: string) => /\.test\.tsx?$|[/\\]testing(?:[/\\]|\.ts$)/.test(path);
const sources = filesBelow(src).filter((path) => isCode(path) && dirname(path) !== src);
const rooms = readdirSync(src, { withFileTypes: true })
  .filter((entry) => entry.isDirectory())
  .map((entry) => entry.name);
const roomOf = (path: string) => relative(src, path).split(sep)[0]!;

/** Files of src/ that a file imports, types included. */
function importsOf(path: string): string[] {
  const text = withoutComments(readFileSync(path, "utf8"));
  return [...text.matchAll(/(?:from|import)\s*\(?\s*"(\.{1,2}\/[^"]+)"/g)]
    .map((match) => resolve(dirname(path), match[1]!))
    .filter((target) => target.startsWith(src + sep));
}

test("every room is in the table, every line of the table is a room, and none is empty", () => {
  expect(rooms.toSorted()).toEqual(Object.keys(house).toSorted());
  expect(rooms.filter((room) => !sources.some((path) => roomOf(path) === room))).toEqual([]);
});

test.each(rooms)("%s says what it owns and keeps, in under 60 lines", (room) => {
  const path = join(src, room, "README.md");
  expect(existsSync(path)).toBe(true);
  const text = readFileSync(path, "utf8");
  expect(text.split("\n").length).toBeLessThanOrEqual(61);
  for (const words of [/own/i, /invariant/i]) expect(text).toMatch(words);
  // What a room may import stands in src/rooms.ts and nowhere else.
  expect(text).not.toMatch(/may import/i);
});

test("the table points down", () => {
  const order = Object.keys(house);
  const up = Object.entries(house).flatMap(([room, { imports }]) =>
    imports.filter((other) => order.indexOf(other) <= order.indexOf(room)).map((other) => `${room} -> ${other}`),
  );
  expect(up).toEqual([]);
});

test("rooms import what the table allows, and the table allows nothing that is not imported", () => {
  const used = new Set<string>();
  const wrong = sources.flatMap((path) =>
    importsOf(path).flatMap((target) => {
      const [from, to] = [roomOf(path), roomOf(target)];
      if (from === to || to === "rooms.ts") return [];
      if (!isTest(path)) used.add(`${from} -> ${to}`);
      // A room's tests may drive it from above, for example over HTTP.
      if (house[from]!.imports.includes(to) || isTest(path)) return [];
      return [`${relative(root, path)} imports ${relative(root, target)}`];
    }),
  );
  expect(wrong).toEqual([]);
  const allowed = Object.entries(house).flatMap(([room, { imports }]) => imports.map((other) => `${room} -> ${other}`));
  // Every room may throw a failure, the pure ones included.
  expect(allowed.filter((edge) => !used.has(edge) && !edge.endsWith(" -> errors"))).toEqual([]);
});

test("no imports form a circle", () => {
  const graph = new Map(sources.filter((path) => !isTest(path)).map((path) => [path, importsOf(path)]));
  const circles = circlesIn(graph).map((circle) => circle.map((path) => relative(src, path)).join(", "));
  expect(circles).toEqual([]);
});

/** Sets of files that reach each other (Tarjan's strongly connected components of more than one file). */
function circlesIn(graph: Map<string, string[]>): string[][] {
  const index = new Map<string, number>();
  const low = new Map<string, number>();
  const stack: string[] = [];
  const circles: string[][] = [];
  const visit = (file: string): void => {
    index.set(file, index.size);
    low.set(file, index.get(file)!);
    stack.push(file);
    for (const next of graph.get(file) ?? []) {
      if (!graph.has(next)) continue;
      if (!index.has(next)) visit(next);
      if (stack.includes(next)) low.set(file, Math.min(low.get(file)!, low.get(next)!));
    }
    if (low.get(file) !== index.get(file)) return;
    const circle = stack.splice(stack.indexOf(file));
    if (circle.length > 1) circles.push(circle.toSorted());
  };
  for (const file of graph.keys()) if (!index.has(file)) visit(file);
  return circles;
}

test("the scheduler does no input or output and has no clock and no chance of its own", () => {
  const impure =
    /from "node:(?!crypto|util|assert)|Math\.random\(|Date\.now\(|new Date\(\)|performance\.now\(|setTimeout\(|setInterval\(/;
  const wrong = sources
    .filter((path) => roomOf(path) === "scheduler" && !isTest(path))
    .filter((path) => impure.test(withoutComments(readFileSync(path, "utf8"))));
  expect(wrong.map((path) => relative(root, path))).toEqual([]);
});

test("the network has one door", () => {
  const wrong = sources
    // The console runs in a browser, whose only way to the instance is its own fetch.
    .filter((path) => roomOf(path) !== "console" && !isTest(path))
    .filter((path) => !networkClients.has(relative(src, path).split(sep).join("/")))
    .filter((path) => {
      const text = withoutComments(readFileSync(path, "utf8"));
      return networkPatterns.some((pattern) => pattern.test(text));
    });
  expect(wrong.map((path) => relative(root, path))).toEqual([]);
});

/** Rooms in which a role may be compared: the one that decides, the one that names roles, and the two that show what an owner sees. */
const roleRooms = new Set(["governance", "contract", "console", "cli"]);
const roleChecks = [
  /\brole\b[^\n"'`]{0,20}[!=]==?\s*["'`](?:owner|member)\b/,
  /["'`](?:owner|member)["'`]\s*[!=]==?[^\n]{0,40}\brole\b/,
  /\brole\s*(?:=|<>|!=)\s*'(?:owner|member)'/,
  /\bcase "(?:owner|member)"/,
];

test("only governance decides by a role", () => {
  const wrong = sources
    .filter((path) => !roleRooms.has(roomOf(path)) && !isTest(path))
    .filter((path) => {
      const text = withoutComments(readFileSync(path, "utf8"));
      return roleChecks.some((pattern) => pattern.test(text));
    });
  expect(wrong.map((path) => relative(root, path))).toEqual([]);
});

test("only governance makes principals, and the instance its first key", () => {
  const wrong = sources
    .filter((path) => !roleRooms.has(roomOf(path)) && roomOf(path) !== "instance" && !isTest(path))
    .filter((path) => /\brole: "(?:owner|member)"/.test(withoutComments(readFileSync(path, "utf8"))));
  expect(wrong.map((path) => relative(root, path))).toEqual([]);
});

test("every file of code begins by saying what it is for", () => {
  const silent = sources
    .filter((path) => !path.endsWith(`${sep}index.ts`) && !path.endsWith(".d.ts") && !isTest(path))
    .filter((path) => !/^(?:#!.*\n)?(?:\/\/|\/\*)/.test(readFileSync(path, "utf8")));
  expect(silent.map((path) => relative(root, path))).toEqual([]);
});

/** Code that people write. What tools generate or download lies elsewhere. */
const written = ["src", "test", "bench", "scripts"].flatMap((folder) => filesBelow(join(root, folder))).filter(isCode);

test("file names are camelCase; words after a dot say what kind of file it is", () => {
  const wrong = written
    .map((path) => relative(root, path).split(sep).join("/"))
    .filter((path) => !/(?:^|\/)[a-z][A-Za-z0-9]*(?:\.[a-z]+)+$/.test(path));
  expect(wrong).toEqual([]);
});

test("object literals are written out: none is spread only to keep properties on a line", () => {
  const pending = /^src\/console\//;
  const wrong = written.filter((path) => withoutComments(readFileSync(path, "utf8")).includes("...".concat("{")));
  expect(wrong.map((path) => relative(root, path)).filter((path) => !pending.test(path))).toEqual([]);
});

/** Exports of rooms that no file imports, each with the reason why it stays. Empty is best. */
const exportsWithoutImporter = new Map<string, string>([]);

/** Names that files import, by file; `*` where a whole module is imported, or a part of it at run time. */
function importedNames(paths: readonly string[]): Map<string, Map<string, string[]>> {
  const imported = new Map<string, Map<string, string[]>>();
  const add = (importer: string, target: string, name: string): void => {
    const path = resolve(dirname(importer), target);
    const names = imported.get(path) ?? new Map<string, string[]>();
    imported.set(path, names.set(name, [...(names.get(name) ?? []), importer]));
  };
  for (const path of paths) {
    const text = withoutComments(readFileSync(path, "utf8"));
    for (const match of text.matchAll(
      /(?:import|export)\s+(?:type\s+)?(?:\w+\s*,\s*)?\{([^}]*)\}\s*from\s*"(\.[^"]+)"/g,
    )) {
      for (const name of namesIn(match[1]!, 0)) add(path, match[2]!, name);
    }
    for (const match of text.matchAll(/(?:\*(?:\s+as\s+\w+)?\s+from|import\s*\(|import\s+\w+\s+from)\s*"(\.[^"]+)"/g))
      add(path, match[1]!, "*");
  }
  return imported;
}

/** Names in the braces of an import or export: the original ones (0), or those after `as` (-1). */
const namesIn = (braces: string, which: 0 | -1): string[] =>
  braces
    .split(",")
    .map((name) => name.trim().replace(/^type\s+/, ""))
    .filter((name) => name !== "")
    .map((name) => name.split(/\s+as\s+/).at(which)!);

/** Names that a file exports, re-exports included. */
function exportedNames(path: string): string[] {
  const text = withoutComments(readFileSync(path, "utf8"));
  const declared =
    /^export (?:declare )?(?:async )?(?:abstract )?(?:const|let|class|interface|type|enum|function\*?) (\w+)/gm;
  return [
    ...[...text.matchAll(declared)].map((match) => match[1]!),
    ...[...text.matchAll(/^export\s+(?:type\s+)?\{([^}]*)\}/gm)].flatMap((match) => namesIn(match[1]!, -1)),
  ];
}

test("what a room exports is documented", () => {
  const silent = sources
    .filter((path) => path.endsWith(`${sep}index.ts`) && dirname(dirname(path)) === src)
    .flatMap((index) =>
      [...readFileSync(index, "utf8").matchAll(/export \{([^}]*)\} from "([^"]+)"/g)].flatMap(([, names, from]) => {
        const file = resolve(dirname(index), from!);
        const text = readFileSync(file, "utf8");
        return names!
          .split(",")
          .map((name) => name.trim().split(" as ")[0]!)
          .filter((name) => name !== "" && !name.startsWith("type "))
          .filter(
            (name) =>
              !new RegExp(
                `\\*/\\s*\\n(?:export )?(?:async )?(?:function\\*?|class|const|abstract class) ${name}\\b`,
              ).test(text),
          )
          .map((name) => `${relative(src, file)}: ${name}`);
      }),
    );
  expect(silent).toEqual([]);
});

test("every export has an importer, and an index.ts exports only what other rooms or tests import", () => {
  const others = ["bin", "examples"].flatMap((folder) => filesBelow(join(root, folder)));
  const imported = importedNames([...written, ...others.filter((path) => isCode(path) || extname(path) === "")]);
  const unused = sources
    .filter((path) => !path.endsWith(".d.ts"))
    .flatMap((path) => {
      const names = imported.get(path);
      const isIndex = relative(src, path) === join(roomOf(path), "index.ts");
      const counts = (importer: string): boolean =>
        !isIndex || isTest(importer) || !importer.startsWith(join(src, roomOf(path)) + sep);
      const isImported = (name: string): boolean =>
        [...(names?.get(name) ?? []), ...(names?.get("*") ?? [])].some(counts);
      return exportedNames(path)
        .filter((name) => !isImported(name))
        .map((name) => `${relative(root, path).split(sep).join("/")}: ${name}`);
    });
  expect(unused.filter((name) => !exportsWithoutImporter.has(name))).toEqual([]);
  expect([...exportsWithoutImporter.keys()].filter((name) => !unused.includes(name))).toEqual([]);
});

test("nothing of one machine, no registry's address and nothing unfinished is in the repository", () => {
  // Put together from parts, so that this file does not hold what it looks for.
  const forbidden = [
    ["registry", "npmjs", "org"].join("\\."),
    ["pypi", "org"].join("\\."),
    ["files", "pythonhosted", "org"].join("\\."),
    ["(?<![\\w.])/", "(?:root|work|Users|home/[a-z]+)/"].join(""),
    ["\\b(?:TO", "DO|FIX", "ME)\\b"].join(""),
    ["\\b(?:test|it|describe)\\.(?:on", "ly|sk", "ip)\\("].join(""),
  ].map((source) => new RegExp(source));
  const text = new Set([
    ".ts",
    ".tsx",
    ".mjs",
    ".js",
    ".json",
    ".md",
    ".yaml",
    ".yml",
    ".sql",
    ".sh",
    ".css",
    ".html",
    "",
  ]);
  const wrong = filesBelow(root)
    .filter((path) => text.has(extname(path)))
    .flatMap((path) => {
      const content = readFileSync(path, "utf8");
      return forbidden.flatMap((pattern) => {
        const match = pattern.exec(content);
        return match ? [`${relative(root, path)}: ${match[0]}`] : [];
      });
    });
  expect(wrong).toEqual([]);
});

function withoutComments(text: string): string {
  return text.replaceAll(/\/\*[\s\S]*?\*\//g, "").replaceAll(/(^|\s)\/\/.*$/gm, "$1");
}
