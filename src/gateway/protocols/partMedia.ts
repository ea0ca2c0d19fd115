// Media of a typed prompt: where they stand, and the same prompt with what was fetched in place of addresses.
import type { Message, Part } from "../../engines/index.ts";
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
