// A call as a chat completion: what engines that speak chat alone are sent when the client spoke another API. One write, from the typed
// view, so that no API is a bridge between two others.
//
// What chat has no word for is said as nearly as it can be: a group of tools by longer names, a tool that takes text as a function with one
// argument, media in a tool's result as a user's message after it. What a model gains nothing from (proofs of thought, items of another
// API's server tools) is left out.
import { createHash } from "node:crypto";
import type { Asked, CacheMark, Message, Part, Shape, Tool } from "../../asked.ts";

type Json = Record<string, unknown>;
type ToolCallPart = Extract<Part, { kind: "tool_call" }>;
type ToolResultPart = Extract<Part, { kind: "tool_result" }>;

interface ChatWish {
  /** The engine's own name of the model. */
  model: string;
  outputTokens?: number;
  stream?: boolean;
  /** The engine's chat template takes system messages behind others. Where absent they become text of the next user message. */
  systemAnywhere?: boolean;
  /** The engine reads marks of its prompt cache (`cache_control`). */
  marks?: boolean;
}

/** Fields of these APIs that the typed view has no name for are not names of chat. */
const foreign = new Set<Shape>(["messages", "gemini"]);

/** Longest name of a function that engines take. */
const nameMost = 64;

/** Chat completion's body of a conversation. What an engine does not take of it is the caller's to judge. */
export function writeChat(asked: Asked, wish: ChatWish): Json {
  const { sampling, thinking, toolChoice } = asked;
  const tools = allowed(asked).map((tool) => wireTool(tool, wish.marks === true));
  const fields: Json = {
    ...(foreign.has(asked.shape) ? undefined : asked.extensions),
    model: wish.model,
    messages: asked.prompt.kind === "messages" ? writeMessages(asked.prompt.messages, wish) : [],
    stream: wish.stream === true ? true : undefined,
    max_tokens: wish.outputTokens,
    temperature: sampling.temperature,
    top_p: sampling.topP,
    top_k: sampling.topK,
    min_p: sampling.minP,
    seed: sampling.seed,
    stop: sampling.stop,
    presence_penalty: sampling.presencePenalty,
    frequency_penalty: sampling.frequencyPenalty,
    logprobs: sampling.logprobs === undefined ? undefined : true,
    top_logprobs: sampling.logprobs,
    tools: tools.length > 0 ? tools : undefined,
    tool_choice: tools.length > 0 ? wireChoice(toolChoice) : undefined,
    parallel_tool_calls: tools.length > 0 ? asked.parallelTools : undefined,
    response_format: wireFormat(asked.format),
    reasoning_effort: thinking.effort,
    verbosity: asked.verbosity,
    prompt_cache_key: asked.cacheKey,
  };
  for (const name of Object.keys(fields)) if (fields[name] === undefined) delete fields[name];
  return fields;
}

/**
 * The name by which a chat engine knows a tool: chat has no groups, so the group stands before the name. A name that is too long keeps its
 * beginning and ends with a digest, the same one in every turn.
 */
export function chatToolName({ name, namespace }: Pick<Tool, "name" | "namespace">): string {
  const whole = namespace === undefined ? name : `${namespace}__${name}`;
  if (whole.length <= nameMost) return whole;
  const digest = createHash("sha256").update(whole).digest("hex").slice(0, 8);
  return `${whole.slice(0, nameMost - digest.length - 1)}_${digest}`;
}

function wireTool(tool: Tool, marks: boolean): Json {
  const { mark } = tool;
  return {
    type: "function",
    function: plainTool(tool),
    ...(marks && mark && { cache_control: wireMark(mark) }),
  };
}

/** A tool for an API that has neither groups of tools nor tools that take text: both become functions. */
export function plainTool(tool: Tool): Json & { name: string } {
  const { description, parameters, strict, custom } = tool;
  return {
    name: chatToolName(tool),
    ...(description !== undefined && { description: custom ? withFormat(description, custom.format) : description }),
    ...(custom ? { parameters: textParameters } : parameters !== undefined && { parameters }),
    ...(strict !== undefined && !custom && { strict }),
  };
}

/** Arguments of a tool that takes text: the text is the one argument. */
const textParameters = {
  type: "object",
  properties: { input: { type: "string", description: "The tool's input, as plain text." } },
  required: ["input"],
  additionalProperties: false,
};

/** A grammar cannot be enforced by every engine, so the model is told of it. */
function withFormat(description: string, format: Json | undefined): string {
  const { syntax, definition } = (format ?? {}) as { syntax?: unknown; definition?: unknown };
  if (typeof definition !== "string") return description;
  return `${description}\n\nThe input must match this ${typeof syntax === "string" ? `${syntax} ` : ""}grammar:\n${definition}`;
}

/** Tools that are named to the model. Few engines know a choice among several, so only those that may be called are named. */
export function allowed({ tools, toolChoice }: Asked): readonly Tool[] {
  const own = tools.filter(({ opaque }) => !opaque);
  if (typeof toolChoice !== "object" || !("anyOf" in toolChoice)) return own;
  return own.filter((tool) => toolChoice.anyOf.includes(chatToolName(tool)));
}

function wireChoice(choice: Asked["toolChoice"]): unknown {
  if (choice === undefined || typeof choice === "string") return choice;
  if ("name" in choice) return { type: "function", function: { name: choice.name } };
  return choice.required ? "required" : "auto";
}

function wireFormat(format: Asked["format"]): Json | undefined {
  if (!format) return undefined;
  if (format.kind === "json") return { type: "json_object" };
  const { name = "output", strict, schema } = format;
  return { type: "json_schema", json_schema: { name, ...(strict !== undefined && { strict }), schema } };
}

