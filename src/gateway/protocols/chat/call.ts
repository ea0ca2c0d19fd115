// A chat completion as a ModelCall. Messages become parts only for a reader that asks for them; what the gateway needs of every call
// (bounds, media, tools) is read from the body as it came, and from the outline of its messages where it is long (bounded/jsonLazy.ts).
import type {
  AnswerFormat,
  CacheMark,
  Message,
  Part,
  Prompt,
  Proof,
  RegisteredEndpoint,
  Tool,
  ToolChoice,
} from "../../../engines/index.ts";
import { copied } from "../../../bounded/index.ts";
import type { Medium, ModelCall } from "../../modelCall.ts";
import { invalidValue } from "../../refusals.ts";
import type { CallBody } from "../openai/bodies.ts";
import { OpenAiCall } from "../openai/call.ts";
import { honoured, unknownIn } from "../openai/fields.ts";
import { bytesOfMembers } from "../promptBytes.ts";
import { ReadPrompt } from "../readPrompt.ts";
import { isEnvelope, thoughtOf as provedThought } from "../proof.ts";
import { leftOutIn, shapeAt } from "../spoken.ts";
import { checkContent } from "./content.ts";

type Json = Record<string, unknown>;

interface WireTool {
  cache_control?: Json | null;
  function: { name: string; description?: string | null; parameters?: Json | null; strict?: boolean | null };
}
interface WireToolCall {
  id: string;
  function: { name: string; arguments: string };
}
type WireChoice = "none" | "auto" | "required" | { function: { name: string } } | null | undefined;
interface WireFormat {
  type: string;
  json_schema?: { name?: string; schema?: Json | boolean; strict?: boolean | null };
}

/** Members of the body that the prompt is made of. */
const promptMembers = ["tools", "messages"];

export class ChatCall extends OpenAiCall {
  readonly shape = "chat";
  #media: readonly Medium[] = [];
  #leftOut: readonly string[] = [];

  get media(): readonly Medium[] {
    return this.#media;
  }

  get leftOut(): readonly string[] {
    return this.#leftOut;
  }

  get prompt(): Prompt {
    return new ReadPrompt(() => ((this.body["messages"] ?? []) as Json[]).map(messageOf));
  }

  get tools(): readonly Tool[] {
    return ((this.body["tools"] ?? []) as WireTool[]).map(({ function: tool, ...rest }) => ({
      name: tool.name,
      ...markOf(rest),
      ...(tool.description && { description: tool.description }),
      ...(tool.parameters && { parameters: tool.parameters }),
      ...(typeof tool.strict === "boolean" && { strict: tool.strict }),
    }));
  }

  get parallelTools(): boolean | undefined {
    const parallel = this.body["parallel_tool_calls"];
    return typeof parallel === "boolean" ? parallel : undefined;
  }

  get toolChoice(): ToolChoice | undefined {
    const choice = this.body["tool_choice"] as WireChoice;
    return typeof choice === "object" && choice !== null ? { name: choice.function.name } : (choice ?? undefined);
  }

  get format(): AnswerFormat | undefined {
    const format = this.body["response_format"] as WireFormat | null | undefined;
    if (format?.type === "json_object") return { kind: "json" };
    if (format?.type !== "json_schema") return undefined;
    const { name, schema, strict } = format.json_schema ?? {};
    return {
      kind: "schema",
      schema,
      ...(name !== undefined && { name }),
      ...(typeof strict === "boolean" && { strict }),
    };
  }

  promptBytes(): readonly Uint8Array[] | undefined {
    return bytesOfMembers(this.received, promptMembers);
  }

  fitted(endpoint: RegisteredEndpoint): ModelCall {
    const shape = shapeAt(this, endpoint);
    const isOwn = shape === this.shape;
    const body = isOwn ? this.fittedBody(endpoint) : this.body;
    const fitted = new ChatCall(body, this.received);
    fitted.#media = checkContent(body, endpoint, !isOwn || honoured("cache_control", endpoint));
    if (!isOwn) fitted.#leftOut = [...unknownIn(this.extensions, endpoint), ...leftOutIn(shape, this, endpoint)];
    return fitted;
  }

  withMedia(media: readonly Medium[], data: ReadonlyMap<string, string>): ModelCall {
    return new ChatCall(copied(this.body, { messages: replaced(this.body["messages"], media, data) }), this.received);
  }
}

/** Copies of the messages that hold fetched media, with data in place of addresses; all others are the very same objects. */
function replaced(messages: unknown, media: readonly Medium[], fetched: ReadonlyMap<string, string>): Json[] {
  const copies = [...(messages as Json[])];
  for (const { message, part, url } of media) {
    const content = [...(copies[message]!["content"] as Json[])];
    const type = content[part]!["type"] as string;
    const holder = content[part]![type] as Json;
    const key = type === "file" ? "file_data" : "url";
    content[part] = { ...content[part], [type]: { ...holder, [key]: fetched.get(url)! } };
    copies[message] = { ...copies[message], content };
  }
  return copies;
}

