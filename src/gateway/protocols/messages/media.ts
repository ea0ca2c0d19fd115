// Media of a Messages body, wherever they stand: in messages, in results of tools, in documents made of parts. Blocks that are not known
// here may hold them too, so the whole prompt is walked.
import type { Medium } from "../../modelCall.ts";

type Json = Record<string, unknown>;

/** Members of blocks that hold blocks. */
const holders = ["content", "source"] as const;

/** Every image and document with its data or its address. `message`: the place in `messages`; -1 for the system prompt. */
export function mediaIn(system: unknown, messages: unknown): Medium[] {
  const found: Medium[] = [];
  const visit = (value: unknown, path: string, message: number, part: number, kind: Medium["kind"]): void => {
    if (Array.isArray(value)) {
      for (const [place, one] of value.entries())
        visit(one, `${path}[${place}]`, message, part < 0 ? place : part, kind);
      return;
    }
    if (value === null || typeof value !== "object") return;
    const block = value as Json;
    const url = urlOf(block);
    if (url !== undefined) found.push({ kind, path, message, part, url });
    const inner = block["type"] === "document" ? "file" : block["type"] === "image" ? "image" : kind;
    for (const name of holders) visit(block[name], `${path}.${name}`, message, part, inner);
  };
  visit(system, "system", -1, -1, "file");
  for (const [place, message] of listOf(messages).entries())
    visit(message["content"], `messages[${place}].content`, place, -1, "file");
  return found;
}

/** What a source holds: an address, or the data as an address. */
function urlOf({ type, url, media_type: mediaType, data }: Json): string | undefined {
  if (type === "url" && typeof url === "string") return url;
  return type === "base64" && typeof data === "string" ? `data:${String(mediaType)};base64,${data}` : undefined;
}

/** The body with data in place of these addresses. What holds none of them is the same object as before. */
export function withData(body: Json, data: ReadonlyMap<string, string>): Json {
  const replaced = (value: unknown): unknown => {
    if (Array.isArray(value)) {
      const copy = value.map(replaced);
      return copy.some((one, place) => one !== value[place]) ? copy : (value as unknown);
    }
    if (value === null || typeof value !== "object") return value;
    const block = value as Json;
    const fetched = block["type"] === "url" ? data.get(String(block["url"])) : undefined;
    if (fetched !== undefined) return sourceOf(fetched);
    let copy = block;
    for (const name of holders) {
      const inner = replaced(block[name]);
      if (inner !== block[name]) copy = { ...copy, [name]: inner };
    }
    return copy;
  };
  const messages = listOf(body["messages"]).map((message) => {
    const content = replaced(message["content"]);
    return content === message["content"] ? message : { ...message, content };
  });
  return { ...body, messages };
}

function sourceOf(url: string): Json {
  const [, type, data] = /^data:([^;,]+);base64,(.*)$/s.exec(url) ?? [];
  return { type: "base64", media_type: type, data };
}

const listOf = (value: unknown): Json[] => (Array.isArray(value) ? (value as Json[]) : []);
