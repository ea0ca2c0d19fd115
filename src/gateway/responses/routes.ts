// Requests for stored responses, in OpenAI's shapes. What belongs to another project is answered as what is not there.
import type { Question, Questioned, Reply } from "../protocols/types.ts";
import { invalidAt, invalidValue } from "../refusals.ts";
import { pageAsked, pageShown, shown } from "./pages.ts";
import { responseNotFound } from "./state.ts";

type Json = Record<string, unknown>;
type Answered = Promise<{ json: Json }>;

const response = "/v1/responses/{response}";

/** Requests that call no model. */
export const responseQuestions: readonly Question[] = [
  { method: "GET", path: response, action: "responses.read", answer: getResponse },
  { method: "DELETE", path: response, action: "responses.remove", answer: removeResponse },
  { method: "POST", path: `${response}/cancel`, action: "responses.remove", answer: cancelResponse },
  { method: "GET", path: `${response}/input_items`, action: "responses.read", answer: listInput },
];

async function getResponse(asked: Questioned): Promise<Reply> {
  const { stored, principal, names, query, count } = asked;
  const id = names["response"]!;
  if (query.get("stream") === "true") return replayResponse(asked);
  const found = await stored.store.get(principal.project, id, count);
  if (!found) throw responseNotFound(id);
  const output = (found["output"] as Json[]).map((item) => shown(item, query));
  return { json: { ...found, output } };
}

/** The events of a background response, from a number on. */
async function replayResponse({ stored, principal, names, query, signal }: Questioned): Promise<Reply> {
  const id = names["response"]!;
  const after = Number(query.get("starting_after") ?? -1);
  if (!Number.isSafeInteger(after) || after < -1) throw invalidAt("starting_after", "must be the number of an event.");
  const events = await stored.background.events(principal.project, id, Math.min(after, 2 ** 31 - 2), signal);
  if (!events) throw responseNotFound(id);
  return { events };
}

async function removeResponse({ stored, principal, names }: Questioned): Answered {
  const id = names["response"]!;
  if (!(await stored.store.remove(principal.project, id))) throw responseNotFound(id);
  return { json: { id, object: "response.deleted", deleted: true } };
}

async function cancelResponse({ stored, principal, names, count }: Questioned): Answered {
  const id = names["response"]!;
  const { project } = principal;
  const isCancelled = await stored.background.cancel(project, id);
  const found = await stored.store.get(project, id, count);
  if (!found) throw responseNotFound(id);
  if (!isCancelled && found["status"] !== "cancelled")
    throw invalidValue("response_id", "Only a background response that runs can be cancelled, and this one has ended.");
  return { json: found };
}

async function listInput({ stored, principal, names, query, count }: Questioned): Answered {
  const id = names["response"]!;
  const page = await stored.store.input(principal.project, id, pageAsked(query), count);
  if (!page) throw responseNotFound(id);
  return { json: pageShown(page, query) };
}
