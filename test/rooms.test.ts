// The rules of the house (DESIGN section 2), checked: arrows between rooms point down, each room says what it owns, the network has
// one door, and nothing of a particular machine is in the repository.
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, extname, join, relative, resolve, sep } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";

const root = fileURLToPath(new URL("..", import.meta.url));
const src = join(root, "src");

/** Top storey first: a room may import the rooms after it. */
const order = [
  ...["cli", "console", "agents", "gateway", "governance", "ledger", "models", "engines", "fleet"],
  ...["simulator", "scheduler", "telemetry", "store", "bounded"],
];
/** Nothing imports these: what people look at is on top of everything. */
const tops = new Set(["cli", "console"]);

/** Who may speak to the network, and why it is not the egress. */
const networkClients = new Map([
  ["engines/egress.ts", "the door"],
  ["engines/vllm/sockets.ts", "KV events: ZeroMQ opens its own sockets, at addresses judged as the door's are"],
  ["cli/client.ts", "the command line is a client of its own instance"],
  ["cli/probe.ts", "it measures the engine whose address it is given, from outside"],
  ["agents/restate/client.ts", "Restate is a part of the house, like Postgres"],
  ["gateway/api/docs.ts", "a page whose script runs in the reader's browser"],
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
const sources = filesBelow(src).filter(isCode);
const rooms = readdirSync(src, { withFileTypes: true })
  .filter((entry) => entry.isDirectory())
  .map((entry) => entry.name);
const roomOf = (path: string) => relative(src, path).split(sep)[0]!;

/** Rooms that a file imports from, with the line that does it. */
function importsOf(path: string): { room: string; from: string }[] {
  const text = readFileSync(path, "utf8");
  return [...text.matchAll(/(?:from|import)\s*\(?\s*"(\.{1,2}\/[^"]+)"/g)].flatMap((match) => {
    const target = resolve(dirname(path), match[1]!);
    return target.startsWith(src + sep) ? [{ room: roomOf(target), from: match[1]! }] : [];
  });
}

test("every room is known to the order, and none is empty", () => {
  expect(rooms.filter((room) => !order.includes(room))).toEqual([]);
  expect(rooms.filter((room) => !sources.some((path) => roomOf(path) === room))).toEqual([]);
});

test.each(rooms)("%s says what it owns, keeps and may import, in under 60 lines", (room) => {
  const path = join(src, room, "README.md");
  expect(existsSync(path)).toBe(true);
  const text = readFileSync(path, "utf8");
  expect(text.split("\n").length).toBeLessThanOrEqual(61);
  for (const words of [/own/i, /invariant/i, /import/i]) expect(text).toMatch(words);
});

test("imports between rooms point down", () => {
  const wrong = sources.flatMap((path) =>
    importsOf(path)
      .filter(({ room }) => room !== roomOf(path))
      .filter(({ room }) => tops.has(room) || order.indexOf(room) < order.indexOf(roomOf(path)))
      .map(({ from }) => `${relative(root, path)} imports ${from}`),
  );
  expect(wrong).toEqual([]);
});

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

test("every file of code begins by saying what it is for", () => {
  const silent = sources
    .filter((path) => !path.endsWith(`${sep}index.ts`) && !path.endsWith(".d.ts") && !isTest(path))
    .filter((path) => !/^(?:#!.*\n)?(?:\/\/|\/\*)/.test(readFileSync(path, "utf8")));
  expect(silent.map((path) => relative(root, path))).toEqual([]);
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
