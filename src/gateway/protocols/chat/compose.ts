// A call that is made inside the process (an agent's step) instead of coming over HTTP: composed from typed parts, in the shape of a chat
// completion, because that is what engines are asked.
import type { AnswerFormat, CacheMark, Message, Part, Sampling, Tool, ToolChoice } from "../../../engines/index.ts";
import type { ModelCall } from "../../modelCall.ts";
import { ChatCall } from "./call.ts";

type Json = Record<string, unknown>;

export interface ChatParts {
  /** Name of a deployment or of an engine, as clients write it. */
  model: string;
  messages: readonly Message[];
  tools?: readonly Tool[];
  toolChoice?: ToolChoice;
  format?: AnswerFormat;
  sampling?: Sampling;
  /** Most output tokens of the answer; the protocol's default where absent. */
  outputTokens?: number;
}

/** Composes a conversation as a call that does not stream. Nothing is checked: the parts are the process's own. */
export function chatCall(parts: ChatParts): ModelCall {
  const { model, messages, tools, toolChoice, format, sampling = {}, outputTokens } = parts;
  const { temperature, topP, seed, stop, presencePenalty, frequencyPenalty } = sampling;
  const fields = {
    temperature,
    top_p: topP,
    seed,
    stop,
    presence_penalty: presencePenalty,
    frequency_penalty: frequencyPenalty,
    max_tokens: outputTokens,
    response_format: format && wireFormat(format),
    tools: tools?.map(wireTool),
    tool_choice: wireChoice(toolChoice),
  };
  const given = Object.entries(fields).filter(([, value]) => value !== undefined);
  return new ChatCall({ model, messages: messages.flatMap(wireMessages), ...Object.fromEntries(given) }, undefined);
}

function wireFormat(format: AnswerFormat): Json {
  if (format.kind === "json") return { type: "json_object" };
  const { name = "output", strict, schema } = format;
  return { type: "json_schema", json_schema: { name, ...(strict !== undefined && { strict }), schema } };
}

const wireTool = ({ name, description, parameters, strict }: Tool): Json => ({
  type: "function",
  function: {
    name,
    ...(description !== undefined && { description }),
    ...(parameters !== undefined && { parameters }),
    ...(strict !== undefined && { strict }),
  },
});

const wireChoice = (choice: ToolChoice | undefined): unknown =>
  typeof choice === "object" ? { type: "function", function: choice } : choice;

/** The results of tools are messages of their own, before the rest of the message that holds them. */
function wireMessages({ role, parts, name }: Message): Json[] {
  const results = parts.filter((part) => part.kind === "tool_result");
  const calls = parts.filter((part) => part.kind === "tool_call");
  const rest = parts.filter((part) => part.kind !== "tool_result" && part.kind !== "tool_call");
  const written: Json[] = results.map((result) => ({
    role: "tool",
    content: wireContent(result.parts),
    tool_call_id: result.id,
  }));
  if (rest.length === 0 && results.length > 0) return written;
  const message: Json = { role, content: wireContent(rest) };
  if (name !== undefined) message["name"] = name;
  if (calls.length > 0)
    message["tool_calls"] = calls.map((call) => ({
      id: call.id,
      type: "function",
      function: { name: call.name, arguments: call.arguments },
    }));
  return [...written, message];
}

/** Text alone is written as text, which every engine reads; null where there is none. */
function wireContent(parts: readonly Part[]): string | Json[] | null {
  const [only] = parts;
  if (only === undefined) return null;
  return parts.length === 1 && only.kind === "text" && !only.mark ? only.text : parts.flatMap(wirePart);
}

function wirePart(part: Part): Json[] {
  switch (part.kind) {
    case "text":
      return [{ type: "text", text: part.text, ...markOf(part) }];
    case "refusal":
      return [{ type: "refusal", refusal: part.text }];
    case "reasoning": {
      const signature = part.proof?.signature;
      return [{ type: "thinking", thinking: part.text, ...(signature !== undefined && { signature }) }];
    }
    case "file":
      return [{ type: "file", file: { file_data: part.url }, ...markOf(part) }];
    case "image":
    case "audio":
    case "video":
      return [{ type: `${part.kind}_url`, [`${part.kind}_url`]: { url: part.url }, ...markOf(part) }];
    default:
      return [];
  }
}

const markOf = ({ mark }: { mark?: CacheMark }): Json => (mark ? { cache_control: { type: "ephemeral" } } : {});
