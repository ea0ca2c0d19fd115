// Which protocol a request speaks, by its method and path: the only list of protocols.
import type { Action } from "../../governance/index.ts";
import { chat } from "./chat/index.ts";
import { completions } from "./completions/index.ts";
import type { Protocol, Question } from "./types.ts";

const protocols: readonly Protocol[] = [chat, completions];

/** The protocol whose shape an error has that belongs to none: a path under /v1 that is not served. */
export const usualProtocol: Protocol = chat;

const calls = new Map(protocols.map((protocol) => [`${protocol.calls.method} ${protocol.calls.path}`, protocol]));
const questions = protocols.flatMap((protocol) => protocol.questions.map((question) => ({ protocol, question })));

/** What a request asks for. `name`: what its path names below the question's own. */
export type Route =
  | { protocol: Protocol; question?: undefined }
  | { protocol: Protocol; question: Question; name: string };

/** Undefined where no protocol serves it. */
export function routeOf(method: string, path: string): Route | undefined {
  const protocol = calls.get(`${method} ${path}`);
  if (protocol) return { protocol };
  for (const { protocol, question } of questions) {
    if (question.method !== method) continue;
    if (path === question.path) return { protocol, question, name: "" };
    if (question.path.endsWith("/") && path.startsWith(question.path))
      return { protocol, question, name: path.slice(question.path.length) };
  }
  return undefined;
}

/** `POST /v1/chat/completions, …`: what there is, for a client that asked for something else. */
export const servedRoutes: readonly string[] = [
  ...questions
    .filter(({ question }) => !question.path.endsWith("/"))
    .map(({ question }) => `${question.method} ${question.path}`),
  ...calls.keys(),
];

/**
 * The action of each route by `METHOD /path`, with `:id` for what follows a slash at the end. Calls are `call.create`, which the
 * pipeline asks for, because calls of agents do not come through a route.
 */
export const routeActions: ReadonlyMap<string, Action> = new Map<string, Action>([
  ...[...calls.keys()].map((route): [string, Action] => [route, "call.create"]),
  ...questions.map(({ question: { method, path, action } }): [string, Action] => [
    `${method} ${path.endsWith("/") ? `${path}:id` : path}`,
    action,
  ]),
]);
