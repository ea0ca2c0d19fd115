// A chat completion as a ModelCall. Messages become parts only for a reader that asks for them; what the gateway needs of every call
// (bounds, media, tools) is read from the body as it came.
import type { RegisteredEndpoint } from "../../../engines/index.ts";
import type { AnswerFormat, Medium, Message, ModelCall, Part, Prompt, Tool, ToolChoice } from "../../modelCall.ts";
import { invalidValue } from "../../refusals.ts";
import type { CallBody } from "../openai/bodies.ts";
import { OpenAiCall } from "../openai/call.ts";
import { checkContent } from "./content.ts";

type Json = Record<string, unknown>;

interface WireTool {
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

export class ChatCall extends OpenAiCall {
  readonly endpoint = "chat";
  #media: readonly Medium[] = [];

  get media(): readonly Medium[] {
    return this.#media;
  }

  get prompt(): Prompt {
    const { messages } = this.body as { messages?: Json[] };
    return {
      kind: "messages",
      get messages() {
        return (messages ?? []).map(messageOf);
      },
    };
  }

  get tools(): readonly Tool[] {
    return ((this.body["tools"] ?? []) as WireTool[]).map(({ function: tool }) => ({
      name: tool.name,
      ...(tool.description && { description: tool.description }),
      ...(tool.parameters && { parameters: tool.parameters }),
      ...(typeof tool.strict === "boolean" && { strict: tool.strict }),
    }));
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

  fitted(endpoint: RegisteredEndpoint): ModelCall {
    const body = this.fittedBody(endpoint);
    const fitted = new ChatCall(body, this.received);
    fitted.#media = checkContent(body, endpoint);
    return fitted;
  }

  withMedia(media: readonly Medium[], data: ReadonlyMap<string, string>): ModelCall {
    return new ChatCall({ ...this.body, messages: replaced(this.body["messages"], media, data) }, this.received);
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

function messageOf(given: Json): Message {
  const { role, content, name, tool_calls: calls, tool_call_id: toolCallId, refusal } = given;
  const parts: Part[] = [];
  const thought = given["reasoning_content"] ?? given["reasoning"];
  if (typeof thought === "string") parts.push({ kind: "reasoning", text: thought });
  if (typeof content === "string") parts.push({ kind: "text", text: content, ...markOf(given) });
  else if (Array.isArray(content)) for (const part of content as Json[]) parts.push(...partOf(part));
  if (typeof refusal === "string") parts.push({ kind: "refusal", text: refusal });
  return {
    role: role as Message["role"],
    parts,
    ...(typeof name === "string" && { name }),
    ...(Array.isArray(calls) && { toolCalls: (calls as WireToolCall[]).map(toolCallOf) }),
    ...(typeof toolCallId === "string" && { toolCallId }),
  };
}

const toolCallOf = ({ id, function: called }: WireToolCall) => ({
  id,
  name: called.name,
  arguments: called.arguments,
});

const markOf = (given: Json) => (given["cache_control"] ? { cacheMark: true } : {});

/** One part of a message; none where its kind is not known. */
function partOf(given: Json): Part[] {
  const of = (name: string) => given[name] as Json | undefined;
  const mark = markOf(given);
  const signature = typeof given["signature"] === "string" ? { signature: given["signature"] } : {};
  switch (given["type"]) {
    case "text":
      return [{ kind: "text", text: given["text"] as string, ...mark }];
    case "refusal":
      return [{ kind: "refusal", text: given["refusal"] as string }];
    case "thinking":
      return [{ kind: "reasoning", text: given["thinking"] as string, ...signature }];
    case "reasoning":
      return [{ kind: "reasoning", text: given["text"] as string, ...signature }];
    case "image_url":
      return [{ kind: "image", url: of("image_url")?.["url"] as string, ...mark }];
    case "audio_url":
      return [{ kind: "audio", url: of("audio_url")?.["url"] as string, ...mark }];
    case "video_url":
      return [{ kind: "video", url: of("video_url")?.["url"] as string, ...mark }];
    case "input_audio": {
      const { format, data } = (of("input_audio") ?? {}) as { format?: string; data?: string };
      return [{ kind: "audio", url: `data:audio/${format};base64,${data}`, ...mark }];
    }
    case "file":
      return [{ kind: "file", url: of("file")?.["file_data"] as string, ...mark }];
    default:
      return [];
  }
}

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
