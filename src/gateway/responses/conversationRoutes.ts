// Requests for conversations, in OpenAI's shapes. What belongs to another project is answered as what is not there.
import { LineshaftError } from "../../errors/index.ts";
import { newId } from "../../store/index.ts";
import { limits } from "../limits.ts";
import { checkItems, kindOf } from "../protocols/responses/items.ts";
import { labelsOf } from "./labels.ts";
import type { Question, Questioned } from "../protocols/types.ts";
import { invalidAt, invalidValue } from "../refusals.ts";
import type { Conversation } from "./conversations.ts";
import { list, pageAsked, pageShown, shown } from "./pages.ts";
import { conversationNotFound, ownerOf } from "./state.ts";

type Json = Record<string, unknown>;
type Answered = Promise<{ json: Json }>;

const conversation = "/v1/conversations/{conversation}";

export const conversationQuestions: readonly Question[] = [
  { method: "POST", path: "/v1/conversations", action: "responses.read", answer: createConversation },
  { method: "GET", path: conversation, action: "responses.read", answer: getConversation },
  { method: "POST", path: conversation, action: "responses.read", answer: labelConversation },
  { method: "DELETE", path: conversation, action: "responses.remove", answer: removeConversation },
  { method: "GET", path: `${conversation}/items`, action: "responses.read", answer: listItems },
  { method: "POST", path: `${conversation}/items`, action: "responses.read", answer: addItems },
  { method: "GET", path: `${conversation}/items/{item}`, action: "responses.read", answer: getItem },
  { method: "DELETE", path: `${conversation}/items/{item}`, action: "responses.remove", answer: removeItem },
];

async function createConversation({ stored, principal, json }: Questioned): Answered {
  const { metadata, items } = bodyOf(json);
  const labels = labelsOf(metadata);
  const added = itemsOf(items ?? []);
  const owner = ownerOf(principal);
  await stored.storage.makeSure(owner.project);
  const made = await stored.conversations.create(owner, newId("conv"), labels);
  if (added.length > 0) await stored.conversations.add(owner.project, made.id, added);
  return { json: conversationShown(made) };
}

async function getConversation(asked: Questioned): Answered {
  return { json: conversationShown(await conversationOf(asked)) };
}

async function labelConversation({ stored, principal, names, json }: Questioned): Answered {
  const id = names["conversation"]!;
  const labelled = await stored.conversations.label(principal.project, id, labelsOf(bodyOf(json)["metadata"]));
  if (!labelled) throw conversationNotFound(id);
  return { json: conversationShown(labelled) };
}

async function removeConversation({ stored, principal, names }: Questioned): Answered {
  const id = names["conversation"]!;
  if (!(await stored.conversations.remove(principal.project, id))) throw conversationNotFound(id);
  return { json: { id, object: "conversation.deleted", deleted: true } };
}

async function listItems(asked: Questioned): Answered {
  const { stored, principal, query, count } = asked;
  const { id } = await conversationOf(asked);
  return { json: pageShown(await stored.conversations.page(principal.project, id, pageAsked(query), count), query) };
}

async function addItems(asked: Questioned): Answered {
  const { id } = await conversationOf(asked);
  const items = itemsOf(bodyOf(asked.json)["items"]);
  await asked.stored.storage.makeSure(asked.principal.project);
  if (!(await asked.stored.conversations.add(asked.principal.project, id, items)))
    throw invalidValue(
      "items",
      `A conversation holds at most ${limits.conversationItems} items and ${limits.chainBytes / 1024 / 1024} MiB. Begin a new one.`,
    );
  return { json: list(items, false) };
}

async function getItem(asked: Questioned): Answered {
  const { stored, principal, names, query, count } = asked;
  const { id } = await conversationOf(asked);
  const found = await stored.conversations.item(principal.project, id, names["item"]!, count);
  if (!found) throw itemNotFound(names["item"]!);
  return { json: shown(found, query) };
}

async function removeItem(asked: Questioned): Answered {
  const found = await conversationOf(asked);
  const id = asked.names["item"]!;
  if (!(await asked.stored.conversations.removeItem(asked.principal.project, found.id, id))) throw itemNotFound(id);
  return { json: conversationShown(found) };
}

async function conversationOf({ stored, principal, names }: Questioned): Promise<Conversation> {
  const id = names["conversation"]!;
  const found = await stored.conversations.get(principal.project, id);
  if (!found) throw conversationNotFound(id);
  return found;
}

const conversationShown = ({ id, metadata, createdAt }: Conversation): Json => ({
  id,
  object: "conversation",
  created_at: Math.floor(createdAt.getTime() / 1000),
  metadata,
});

function bodyOf(json: unknown): Json {
  if (json === undefined) return {};
  if (json !== null && typeof json === "object" && !Array.isArray(json)) return json as Json;
  throw invalidValue("body", "The body must be a JSON object.");
}

/** Items to add, each with an id. */
function itemsOf(given: unknown): Json[] {
  if (!Array.isArray(given) || given.length > limits.itemsAdded)
    throw invalidAt("items", `must be a list of at most ${limits.itemsAdded} items.`);
  for (const [place, item] of given.entries())
    if (item === null || typeof item !== "object" || Array.isArray(item))
      throw invalidAt(`items[${place}]`, "must be an item.");
  const items = given as Json[];
  checkItems(items, "items");
  return items.map((item) => {
    const type = kindOf(item);
    if (type === "item_reference") throw invalidAt("items", "must hold the items themselves, not references to them.");
    const id = typeof item["id"] === "string" ? item["id"] : newId("item");
    const { content } = item;
    const part = item["role"] === "assistant" ? "output_text" : "input_text";
    return {
      ...item,
      id,
      type,
      ...(type === "message" && {
        status: item["status"] ?? "completed",
        content: typeof content === "string" ? [{ type: part, text: content }] : content,
      }),
    };
  });
}

const itemNotFound = (id: string): LineshaftError =>
  new LineshaftError({
    code: "not_found",
    message: `There is no item ${JSON.stringify(id.slice(0, 100))} in this conversation.`,
    hint: "List them with GET /v1/conversations/CONVERSATION/items.",
  });
