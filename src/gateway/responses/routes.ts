// Requests for stored responses, in OpenAI's shapes. What belongs to another project is answered as what is not there.
import type { Question, Questioned } from "../protocols/types.ts";
import { invalidValue } from "../refusals.ts";
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

async function getResponse({ stored, principal, names, query, count }: Questioned): Answered {
  const id = names["response"]!;
  if (query.get("stream") === "true")
    throw invalidValue("stream", "`stream` is not accepted here: a stored response is answered whole. Leave it out.");
  const found = await stored.store.get(principal.project, id, count);
  if (!found) throw responseNotFound(id);
  const output = (found["output"] as Json[]).map((item) => shown(item, query));
  return { json: { ...found, output } };
}

async function removeResponse({ stored, principal, names }: Questioned): Answered {
  const id = names["response"]!;
  if (!(await stored.store.remove(principal.project, id))) throw responseNotFound(id);
  return { json: { id, object: "response.deleted", deleted: true } };
}

async function cancelResponse({ stored, principal, names, count }: Questioned): Answered {
  const id = names["response"]!;
  if (!(await stored.store.get(principal.project, id, count))) throw responseNotFound(id);
  throw invalidValue("response_id", "Only a background response can be cancelled, and this one has ended.");
}

async function listInput({ stored, principal, names, query, count }: Questioned): Answered {
  const id = names["response"]!;
  const page = await stored.store.input(principal.project, id, pageAsked(query), count);
  if (!page) throw responseNotFound(id);
  return { json: pageShown(page, query) };
}
