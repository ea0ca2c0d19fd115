// A Responses call for an engine that speaks Responses itself. Its body leaves as it came, but for what must change: the model's name, the
// limit of output, and that the engine keeps nothing. What earlier turns said is put into the input, because stored responses are
// Lineshaft's own. Values that need not change are the received ones, so that large ones leave as the bytes that they came as.
import { copied, outlineOf } from "../../../bounded/index.ts";
import { encryptedThought, hidesThought, isBilledTool } from "../../../engines/index.ts";
import type { WriteWish } from "../../../engines/index.ts";
import { isEnvelope, readEnvelope } from "../proof.ts";
import { kindOf } from "./items.ts";

type Json = Record<string, unknown>;

interface OwnCall {
  body: Json;
  /** Items of earlier turns, and those of this turn with what they refer to. Undefined where the input stays as it came. */
  items: readonly Json[] | undefined;
  /** The response is kept for later turns, which need the encrypted thought. */
  stores: boolean;
  /** The client has asked the model to think. */
  thinks: boolean;
}

/** Tools that are left out, by their places: those that the provider runs and bills by their number. */
export const billedTools = (body: Json): string[] =>
  toolsIn(body).flatMap((tool, place) => (isBilledTool(tool) ? [`tools[${place}].${String(tool["type"])}`] : []));

const toolsIn = (body: Json): Json[] => (body["tools"] ?? []) as Json[];

/** The body that the engine is sent. */
export function ownBody({ body, items, stores, thinks }: OwnCall, { model, outputTokens, stream }: WriteWish): Json {
  const written: Json = copied(body, { model, store: false });
  for (const name of ["previous_response_id", "conversation", "background"]) delete written[name];
  if (stream === true) written["stream"] = true;
  if (outputTokens !== undefined) written["max_output_tokens"] = outputTokens;
  if (items) written["input"] = items.flatMap((item) => sentItem(withoutId(item)));
  else if (hasItem(body, mayChange) && hasItem({ input: body["input"] }, mustChange))
    written["input"] = (body["input"] as Json[]).flatMap(sentItem);
  const tools = toolsIn(body);
  if (tools.some(isBilledTool)) written["tools"] = tools.filter((tool) => !isBilledTool(tool));
  const include = (body["include"] ?? []) as string[];
  if (stores && hidesThought(model, thinks) && !include.includes(encryptedThought))
    written["include"] = [...include, encryptedThought];
  return written;
}

/** Ids of stored items are Lineshaft's own. The engine knows that of a thought alone, which is sealed with it. */
function withoutId(item: Json): Json {
  const kind = kindOf(item);
  if (!ownKinds.has(kind) && item["role"] === undefined) return item;
  const { id: _id, ...rest } = item;
  return rest;
}

const ownKinds = new Set([
  "message",
  "function_call",
  "function_call_output",
  "custom_tool_call",
  "custom_tool_call_output",
]);

/** Items that another engine's answers left in the conversation, which this one would refuse. */
const mustChange = (item: Json): boolean => isSealedHere(item) || isForeignThought(item);

/** The same of an item in an outline, where a long text is "." and could be any. */
const mayChange = (item: Json): boolean => item["encrypted_content"] === "." || mustChange(item);

const hasItem = (body: Json, is: (item: Json) => boolean): boolean => {
  const items = outlineOf(body, "input");
  return Array.isArray(items) && (items as Json[]).some(is);
};

const isSealedHere = ({ encrypted_content: sealed }: Json): boolean => typeof sealed === "string" && isEnvelope(sealed);

/** Thought that continues nothing: without its encrypted form the engine would look for it among what it keeps. */
const isForeignThought = (item: Json): boolean =>
  kindOf(item) === "reasoning" &&
  typeof item["encrypted_content"] !== "string" &&
  !(Array.isArray(item["content"]) && item["content"].length > 0);

/** An item as the engine is sent it; none where it would be refused. */
function sentItem(item: Json): Json[] {
  if (isForeignThought(item)) return [];
  if (!isSealedHere(item)) return [item];
  const { proof, summary } = readEnvelope(item["encrypted_content"] as string) ?? {};
  if (kindOf(item) === "compaction")
    return [
      {
        type: "message",
        role: "developer",
        content: [{ type: "input_text", text: `Summary of the conversation so far:\n\n${summary ?? ""}` }],
      },
    ];
  if (proof?.origin !== "openai" || proof.encrypted === undefined) return [];
  return [{ ...item, encrypted_content: proof.encrypted, ...(proof.id !== undefined && { id: proof.id }) }];
}

/** The items with data in place of addresses: the engine would fetch an address from its own network. */
export function withFetchedItems(items: readonly Json[], data: ReadonlyMap<string, string> | undefined): Json[] {
  if (!data || data.size === 0) return [...items];
  const replaced = (part: Json): Json => {
    const { image_url: image, file_url: file } = part as Record<string, string>;
    if (part["type"] === "input_image" && data.has(image!)) return { ...part, image_url: data.get(image!) };
    if (part["type"] !== "input_file" || !data.has(file!)) return part;
    const { file_url: _address, ...rest } = part;
    return { filename: "document", ...rest, file_data: data.get(file!) };
  };
  return items.map((item) => {
    const member = item["content"] === undefined ? "output" : "content";
    const parts = item[member];
    return Array.isArray(parts) ? { ...item, [member]: (parts as Json[]).map(replaced) } : item;
  });
}
