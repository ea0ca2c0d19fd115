// Blocks of Anthropic's messages as parts of the typed view. A block that no other API has a word for is kept whole as an opaque part; it
// goes back to Anthropic alone.
import type { CacheMark, Message, Part } from "../../../engines/index.ts";
import { thoughtOf } from "../proof.ts";

type Json = Record<string, unknown>;

/** `cache_control` as a mark: five minutes where it does not say an hour. */
export function markOf({ cache_control: control }: { cache_control?: unknown }): { mark?: CacheMark } {
  if (control === null || typeof control !== "object") return {};
  const { ttl } = control as { ttl?: unknown };
  if (ttl === "1h") return { mark: { ttlSeconds: 3600 } };
  return { mark: ttl === "5m" ? { ttlSeconds: 300 } : {} };
}

/** Parts of a message's content, or of the system prompt. */
export function partsOf(content: unknown): Part[] {
  if (typeof content === "string") return [{ kind: "text", text: content }];
  return Array.isArray(content) ? (content as Json[]).map(partOf) : [];
}

export const messageOf = ({ role, content }: Json): Message => ({
  role: role as Message["role"],
  parts: partsOf(content),
});

function partOf(block: Json): Part {
  const mark = markOf(block);
  const text = (name: string): string => (typeof block[name] === "string" ? block[name] : "");
  switch (block["type"]) {
    case "text":
      return { kind: "text", text: text("text"), ...mark };
    case "image":
      return imageOf(block) ?? opaque(block);
    case "document":
      return documentOf(block) ?? opaque(block);
    case "search_result":
      return { kind: "text", text: searchText(block), ...mark };
    case "thinking":
      return thoughtOf(text("thinking"), block["signature"], "anthropic");
    case "redacted_thinking":
      return thoughtOf("", block["data"], "anthropic", true);
    case "tool_use":
      return {
        kind: "tool_call",
        id: text("id"),
        name: text("name"),
        arguments: JSON.stringify(block["input"] ?? {}),
        ...mark,
      };
    case "tool_result":
      return {
        kind: "tool_result",
        id: text("tool_use_id"),
        parts: partsOf(block["content"]),
        ...(block["is_error"] === true && { isError: true }),
        ...mark,
      };
    default:
      return opaque(block);
  }
}

const opaque = (item: Json): Part => ({ kind: "opaque", shape: "messages", item });

/** Undefined where the source is a file that the provider keeps. */
function imageOf(block: Json): Part | undefined {
  const url = sourceUrl(block["source"] as Json | undefined);
  return url === undefined ? undefined : { kind: "image", url, ...markOf(block) };
}

/** A document of plain text is text; every other one is a file. */
function documentOf(block: Json): Part | undefined {
  const source = (block["source"] ?? {}) as Json;
  const { title } = block;
  const named = typeof title === "string" ? title : undefined;
  const heading = named === undefined ? "" : `${named}\n\n`;
  if (source["type"] === "text")
    return { kind: "text", text: heading + String(source["data"] ?? ""), ...markOf(block) };
  if (source["type"] === "content")
    return { kind: "text", text: heading + textOf(source["content"]), ...markOf(block) };
  const url = sourceUrl(source);
  if (url === undefined) return undefined;
  return { kind: "file", url, ...(named !== undefined && { name: named }), ...markOf(block) };
}

function sourceUrl(source: Json | undefined): string | undefined {
  if (source?.["type"] === "base64")
    return `data:${String(source["media_type"])};base64,${String(source["data"] ?? "")}`;
  return source?.["type"] === "url" && typeof source["url"] === "string" ? source["url"] : undefined;
}

function searchText({ title, source, content }: Json): string {
  const head = [title, source].filter((one) => typeof one === "string").join("\n");
  return `${head}\n\n${textOf(content)}`;
}

const textOf = (content: unknown): string =>
  partsOf(content)
    .map((part) => (part.kind === "text" ? part.text : ""))
    .join("\n");
