// The most tokens that a prompt in OpenAI's shape can have, from its bytes: a token is at least one byte of text. The bound covers
// every field that a chat template may print, also those that the gateway does not know, and what a template puts around messages.
import { outlineOf } from "../../../bounded/index.ts";
import type { CompletionShape } from "../../../engines/index.ts";
import { limits } from "../../limits.ts";

type Json = Record<string, unknown>;

/** Fields beside the messages that a template may print into the prompt, indented, which at most doubles them. */
const printedFields = ["tools", "response_format", "documents", "chat_template_kwargs"];

/** From here on a body's own length is the bound: measuring 400 KB of it piece by piece costs 120 us. */
const largeBodyBytes = 16 * 1024;

/**
 * Most tokens that the body's prompt can have. `received`: bytes of the JSON text that the body came as, where it came as one. The
 * length of a large text is a bound as well, because no text is longer than its JSON; it is a few per cent higher.
 */
export function promptTokensBound(shape: CompletionShape, body: Json, received?: number): number {
  // Base64 of a medium is no text: what a medium costs as a prompt is bound by itself.
  if (received === undefined || received < largeBodyBytes || holdsMedia(body)) return measuredBound(shape, body);
  const doubled = printedFields.some((field) => body[field]) ? 2 : 1;
  let tokens = limits.templateTokens + doubled * received;
  if (shape === "chat") tokens += limits.templateTokensPerMessage * (outlineOf(body, "messages") as Json[]).length;
  return tokens;
}

function measuredBound(shape: CompletionShape, body: Json): number {
  let tokens: number = limits.templateTokens;
  if (shape === "completions")
    return tokens + promptBound(body["prompt"]) + (body["suffix"] ? bytesOf(body["suffix"]) : 0);
  for (const message of body["messages"] as Json[]) {
    tokens += limits.templateTokensPerMessage + contentBound(message["content"]);
    for (const field in message)
      if (field !== "role" && field !== "content" && message[field] !== null) tokens += bytesOf(message[field]);
  }
  for (const field of printedFields) if (body[field]) tokens += 2 * bytesOf(body[field]);
  return tokens;
}

/** Whether a message holds anything but text. */
export function holdsMedia(body: Json): boolean {
  const messages = outlineOf(body, "messages");
  return (
    Array.isArray(messages) &&
    (messages as Json[]).some(
      ({ content }) => Array.isArray(content) && (content as Json[]).some((part) => mediumOf(part) !== undefined),
    )
  );
}

const bytesOf = (value: unknown): number =>
  Buffer.byteLength(typeof value === "string" ? value : JSON.stringify(value));

function promptBound(prompt: unknown): number {
  if (typeof prompt === "string") return Buffer.byteLength(prompt);
  if (typeof prompt === "number") return 1;
  return Array.isArray(prompt) ? prompt.reduce((sum: number, part) => sum + promptBound(part), 0) : 0;
}

function contentBound(content: unknown): number {
  if (typeof content === "string") return Buffer.byteLength(content);
  if (!Array.isArray(content)) return 0;
  return (content as Json[]).reduce((sum, part) => {
    const medium = mediumOf(part);
    return sum + (medium === undefined ? bytesOf(part) : mediumBound(part["type"] as string, medium));
  }, 0);
}

/** What a part holds of a medium, as text; undefined for a part of text. */
function mediumOf(part: Json): string | undefined {
  const holder = part[part["type"] as string] as Json | string | null | undefined;
  if (holder === null || typeof holder !== "object") return undefined;
  const data = holder["url"] ?? holder["data"] ?? holder["file_data"];
  return typeof data === "string" ? data : "";
}

/** Bytes of a medium that make one token at most. An image is cut into a bounded number of tiles; a document is text in disguise. */
const bytesPerToken: Record<string, number> = { input_audio: 256, audio_url: 256, video_url: 32, file: 1 };

function mediumBound(type: string, data: string): number {
  const bytes = Math.ceil((data.length * 3) / 4);
  const each = bytesPerToken[type];
  return Math.max(limits.mediaTokens, each === undefined ? 0 : Math.ceil(bytes / each));
}
