// A call that is made inside the process (an agent's step) instead of coming over HTTP: composed from typed parts, in the shape of a chat
// completion, because that is what engines are asked.
import type { AnswerFormat, Message, ModelCall, Part, Sampling, Tool, ToolChoice } from "../../modelCall.ts";
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
    tool_choice: typeof toolChoice === "object" ? { type: "function", function: toolChoice } : toolChoice,
  };
  const given = Object.entries(fields).filter(([, value]) => value !== undefined);
  return new ChatCall({ model, messages: messages.map(wireMessage), ...Object.fromEntries(given) }, undefined);
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

function wireMessage({ role, parts, name, toolCalls, toolCallId }: Message): Json {
  return {
    role,
    content: wireContent(parts),
    ...(name !== undefined && { name }),
    ...(toolCalls && {
      tool_calls: toolCalls.map((call) => ({
        id: call.id,
        type: "function",
        function: { name: call.name, arguments: call.arguments },
      })),
    }),
    ...(toolCallId !== undefined && { tool_call_id: toolCallId }),
  };
}

/** Text alone is written as text, which every engine reads; null where there is none. */
function wireContent(parts: readonly Part[]): string | Json[] | null {
  const [only] = parts;
  if (only === undefined) return null;
  return parts.length === 1 && only.kind === "text" && !only.cacheMark ? only.text : parts.map(wirePart);
}

function wirePart(part: Part): Json {
  switch (part.kind) {
    case "text":
      return { type: "text", text: part.text, ...markOf(part) };
    case "refusal":
      return { type: "refusal", refusal: part.text };
    case "reasoning":
      return {
        type: "thinking",
        thinking: part.text,
        ...(part.signature !== undefined && { signature: part.signature }),
      };
    case "file":
      return { type: "file", file: { file_data: part.url }, ...markOf(part) };
    default:
      return { type: `${part.kind}_url`, [`${part.kind}_url`]: { url: part.url }, ...markOf(part) };
  }
}

const markOf = ({ cacheMark }: { cacheMark?: boolean }): Json =>
  cacheMark ? { cache_control: { type: "ephemeral" } } : {};
