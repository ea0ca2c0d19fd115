// What a call can cost at most, before it runs (DESIGN section 4, admit).
//
// Two bounds of the prompt are used, in this order. From the bytes: a token is at least one byte of text, so the bytes (and
// what a template puts around them) are a sound bound that costs no question to anybody, about four times too high. Only when a
// budget refuses that, the engine is asked to count exactly, and the hold is tried once more: near its limit a budget is then
// as exact as far from it, and a call that fits is never refused for our convenience.
//
// A call that names no limit of output is given one: cap and price are the same number, so no answer costs more than was held.
import type { EndpointFacts, Endpoint as Protocol } from "../engines/index.ts";
import { limits } from "./limits.ts";
import { invalid, type CallBody } from "./protocols/openai/bodies.ts";

type Json = Record<string, unknown>;

/** Fields beside the messages that a template may print into the prompt, indented, which at most doubles them. */
const printedFields = ["tools", "response_format", "documents", "chat_template_kwargs"];

/** Most tokens that a prompt of this body can have. */
export function promptTokensBound(endpoint: Protocol, body: Json): number {
  let tokens: number = limits.templateTokens;
  if (endpoint === "completions")
    return tokens + promptBound(body["prompt"]) + (body["suffix"] ? bytesOf(body["suffix"]) : 0);
  for (const message of body["messages"] as Json[]) {
    tokens += limits.templateTokensPerMessage + contentBound(message["content"]);
    for (const field in message)
      if (field !== "role" && field !== "content" && message[field] !== null) tokens += bytesOf(message[field]);
  }
  for (const field of printedFields) if (body[field]) tokens += 2 * bytesOf(body[field]);
  return tokens;
}

/** From here on a body's own length is the bound: measuring 400 KB of it piece by piece costs 120 us. */
const largeBodyBytes = 16 * 1024;

/**
 * The same from the length of the JSON text that the body came as, for large ones: no text is longer than its JSON, so this is
 * a bound too, a few per cent higher. The template's share is added.
 */
export function receivedTokensBound(endpoint: Protocol, body: Json, bytes: number | undefined): number {
  // Base64 of a medium is no text: what it costs as a prompt is bound by itself.
  if (bytes === undefined || bytes < largeBodyBytes || holdsMedia(body)) return promptTokensBound(endpoint, body);
  const doubled = printedFields.some((field) => body[field]) ? 2 : 1;
  let tokens = limits.templateTokens + doubled * bytes;
  if (endpoint === "chat") tokens += limits.templateTokensPerMessage * (body["messages"] as Json[]).length;
  return tokens;
}

/** Whether a message holds anything but text. */
export const holdsMedia = (body: Json): boolean =>
  Array.isArray(body["messages"]) &&
  (body["messages"] as Json[]).some(
    ({ content }) => Array.isArray(content) && (content as Json[]).some((part) => mediumOf(part) !== undefined),
  );

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

/**
 * Tokens of a medium at most: an image is cut into a bounded number of tiles, sound is at most a token per 256 bytes of it, film one
 * per 32, and a document is text in disguise.
 */
function mediumBound(type: string, data: string): number {
  const bytes = Math.ceil((data.length * 3) / 4);
  const bytesPerToken: Record<string, number> = { input_audio: 256, audio_url: 256, video_url: 32, file: 1 };
  const each = bytesPerToken[type];
  return Math.max(limits.mediaTokens, each === undefined ? 0 : Math.ceil(bytes / each));
}

/** Output tokens that a call asked for at most, or undefined when it left that open. Throws a 400 for two limits that differ. */
export function askedOutputTokens(body: Json): number | undefined {
  const newName = (body["max_completion_tokens"] ?? undefined) as number | undefined;
  const oldName = (body["max_tokens"] ?? undefined) as number | undefined;
  if (newName !== undefined && oldName !== undefined && newName !== oldName)
    throw invalid(
      "max_tokens",
      `\`max_tokens\` (${oldName}) and \`max_completion_tokens\` (${newName}) differ: one limit is priced and sent. Give one of them.`,
    );
  return newName ?? oldName;
}

/** Answers that are computed for one prompt, each with its own output. */
export function answersAsked(body: Json): number {
  const prompts = Array.isArray(body["prompt"]) && typeof body["prompt"][0] !== "number" ? body["prompt"].length : 1;
  return (
    prompts *
    Math.max((body["n"] as number | null | undefined) ?? 1, (body["best_of"] as number | null | undefined) ?? 1)
  );
}

/**
 * Refuses more output than any model writes: nothing but a mistake asks for it, and its hold would be held in full by every budget.
 * An answer is at most the model's context, where that is known; all answers together have a bound of their own.
 */
export function checkOutputTokens(body: Json, outputTokens: number, answers: number, context: number | undefined) {
  const param = (body["max_completion_tokens"] ?? undefined) === undefined ? "max_tokens" : "max_completion_tokens";
  if (askedOutputTokens(body) !== undefined && context !== undefined && outputTokens > context)
    throw invalid(
      param,
      `\`${param}\` is ${outputTokens}, and the model's context has ${context} tokens: ask for fewer.`,
    );
  const { outputTokensMost: most } = limits;
  if (outputTokens * answers <= most) return;
  const times = answers > 1 ? ` for each of ${answers} answers` : "";
  throw invalid(param, `\`${param}\` is ${outputTokens}${times}; a call may ask for ${most} output tokens in all.`);
}

/**
 * Output tokens of one answer, at most, at an endpoint that says so of itself. Without a limit of the caller's it is the protocol's
 * default, cut to the room that the context leaves beside a prompt of `promptTokens` (exact, or the best guess), since many engines
 * refuse more.
 */
export function outputLimit(
  endpoint: Protocol,
  body: CallBody,
  facts: EndpointFacts | undefined,
  promptTokens: number,
): number {
  const asked = askedOutputTokens(body);
  const context = facts?.contextTokens;
  const clips = facts?.capabilities.clipsOutput === true;
  if (asked !== undefined) return clips && context ? Math.min(asked, context) : asked;
  const usual = endpoint === "chat" ? limits.defaultOutputTokens : limits.defaultCompletionTokens;
  if (context === undefined) return usual;
  return Math.min(usual, clips ? context : Math.max(limits.leastOutputTokens, context - promptTokens));
}

/** The body with one limit of output in it, as `max_tokens`: what is priced is what is sent. */
export function limited(body: CallBody, outputTokens: number): CallBody {
  const { max_completion_tokens: _sameLimit, ...rest } = body;
  return { ...(rest as CallBody), max_tokens: outputTokens };
}
