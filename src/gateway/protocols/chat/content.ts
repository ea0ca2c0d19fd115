// What may stand inside the fields of a chat request: keys of messages, parts, tools and formats, each from a list. A key that is on no
// list could name a file, an address or a price that was not checked. Media are found here; gateway/media.ts fetches them.
import { hasOutline, outlineOf } from "../../../bounded/index.ts";
import { LineshaftError } from "../../../errors/index.ts";
import type { MediaKind, RegisteredEndpoint } from "../../../engines/index.ts";
import type { Medium } from "../../modelCall.ts";
import { invalidAt } from "../../refusals.ts";
import { checkKeys, checkStreamOptions, unknownKey, unpricedMark } from "../openai/keys.ts";

type Json = Record<string, unknown>;

/**
 * What real clients put into messages beside the protocol's own keys: they send an assistant's message back as they got it, with
 * reasoning, annotations and signatures of whichever engine wrote it.
 */
const messageKeys = new Set([
  "role",
  "content",
  "name",
  "tool_calls",
  "tool_call_id",
  "refusal",
  "reasoning",
  "reasoning_content",
  "reasoning_details",
  "thinking_blocks",
  "annotations",
  "function_call",
  "extra_content",
  "provider_specific_fields",
  "index",
  "id",
  "phase",
  "channel",
  "prefix",
  "partial",
  "cache_control",
]);
const toolCallKeys = new Set(["id", "type", "function", "index", "extra_content", "provider_specific_fields"]);
const functionCallKeys = new Set(["name", "arguments"]);
const partKeys: Record<string, ReadonlySet<string>> = {
  text: new Set(["type", "text", "cache_control", "annotations"]),
  refusal: new Set(["type", "refusal"]),
  thinking: new Set(["type", "thinking", "signature"]),
  reasoning: new Set(["type", "text", "signature"]),
  image_url: new Set(["type", "image_url", "cache_control"]),
  input_audio: new Set(["type", "input_audio", "cache_control"]),
  audio_url: new Set(["type", "audio_url", "cache_control"]),
  video_url: new Set(["type", "video_url", "cache_control"]),
  file: new Set(["type", "file", "cache_control"]),
};
const toolKeys = new Set(["type", "function", "cache_control"]);
const functionKeys = new Set(["name", "description", "parameters", "strict"]);
const choiceKeys = new Set(["type", "function"]);
const formatKeys = new Set(["type", "json_schema"]);
const schemaKeys = new Set(["name", "description", "schema", "strict"]);

/** Parts whose medium is an address: the key that holds it, and its own keys. */
const addressed: Record<string, { kind: MediaKind; key: string; keys: ReadonlySet<string> }> = {
  image_url: { kind: "image", key: "url", keys: new Set(["url", "detail"]) },
  audio_url: { kind: "audio", key: "url", keys: new Set(["url"]) },
  video_url: { kind: "video", key: "url", keys: new Set(["url"]) },
  file: { kind: "file", key: "file_data", keys: new Set(["file_data", "filename"]) },
};
const audioKeys = new Set(["data", "format"]);
const audioFormats = new Set(["wav", "mp3", "flac", "ogg", "opus", "m4a", "aac", "webm", "pcm16"]);

/**
 * Throws a 400 at the first key that is on no list; answers the media that the messages name. `marks`: whether `cache_control` may stand in
 * them.
 */
export function checkContent(body: Json, endpoint: RegisteredEndpoint, marks: boolean): Medium[] {
  checkStreamOptions(body);
  checkKeys(body["tool_choice"], choiceKeys, "tool_choice");
  checkKeys((body["tool_choice"] as Json | undefined)?.["function"], functionCallKeys, "tool_choice.function");
  const format = body["response_format"] as Json | undefined;
  checkKeys(format, formatKeys, "response_format");
  checkKeys(format?.["json_schema"], schemaKeys, "response_format.json_schema");
  for (const [place, tool] of asArray(body["tools"]).entries()) {
    checkKeys(tool, toolKeys, `tools[${place}]`, marks);
    checkKeys(tool["function"], functionKeys, `tools[${place}].function`);
  }
  if (hasOutline(body, "messages")) {
    // It decides where all is well and no medium is named. What is to be told or fetched is read from the messages themselves.
    try {
      if (checkMessages(outlineOf(body, "messages"), endpoint, marks).length === 0) return [];
    } catch {
      // Told below.
    }
  }
  return checkMessages(body["messages"], endpoint, marks);
}