/** Messages of a conversation. Instructions at its beginning become one system message, because many templates take one alone. */
function writeMessages(messages: readonly Message[], wish: Pick<ChatWish, "systemAnywhere" | "marks">): Json[] {
  const written: Json[] = [];
  const marks = wish.marks === true;
  const isInstruction = ({ role }: Message) => role === "system" || role === "developer";
  const firstOther = messages.findIndex((message) => !isInstruction(message));
  const leading = firstOther < 0 ? messages : messages.slice(0, firstOther);
  if (leading.length > 0)
    written.push(
      systemMessage(
        leading.flatMap(({ parts }) => parts),
        marks,
      ),
    );
  /** Instructions from the middle that wait for a user's message. */
  let waiting: Part[] = [];
  for (const message of messages.slice(leading.length)) {
    if (isInstruction(message)) {
      if (wish.systemAnywhere) written.push(systemMessage(message.parts, marks));
      else waiting.push(...message.parts);
    } else if (message.role === "assistant") {
      written.push(assistantMessage(message, marks));
    } else {
      waiting = writeUser(written, message, waiting, marks);
    }
  }
  if (waiting.length > 0) written.push({ role: "user", content: contentOf(waiting, marks) });
  return written;
}

/** Instructions as one text, which every template reads; as parts only where a part is marked. */
function systemMessage(parts: readonly Part[], marks: boolean): Json {
  const texts = parts.filter((part) => part.kind === "text");
  const isMarked = marks && texts.some(({ mark }) => mark);
  return {
    role: "system",
    content: isMarked ? contentOf(texts, marks) : texts.map(({ text }) => text).join("\n\n"),
  };
}

/** A user's message with the results of tools in it; answers the instructions that still wait. */
function writeUser(written: Json[], { parts, name }: Message, waiting: Part[], marks: boolean): Part[] {
  const said: Part[] = [];
  for (const part of parts) {
    if (part.kind !== "tool_result") {
      said.push(part);
      continue;
    }
    written.push({ role: "tool", tool_call_id: part.id, content: resultText(part) });
    // Results of one turn stand together, so that engines match them to their calls; what is no text follows them.
    said.push(...part.parts.filter(isMedium));
  }
  if (said.length === 0) return waiting;
  const content = contentOf([...waiting, ...said], marks);
  written.push({ role: "user", ...(name !== undefined && { name }), content });
  return [];
}

const isMedium = ({ kind }: Part): boolean =>
  kind === "image" || kind === "audio" || kind === "video" || kind === "file";

function resultText({ parts, isError }: ToolResultPart): string {
  const text = textOf(parts);
  return isError ? `Error: ${text}` : text;
}

const textOf = (parts: readonly Part[]): string =>
  parts.map((part) => (part.kind === "text" || part.kind === "refusal" ? part.text : "")).join("");

function assistantMessage({ parts, name }: Message, marks: boolean): Json {
  const calls = parts.filter((part): part is ToolCallPart => part.kind === "tool_call");
  const thought = parts.map((part) => (part.kind === "reasoning" && !part.summary ? part.text : "")).join("");
  const said = parts.filter(({ kind }) => kind === "text" || kind === "refusal");
  const marked = marks && said.some((part) => part.kind === "text" && part.mark);
  const text = textOf(said);
  return {
    role: "assistant",
    ...(name !== undefined && { name }),
    content: marked ? contentOf(said, marks) : text === "" && calls.length > 0 ? null : text,
    ...(thought !== "" && { reasoning_content: thought }),
    ...(calls.length > 0 && { tool_calls: calls.map(wireCall) }),
  };
}

const wireCall = (call: ToolCallPart): Json => ({
  id: call.id,
  type: "function",
  function: { name: chatToolName(call), arguments: plainArguments(call) },
});

/** Arguments of a call as JSON text; the text of a tool that takes text is the one argument of its function. */
export const plainArguments = ({ custom, arguments: text }: ToolCallPart): string =>
  custom ? JSON.stringify({ input: text }) : text;

/** A single text is written as text, which every engine reads. */
function contentOf(parts: readonly Part[], marks: boolean): string | Json[] {
  const written = parts.flatMap((part) => contentPart(part, marks));
  const [only] = written;
  if (!only) return "";
  const isPlain = written.length === 1 && only["type"] === "text" && !only["cache_control"];
  return isPlain ? (only["text"] as string) : written;
}

function contentPart(part: Part, marks: boolean): Json[] {
  const mark = marks && "mark" in part && part.mark ? { cache_control: wireMark(part.mark) } : {};
  switch (part.kind) {
    case "text":
    case "refusal":
      return [{ type: "text", text: part.text, ...mark }];
    case "image":
      return [{ type: "image_url", image_url: { url: part.url, ...detailOf(part.detail) }, ...mark }];
    case "file":
      return [
        {
          type: "file",
          file: { file_data: part.url, ...(part.name !== undefined && { filename: part.name }) },
          ...mark,
        },
      ];
    case "audio":
    case "video":
      return [{ type: `${part.kind}_url`, [`${part.kind}_url`]: { url: part.url }, ...mark }];
    default:
      return [];
  }
}

/** Chat knows three words for how closely an image is looked at. */
const detailOf = (detail: string | undefined): Json =>
  detail === "auto" || detail === "low" || detail === "high" ? { detail } : {};

const wireMark = ({ ttlSeconds }: CacheMark): Json => ({
  type: "ephemeral",
  ...(ttlSeconds !== undefined && { ttl: ttlSeconds > 300 ? "1h" : "5m" }),
});
