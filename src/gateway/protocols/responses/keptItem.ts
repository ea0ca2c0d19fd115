// An input item as it is kept, and as lists of input items show it.
import { kindOf } from "./items.ts";

type Json = Record<string, unknown>;

/** An item with an id and a kind, and of a message its text as a part. `place`: in the input of the response's own turn. */
export function keptItem(item: Json, response: string, place: number): Json {
  const tail = response.slice(response.indexOf("_") + 1);
  const type = kindOf(item);
  const id = typeof item["id"] === "string" ? item["id"] : `${idPrefix[type] ?? "it"}_${tail}i${place}`;
  if (type !== "message") return { ...item, type, id };
  const { content, status = "completed" } = item;
  const part = item["role"] === "assistant" ? "output_text" : "input_text";
  return {
    ...item,
    id,
    type,
    status,
    content: typeof content === "string" ? [{ type: part, text: content }] : content,
  };
}

/** How ids of items begin. */
const idPrefix: Record<string, string> = {
  message: "msg",
  reasoning: "rs",
  function_call: "fc",
  function_call_output: "fco",
  custom_tool_call: "ctc",
  custom_tool_call_output: "ctco",
  compaction: "cmp",
};
