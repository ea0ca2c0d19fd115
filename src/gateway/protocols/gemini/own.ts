// A Gemini call for an engine that speaks Gemini itself. Its body leaves as it came, but for what must change: the limit of output, tools
// that Google bills by their number, and thought of other models' turns. Values that need not change are the received ones, so that large
// ones leave as the bytes that they came as.
import { asksForSignatures, billedIn, noSignature } from "../../../engines/index.ts";
import { isEnvelope, readEnvelope } from "../proof.ts";

type Json = Record<string, unknown>;

/** The body that the engine is sent. */
export function ownBody(body: Json, model: string, outputTokens: number | undefined): Json {
  const written: Json = { ...body };
  if (outputTokens !== undefined)
    written["generationConfig"] = {
      ...(body["generationConfig"] as Json | null | undefined),
      maxOutputTokens: outputTokens,
    };
  const tools = (body["tools"] ?? []) as Json[];
  if (tools.some((tool) => billedIn(tool).length > 0)) {
    const left = tools.map(withoutBilled).filter((tool) => Object.keys(tool).length > 0);
    written["tools"] = left.length > 0 ? left : undefined;
  }
  const contents = body["contents"] as Json[];
  if (contents.some((content) => partsIn(content).some(isSealedHere)))
    written["contents"] = contents.map((content) => ({
      ...content,
      parts: partsIn(content).map((part) => unsealed(part, model)),
    }));
  return written;
}

const partsIn = (content: Json): Json[] => content["parts"] as Json[];

function withoutBilled(tool: Json): Json {
  const billed = new Set(billedIn(tool));
  return Object.fromEntries(Object.entries(tool).filter(([name]) => !billed.has(name)));
}

/** A signature that stands for the thought of another API's model (proof.ts). */
const isSealedHere = ({ thoughtSignature: signature }: Json): boolean =>
  typeof signature === "string" && isEnvelope(signature);

/** The part with the signature that Google gave, or with none. A call must have one from some models. */
function unsealed(part: Json, model: string): Json {
  if (!isSealedHere(part)) return part;
  const { thoughtSignature, ...rest } = part;
  const { proof } = readEnvelope(thoughtSignature as string) ?? {};
  if (proof?.origin === "gemini" && proof.signature !== undefined)
    return { ...rest, thoughtSignature: proof.signature };
  return part["functionCall"] && asksForSignatures(model) ? { ...rest, thoughtSignature: noSignature } : rest;
}

/** The body with data in place of addresses: Google would fetch an address from its own network. */
export function withFetchedParts(body: Json, data: ReadonlyMap<string, string>): Json {
  const replaced = (part: Json): Json => {
    const { fileUri, mimeType } = (part["fileData"] ?? {}) as Record<string, string>;
    const fetched = fileUri === undefined ? undefined : data.get(fileUri);
    const [, type, text] = /^data:([^;,]*)[^,]*;base64,(.*)$/s.exec(fetched ?? "") ?? [];
    if (text === undefined) return part;
    const { fileData: _address, ...rest } = part;
    return { ...rest, inlineData: { mimeType: mimeType ?? type, data: text } };
  };
  const contents = (body["contents"] as Json[]).map((content) => ({
    ...content,
    parts: partsIn(content).map(replaced),
  }));
  return { ...body, contents };
}