function checkMessages(messages: unknown, endpoint: RegisteredEndpoint, marks: boolean): Medium[] {
  const media: Medium[] = [];
  for (const [place, message] of asArray(messages).entries()) {
    checkMessage(message, `messages[${place}]`, marks);
    if (!Array.isArray(message["content"])) continue;
    for (const [index, part] of asArray(message["content"]).entries()) {
      const medium = checkPart(part, `messages[${place}].content[${index}]`, marks, endpoint);
      if (medium) media.push({ ...medium, message: place, part: index });
    }
  }
  return media;
}

function checkMessage(message: Json, path: string, marks: boolean): void {
  // An answer's own `audio: null` comes back with it; a reference to sound that a provider keeps is another matter.
  for (const key in message)
    if (!messageKeys.has(key) && message[key] !== null && message[key] !== undefined)
      throw unknownKey(`${path}.${key}`);
  if (message["cache_control"] && !marks) throw unpricedMark(`${path}.cache_control`);
  for (const [index, call] of asArray(message["tool_calls"]).entries()) {
    checkKeys(call, toolCallKeys, `${path}.tool_calls[${index}]`);
    checkKeys(call["function"], functionCallKeys, `${path}.tool_calls[${index}].function`);
  }
  checkKeys(message["function_call"], functionCallKeys, `${path}.function_call`);
}

function checkPart(
  part: Json,
  path: string,
  marks: boolean,
  endpoint: RegisteredEndpoint,
): Omit<Medium, "message" | "part"> | undefined {
  const type = String(part["type"]);
  if (!Object.hasOwn(partKeys, type))
    throw invalidAt(
      `${path}.type`,
      `\`${type.slice(0, 40)}\` is no kind of part. Send one of ${Object.keys(partKeys).join(", ")}.`,
    );
  checkKeys(part, partKeys[type]!, path, marks);
  if (type === "input_audio") {
    checkReads("audio", path, type, endpoint);
    checkAudio(part["input_audio"], `${path}.input_audio`);
    return undefined;
  }
  const of = Object.hasOwn(addressed, type) ? addressed[type]! : undefined;
  if (!of) return undefined;
  checkReads(of.kind, path, type, endpoint);
  const holder = part[type] as Json | null | undefined;
  if ((holder as Json | undefined)?.["file_id"] !== undefined)
    throw invalidAt(
      `${path}.file.file_id`,
      "is not accepted: it names a file that the provider keeps for everybody here. Send `file_data`.",
    );
  if (holder === null || typeof holder !== "object" || Array.isArray(holder))
    throw invalidAt(`${path}.${type}`, `must be an object with \`${of.key}\`.`);
  checkKeys(holder, of.keys, `${path}.${type}`);
  const url = holder[of.key];
  if (typeof url !== "string")
    throw invalidAt(`${path}.${type}.${of.key}`, "must be a text: an https address, or data:.");
  return { kind: of.kind, path: `${path}.${type}.${of.key}`, url };
}

/** An engine that says which media it reads is asked for no others. */
function checkReads(kind: MediaKind, path: string, type: string, { name, facts }: RegisteredEndpoint): void {
  if (facts?.capabilities.media?.includes(kind) !== false) return;
  throw new LineshaftError({
    code: "media_not_read",
    param: path,
    message: `${path}: the engine of ${name} reads text alone, and this is an ${type} part. Send text, or ask a model that reads it.`,
  });
}

function checkAudio(audio: unknown, path: string): void {
  checkKeys(audio, audioKeys, path);
  const { data, format } = (audio ?? {}) as { data?: unknown; format?: unknown };
  // Some engines take an address or a path in its place.
  if (typeof data !== "string" || !/^[A-Za-z0-9+/]+={0,2}$/.test(data))
    throw invalidAt(`${path}.data`, "must be the sound itself, in base64.");
  if (typeof format !== "string" || !audioFormats.has(format))
    throw invalidAt(`${path}.format`, `must be one of ${[...audioFormats].join(", ")}.`);
}

const asArray = (value: unknown): Json[] => (Array.isArray(value) ? (value as Json[]) : []);
