// The usual input of a long body, judged by its outline (bounded/jsonLazy.ts), in which long texts are ".": texts, calls of tools, their
// results, and thought. What is found of it (that no item is unknown, no medium is named, every result has its call) is what the whole
// input would give. An input with anything else is read.
import { hasOutline, outlineOf } from "../../../bounded/index.ts";
import { isWithinUsual } from "../usualValues.ts";
import { checkItems, kindOf } from "./items.ts";

type Json = Record<string, unknown>;

const kinds: ReadonlySet<string> = new Set([
  "message",
  "function_call",
  "function_call_output",
  "custom_tool_call",
  "custom_tool_call_output",
  "reasoning",
]);
const media: ReadonlySet<unknown> = new Set(["input_image", "input_file", "input_audio"]);

/** The outline of the input's items; undefined where the input is parsed already, or is not surely usual and right. */
export function usualItems(body: Json): readonly Json[] | undefined {
  if (!hasOutline(body, "input")) return undefined;
  const items = outlineOf(body, "input") as unknown[];
  if (!isWithinUsual(items)) return undefined;
  for (const item of items) {
    if (typeof item !== "object" || item === null || Array.isArray(item)) return undefined;
    const { content, output, call_id: id } = item as Json;
    // A long name of a call could be any.
    if (!kinds.has(kindOf(item as Json)) || id === ".") return undefined;
    if (hasMedium(content) || hasMedium(output)) return undefined;
  }
  try {
    checkItems(items as Json[]);
  } catch {
    return undefined;
  }
  return items as Json[];
}

const hasMedium = (parts: unknown): boolean =>
  Array.isArray(parts) && (parts as (Json | null)[]).some((part) => media.has(part?.["type"]));
