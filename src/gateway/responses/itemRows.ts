// Items of a response as rows: what it was asked (`i`), what it answered (`o`), and the events of one that ran in the background (`e`).
import type { Seal } from "../../governance/index.ts";
import type { Queryable } from "../../store/index.ts";
import { addToConversation } from "./conversations.ts";
import { sealed } from "./sealed.ts";

type Json = Record<string, unknown>;

export type Side = "i" | "o" | "e";

/** An item of a response, and where it stands. */
interface Placed {
  side: Side;
  ordinal: number;
  item: Json;
}

export const itemsOf = (side: Side, items: readonly Json[]): Placed[] =>
  items.map((item, ordinal) => ({ side, ordinal, item }));

/** Columns of items for one statement. `bytes`: before they are compressed, because that is what a chain of them takes in memory. */
export function itemRows(seal: Seal, project: string, id: string, items: readonly Placed[]) {
  const texts = items.map(({ item }) => JSON.stringify(item));
  return {
    bytes: texts.reduce((sum, text) => sum + text.length, 0),
    sides: items.map(({ side }) => side),
    ordinals: items.map(({ ordinal }) => ordinal),
    ids: items.map(({ item }) => (typeof item["id"] === "string" ? item["id"] : null)),
    items: items.map(({ side, ordinal }, place) => sealed(seal, texts[place]!, [project, id, side, ordinal])),
  };
}

/** Adds a turn to its conversation. Throws where the conversation is full. */
export async function appendTurn(
  db: Queryable,
  seal: Seal,
  project: string,
  conversation: string,
  items: readonly Json[],
) {
  if (!(await addToConversation(db, seal, project, conversation, items))) throw new Error("the conversation is full");
}
