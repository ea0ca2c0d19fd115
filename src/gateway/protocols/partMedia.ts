// Media of a typed prompt: where they stand, and the same prompt with what was fetched in place of addresses.
import type { Asked, Message, Part, RegisteredEndpoint, Tool } from "../../engines/index.ts";
import { LineshaftError } from "../../errors/index.ts";
import { limits } from "../limits.ts";
import type { Medium } from "../modelCall.ts";

/** A part with its place in the client's body; those inside results of tools are places of their own. */
export interface PlacedPart {
  part: Part;
  path: string;
  message: number;
  place: number;
}

/** `partsPath`: where a message's parts stand. `resultMember`: member of a tool's result that holds its parts. */
export function placesOf(
  messages: readonly Message[],
  partsPath: (message: number) => string,
  resultMember: string,
): PlacedPart[] {
  return messages.flatMap(({ parts }, message) => {
    const outer = partsPath(message);
    return parts.flatMap((part, place) => {
      const path = `${outer}[${place}]`;
      const inner = part.kind === "tool_result" ? part.parts : [];
      const within = inner.map((one, at) => ({ part: one, path: `${path}.${resultMember}[${at}]`, message, place }));
      return [{ part, path, message, place }, ...within];
    });
  });
}

/** Whether a message, or a tool's result in it, holds a medium. */
export function holdMedia(messages: readonly Message[]): boolean {
  const isMedium = (part: Part): boolean => "url" in part || (part.kind === "tool_result" && part.parts.some(isMedium));
  return messages.some(({ parts }) => parts.some(isMedium));
}

/** The media among parts. */
export const mediaAmong = (places: readonly PlacedPart[]): Medium[] =>
  places.flatMap(({ part, path, message, place }) =>
    "url" in part ? [{ kind: part.kind, path, message, part: place, url: part.url }] : [],
  );

/** The messages with data in place of these addresses. */
export function withFetched(messages: readonly Message[], data: ReadonlyMap<string, string>): Message[] {
  const replaced = (part: Part): Part => {
    if (part.kind === "tool_result") return { ...part, parts: part.parts.map(replaced) };
    return "url" in part ? { ...part, url: data.get(part.url) ?? part.url } : part;
  };
  return messages.map((message) => ({ ...message, parts: message.parts.map(replaced) }));
}

/**
 * Most tokens of what only an engine of the call's own API is sent and a chat completion has no word for: provider's tools, items that are
 * kept whole, proofs of thought. No text has more tokens than twice its bytes.
 */
export function tokensBesideChat(tools: readonly Tool[], places: readonly PlacedPart[]): number {
  const items: object[] = tools.flatMap(({ opaque }) => (opaque ? [opaque.item] : []));
  for (const { part } of places) {
    if (part.kind === "opaque") items.push(part.item);
    if (part.kind === "reasoning" && part.proof) items.push(part.proof);
  }
  return items.reduce((sum, item) => sum + 2 * Buffer.byteLength(JSON.stringify(item)), 0);
}

/** Most characters of a number in JSON, and of what stands around a tool's definition in a chat completion. */
const numberCharacters = 25;
const toolCharacters = 400;

/**
 * Most tokens of a prompt without media, from the bytes that it came as and the outline of its messages. A text is never longer than its JSON,
 * and what a chat template prints as JSON (tools, their calls, formats) is at most twice as long there. Numbers are counted apart, because one
 * with an exponent may become longer, and so are parts, each of which may become a message. It is up to twice the bound that is measured text
 * by text.
 */
export function promptTokensByBytes(
  { tools, format }: Pick<Asked, "tools" | "format">,
  messages: readonly Message[],
  bytes: number,
): number {
  let isPlain = tools.length === 0 && format === undefined;
  let more = limits.templateTokens + limits.templateTokensPerMessage * messages.length;
  const add = (part: Part): void => {
    more += limits.templateTokensPerMessage;
    if (part.kind !== "text" && part.kind !== "refusal" && part.kind !== "tool_result") isPlain = false;
    if (part.kind === "tool_call") more += 2 * part.arguments.length;
    if (part.kind === "tool_result") for (const inner of part.parts) add(inner);
  };
  for (const { parts } of messages) for (const part of parts) add(part);
  for (const { parameters, opaque } of tools)
    more += 2 * (toolCharacters + numberCharacters * numbersIn([parameters, opaque?.item]));
  if (format?.kind === "schema") more += 2 * numberCharacters * numbersIn(format.schema);
  return more + (isPlain ? 1 : 2) * bytes;
}

/** Numbers in a value, at any depth. */
function numbersIn(value: unknown): number {
  if (typeof value === "number") return 1;
  if (typeof value !== "object" || value === null) return 0;
  let numbers = 0;
  for (const one of Object.values(value)) numbers += numbersIn(one);
  return numbers;
}

/** Throws a 400 at the first medium that the engine does not read. */
export function refuseMedia(places: readonly PlacedPart[], { name, facts }: RegisteredEndpoint): void {
  const reads = facts?.capabilities.media;
  if (reads === undefined) return;
  for (const { part, path } of places) {
    if (!("url" in part) || reads.includes(part.kind)) continue;
    const hint = "Send text, or ask a model that reads it.";
    throw new LineshaftError({
      code: "media_not_read",
      param: path,
      message: `${path}: the engine of ${name} does not read parts of the kind ${part.kind}. ${hint}`,
      hint,
    });
  }
}