/**
 * A message in the typed view. A tool's message becomes a result in a message of the user's role; the older `function_call` and its
 * `function` message have no id, and the function's name joins them.
 */
function messageOf(given: Json): Message {
  const { role, content, name, tool_call_id: id } = given;
  const parts: Part[] = [];
  if (typeof content === "string") parts.push({ kind: "text", text: content, ...markOf(given) });
  else if (Array.isArray(content)) for (const part of content as Json[]) parts.push(...partOf(part));
  const named = typeof name === "string" ? { name } : {};
  if (role === "tool" || role === "function") {
    const answered = typeof id === "string" ? id : String(name ?? "");
    return { role: "user", parts: [{ kind: "tool_result", id: answered, ...named, parts }] };
  }
  return { role: role as Message["role"], parts: [...thoughtOf(given), ...parts, ...callsOf(given)], ...named };
}

/** Thought of an earlier turn: what an envelope proves, with its text, else the text alone. */
function thoughtOf(given: Json): Part[] {
  const details = Array.isArray(given["reasoning_details"]) ? (given["reasoning_details"] as (Json | null)[]) : [];
  const proved = details.flatMap((detail) => {
    const data = detail?.["data"];
    return typeof data === "string" && isEnvelope(data) ? [provedThought("", data, "other")] : [];
  });
  if (proved.some(({ proof }) => proof)) return proved;
  const thought = given["reasoning_content"] ?? given["reasoning"];
  return typeof thought === "string" ? [{ kind: "reasoning", text: thought }] : [];
}

/** What stands after the text of an assistant's message: its refusal, and the tools that it called. */
function callsOf({ refusal, tool_calls: calls, function_call: called }: Json): Part[] {
  const parts: Part[] = typeof refusal === "string" ? [{ kind: "refusal", text: refusal }] : [];
  for (const { id, function: call } of (Array.isArray(calls) ? calls : []) as WireToolCall[])
    parts.push({ kind: "tool_call", id, name: call.name, arguments: call.arguments });
  const { name, arguments: text } = (called ?? {}) as { name?: unknown; arguments?: unknown };
  if (typeof name === "string") parts.push({ kind: "tool_call", id: name, name, arguments: String(text ?? "") });
  return parts;
}

/** `cache_control` as a mark: five minutes, or an hour where it says so. */
function markOf({ cache_control: control }: { cache_control?: unknown }): { mark?: CacheMark } {
  if (control === null || typeof control !== "object") return {};
  const { ttl } = control as { ttl?: unknown };
  if (ttl === "1h") return { mark: { ttlSeconds: 3600 } };
  return { mark: ttl === "5m" ? { ttlSeconds: 300 } : {} };
}

/** One part of a message; none where its kind is not known. */
function partOf(given: Json): Part[] {
  const of = (name: string) => given[name] as Json | undefined;
  const mark = markOf(given);
  const proofOf = (origin: Proof["origin"]) =>
    typeof given["signature"] === "string" ? { proof: { origin, signature: given["signature"] } } : {};
  switch (given["type"]) {
    case "text":
      return [{ kind: "text", text: given["text"] as string, ...mark }];
    case "refusal":
      return [{ kind: "refusal", text: given["refusal"] as string }];
    case "thinking":
      return [{ kind: "reasoning", text: given["thinking"] as string, ...proofOf("anthropic") }];
    case "reasoning":
      return [{ kind: "reasoning", text: given["text"] as string, ...proofOf("other") }];
    case "image_url":
      return [{ kind: "image", url: of("image_url")?.["url"] as string, ...detailOf(of("image_url")), ...mark }];
    case "audio_url":
      return [{ kind: "audio", url: of("audio_url")?.["url"] as string, ...mark }];
    case "video_url":
      return [{ kind: "video", url: of("video_url")?.["url"] as string, ...mark }];
    case "input_audio": {
      const { format, data } = (of("input_audio") ?? {}) as { format?: string; data?: string };
      return [{ kind: "audio", url: `data:audio/${format};base64,${data}`, ...mark }];
    }
    case "file": {
      const name = of("file")?.["filename"];
      const named = typeof name === "string" ? { name } : {};
      return [{ kind: "file", url: of("file")?.["file_data"] as string, ...named, ...mark }];
    }
    default:
      return [];
  }
}

const detailOf = (image: Json | undefined): { detail?: string } =>
  typeof image?.["detail"] === "string" ? { detail: image["detail"] } : {};

/** Throws a 400 where the body asks for a tool that it does not define. */
export function checkToolChoice(body: CallBody): void {
  const choice = body["tool_choice"] as WireChoice;
  if (choice === null || choice === undefined || choice === "none" || choice === "auto") return;
  const names = ((body["tools"] ?? []) as WireTool[]).map((tool) => tool.function.name);
  if (names.length === 0) throw invalidValue("tool_choice", "`tool_choice` asks for a tool, yet `tools` is empty.");
  if (typeof choice === "object" && !names.includes(choice.function.name))
    throw invalidValue(
      "tool_choice",
      `\`tool_choice\` names ${choice.function.name}, which is not in \`tools\` (${names.join(", ")}).`,
    );
}
