// Which protocol a request speaks, by its method and path: the only list of protocols.
import type { IncomingHttpHeaders } from "node:http";
import type { Action } from "../../governance/index.ts";
import { chat } from "./chat/index.ts";
import { completions } from "./completions/index.ts";
import { embeddings } from "./embeddings/index.ts";
import { gemini } from "./gemini/index.ts";
import { geminiEmbeddings } from "./geminiEmbeddings/index.ts";
import { messages } from "./messages/index.ts";
import { rerank } from "./rerank/index.ts";
import { responses } from "./responses/index.ts";
import type { CallRoute, NotOffered, Protocol, Question } from "./types.ts";

const protocols: readonly Protocol[] = [
  chat,
  completions,
  responses,
  messages,
  gemini,
  geminiEmbeddings,
  embeddings,
  rerank,
];

/** The protocol whose paths these are, whether they are served or not. OpenAI's and Anthropic's share theirs: a header tells them apart. */
export function protocolOf(path: string, headers: IncomingHttpHeaders): Protocol | undefined {
  const own = protocols.find(({ roots }) => roots?.some((root) => path.startsWith(root)));
  if (own || !path.startsWith("/v1/")) return own;
  return protocols.find(({ saidBy }) => saidBy !== undefined && headers[saidBy] !== undefined) ?? chat;
}

/** Protocols with parts that are not offered. */
const withoutParts = protocols.filter((protocol) => protocol.notOffered !== undefined);

/**
 * A part of a protocol's API that is not offered. OpenAI's API may have the same path: a header says whose client asks. Its request is then
 * refused as its own API would, and is not taken for a request of OpenAI's.
 */
export function notOfferedAt(path: string, headers: IncomingHttpHeaders): NotOffered | undefined {
  for (const { saidBy, roots, notOffered } of withoutParts) {
    if (headers[saidBy!] === undefined && !roots?.some((root) => path.startsWith(root))) continue;
    const part = notOffered!.find((one) => isWithin(path, one.path));
    if (part) return part;
  }
  return undefined;
}

const isWithin = (path: string, folder: string): boolean =>
  path.startsWith(folder) && (path.length === folder.length || path[folder.length] === "/");

/** What a request asks for. `names`: what its path says in place of the route's names in braces, as it stands in the path. */
export type Route =
  | { protocol: Protocol; call: CallRoute; question?: undefined; names: Readonly<Record<string, string>> }
  | { protocol: Protocol; call?: undefined; question: Question; names: Readonly<Record<string, string>> };

type Served = { protocol: Protocol; call: CallRoute } | { protocol: Protocol; call?: undefined; question: Question };

const served: Served[] = protocols.flatMap((protocol): Served[] => [
  ...protocol.calls.map((call) => ({ protocol, call })),
  ...protocol.questions.map((question) => ({ protocol, question })),
]);
const lineOf = (one: Served): { method: string; path: string } => one.call ?? one.question;
const isPattern = (one: Served): boolean => lineOf(one).path.includes("{");

/** Nearly every request is looked up here, by the method and the path as they stand. A path may belong to several protocols. */
const exact = new Map<string, [Route, ...Route[]]>();
for (const one of served.filter((each) => !isPattern(each))) {
  const line = `${lineOf(one).method} ${lineOf(one).path}`;
  const route = { ...one, names: {} } as Route;
  const before = exact.get(line);
  if (before) before.push(route);
  else exact.set(line, [route]);
}
/** Routes whose paths hold names; the longer path first, because a name may stand for any text. */
const patterns = served
  .filter(isPattern)
  .toSorted((a, b) => lineOf(b).path.length - lineOf(a).path.length)
  .map((one) => ({ one, method: lineOf(one).method, matches: expressionOf(lineOf(one).path) }));

/** The methods by which protocols serve this path; none where they do not serve it. */
export function methodsOf(path: string): string[] {
  return ["GET", "POST", "DELETE"].filter((method) => routeOf(method, path) !== undefined);
}

/** Undefined where no protocol serves it. `headers` decide between protocols that serve the same path. */
export function routeOf(method: string, path: string, headers: IncomingHttpHeaders = {}): Route | undefined {
  if (notOfferedAt(path, headers)) return undefined;
  const routes = exact.get(`${method} ${path}`);
  if (routes) return routes.length === 1 ? routes[0] : chosen(routes, headers);
  const matching: Route[] = [];
  for (const { one, method: of, matches } of patterns) {
    if (of !== method) continue;
    const names = matches.exec(path)?.groups;
    if (names) matching.push({ ...one, names } as Route);
  }
  return matching.length < 2 ? matching[0] : chosen(matching, headers);
}

/** Characters and parts of a path that is compared with those that are served. */
const meantBounds = { characters: 300, parts: 12 };

/**
 * `POST /v1/chat/completions`: the request that was probably meant by one that is not served. The usual mistakes of a base address are a
 * `/v1` that is missing or doubled, another path before it, and slashes too many; beside them a wrong method. Undefined where none fits.
 */
export function meantBy(method: string, path: string): string | undefined {
  if (path.length > meantBounds.characters) return undefined;
  const parts = path.split("/").filter((part) => part !== "");
  if (parts.length > meantBounds.parts) return undefined;
  for (let from = 0; from < parts.length; from++) {
    const end = `/${parts.slice(from).join("/")}`;
    for (const candidate of [end, `/v1${end}`])
      for (const one of [method, "POST", "GET", "DELETE"]) if (routeOf(one, candidate)) return `${one} ${candidate}`;
  }
  return undefined;
}

function escaped(text: string): string {
  return text.replaceAll(/[.*+?^$()|[\]\\]/g, String.raw`\$&`);
}

/** The route of the protocol that the headers name; of the others the first. */
const chosen = (routes: readonly Route[], headers: IncomingHttpHeaders): Route | undefined =>
  routes.find(({ protocol: { saidBy } }) => saidBy !== undefined && headers[saidBy] !== undefined) ??
  routes.find(({ protocol: { saidBy } }) => saidBy === undefined) ??
  routes[0];

/** `{model}` takes slashes and colons too, therefore a verb after it is what follows the last colon. */
function expressionOf(path: string): RegExp {
  const [first, ...rest] = path.split("{");
  const named = rest.map((piece) => {
    const [name, after] = piece.split("}") as [string, string];
    return `(?<${name}>${name === "model" ? ".+" : "[^/]+"})${escaped(after)}`;
  });
  return new RegExp(`^${escaped(first!)}${named.join("")}$`);
}

/** `POST /v1/chat/completions, …`: what there is, for a client that asked for something else. */
export const servedRoutes: readonly string[] = [
  ...new Set(served.map((one) => `${lineOf(one).method} ${lineOf(one).path}`)),
];

/**
 * The action of each route by `METHOD /path`, with `:name` for what a path names. Calls are `call.create`, which the pipeline asks for,
 * because calls of agents do not come through a route.
 */
export const routeActions: ReadonlyMap<string, Action> = new Map(
  served.map((one): [string, Action] => [
    `${lineOf(one).method} ${lineOf(one).path.replaceAll(/\{(\w+)\}/g, ":$1")}`,
    one.call ? "call.create" : one.question.action,
  ]),
);
