// Media of a typed prompt: where they stand, and the same prompt with what was fetched in place of addresses.
import type { Message, Part, RegisteredEndpoint, Tool } from "../../engines/index.ts";
import { LineshaftError } from "../../errors/index.ts";
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
