// A call as Anthropic's Messages: what engines that speak Messages are sent when the client spoke another API. One write, from the typed
// view. Source: Anthropic's API reference and the types of its official client, as of November 2026.
//
// Thought goes back only to the API that wrote it: Anthropic refuses a thought without its signature, so thought of other models is left
// out. Results of tools stand first in the user's turn that follows the calls, which Anthropic requires.
import { createHash } from "node:crypto";
import type { Asked, CacheMark, Message, Part, Tool } from "../../asked.ts";
import { chatToolName } from "../chat/write.ts";
import { pathIn, type Said } from "../paths.ts";
import type { Unsaid, WireWriter, WriteWish } from "../types.ts";
import { thinkingFields } from "./thinking.ts";

type Json = Record<string, unknown>;

/** Most marks of the prompt cache that Anthropic takes in one call. */
const marksMost = 4;

/** What a body must say where neither the client nor the gateway has set a limit of output. */
const usualOutputTokens = 4_096;

export const messagesWriter: WireWriter = { unsaid, write };

function unsaid({ shape, sampling, answersPerPrompt }: Asked): Unsaid[] {
  const { temperature, seed, minP, logprobs, presencePenalty = 0, frequencyPenalty = 0 } = sampling;
  const refused = (said: Said, reason: string): Unsaid => ({ path: pathIn(shape, said), reason, isHint: false });
  const noWord = "is not known to Anthropic's API";
  const found: Unsaid[] = [];
  if (temperature !== undefined && temperature > 1)
    found.push(refused("temperature", "is above 1, the highest that Anthropic's API takes"));
  if (seed !== undefined) found.push(refused("seed", noWord));
  if (minP !== undefined) found.push(refused("minP", noWord));
  if (logprobs !== undefined) found.push(refused("logprobs", noWord));
  if (presencePenalty !== 0) found.push(refused("presencePenalty", noWord));
  if (frequencyPenalty !== 0) found.push(refused("frequencyPenalty", noWord));
  if (answersPerPrompt > 1) found.push(refused("answers", "asks for several answers, and Anthropic's API gives one"));
  return found;
}

function write(asked: Asked, wish: WriteWish): Json {
  const { sampling, format } = asked;
  const outputTokens = wish.outputTokens ?? usualOutputTokens;
  const { system, messages } = conversation(asked.prompt.kind === "messages" ? asked.prompt.messages : []);
  if (format?.kind === "json") system.push({ type: "text", text: jsonOnly });
  const tools = toolsOf(asked);
  const { thinking, effort } = thinkingFields(asked, outputTokens, wish.capabilities?.thinks);
  const outputConfig: Json = {
    ...(effort !== undefined && { effort }),
    ...(format?.kind === "schema" && { format: { type: "json_schema", schema: format.schema } }),
  };
  const fields: Json = {
    model: wish.model,
    max_tokens: outputTokens,
    stream: wish.stream === true ? true : undefined,
    cache_control: wholeMark(asked),
    system: system.length > 0 ? system : undefined,
    messages,
    tools: tools.length > 0 ? tools : undefined,
    tool_choice: tools.length > 0 ? choiceOf(asked) : undefined,
    temperature: thinking ? undefined : sampling.temperature,
    top_p: thinking ? undefined : sampling.topP,
    top_k: thinking ? undefined : sampling.topK,
    stop_sequences: sampling.stop && sampling.stop.length > 0 ? sampling.stop : undefined,
    thinking,
    output_config: Object.keys(outputConfig).length > 0 ? outputConfig : undefined,
  };
  for (const name of Object.keys(fields)) if (fields[name] === undefined) delete fields[name];
  keepLastMarks(fields);
  return fields;
}

/** Anthropic's API has no word for JSON of any shape. The gateway checks the answer. */
const jsonOnly = "Answer with one JSON object and nothing else: no other text, and no code fence.";

/** Where the client asked that the prompt be kept, and not up to which place: a mark of the whole, for the times that Anthropic knows. */
function wholeMark({ cacheTtlSeconds: ttlSeconds }: Asked): Json | undefined {
  return ttlSeconds === 300 || ttlSeconds === 3600 ? wireMark({ ttlSeconds }) : undefined;
}

const wireMark = ({ ttlSeconds }: CacheMark): Json => ({
  type: "ephemeral",
  ...(ttlSeconds !== undefined && { ttl: ttlSeconds > 300 ? "1h" : "5m" }),
});

const marked = ({ mark }: { mark?: CacheMark }): Json => (mark ? { cache_control: wireMark(mark) } : {});

/** Takes all marks off but the last four, which cover the longest prefixes. */
function keepLastMarks(body: Json): void {
  const blocks = [...asList(body["tools"]), ...asList(body["system"])];
  for (const message of asList(body["messages"])) blocks.push(...asList(message["content"]));
  const holders = blocks.filter((block) => block["cache_control"] !== undefined);
  const most = marksMost - (body["cache_control"] === undefined ? 0 : 1);
  for (const block of holders.slice(0, Math.max(0, holders.length - most))) delete block["cache_control"];
}

const asList = (value: unknown): Json[] => (Array.isArray(value) ? (value as Json[]) : []);

function toolsOf({ tools, toolChoice }: Asked): Json[] {
  const only = typeof toolChoice === "object" && "anyOf" in toolChoice ? toolChoice.anyOf : undefined;
  const own = tools.filter(({ opaque }) => !opaque || opaque.shape === "messages");
  return own
    .filter((tool) => only === undefined || only.includes(chatToolName(tool)))
    .map((tool) => tool.opaque?.item ?? toolOf(tool));
}

function toolOf(tool: Tool): Json {
  const { description, parameters, strict, custom, deferred } = tool;
  return {
    name: chatToolName(tool),
    ...(description !== undefined && { description }),
    input_schema: custom ? textInput : (parameters ?? { type: "object", properties: {} }),
    ...(strict === true && !custom && { strict }),
    ...(deferred === true && { defer_loading: true }),
    ...marked(tool),
  };
}

/** Input of a tool that takes text: the text is its one member. */
const textInput = {
  type: "object",
  properties: { input: { type: "string", description: "The tool's input, as plain text." } },
  required: ["input"],
};

function choiceOf({ toolChoice, parallelTools }: Asked): Json | undefined {
  const parallel = parallelTools === false ? { disable_parallel_tool_use: true } : {};
  if (toolChoice === undefined) return parallelTools === false ? { type: "auto", ...parallel } : undefined;
  if (toolChoice === "none") return { type: "none" };
  if (toolChoice === "auto") return { type: "auto", ...parallel };
  if (toolChoice === "required") return { type: "any", ...parallel };
  if ("name" in toolChoice) return { type: "tool", name: toolChoice.name, ...parallel };
  return { type: toolChoice.required ? "any" : "auto", ...parallel };
}

/** Instructions at the beginning are the system prompt; later ones stand where they are said, as text of the user's turn. */
function conversation(messages: readonly Message[]): { system: Json[]; messages: Json[] } {
  const isInstruction = ({ role }: Message) => role === "system" || role === "developer";
  const firstOther = messages.findIndex((message) => !isInstruction(message));
  const leading = firstOther < 0 ? messages : messages.slice(0, firstOther);
  const system = leading.flatMap(({ parts }) => parts.flatMap(blocksOf)).filter(({ type }) => type === "text");
  const turns: { role: "user" | "assistant"; content: Json[] }[] = [];
  for (const { role, parts } of messages.slice(leading.length)) {
    const turn = role === "assistant" ? "assistant" : "user";
    const blocks = parts.flatMap(blocksOf);
    const last = turns.at(-1);
    if (last?.role === turn) last.content.push(...blocks);
    else turns.push({ role: turn, content: blocks });
  }
  const said = turns.filter(({ content }) => content.length > 0);
  for (const turn of said) if (turn.role === "user") turn.content = resultsFirst(turn.content);
  // A conversation has a user's turn at least.
  if (said.length === 0 && system.length > 0) return { system: [], messages: [{ role: "user", content: system }] };
  return { system, messages: said };
}

const resultsFirst = (content: Json[]): Json[] => [
  ...content.filter(({ type }) => type === "tool_result"),
  ...content.filter(({ type }) => type !== "tool_result"),
];

/** Blocks of a part. Anthropic refuses a text of nothing. */
function blocksOf(part: Part): Json[] {
  switch (part.kind) {
    case "text":
      return part.text === "" ? [] : [{ type: "text", text: part.text, ...marked(part) }];
    case "refusal":
      return part.text === "" ? [] : [{ type: "text", text: part.text }];
    case "image":
      return [{ type: "image", source: sourceOf(part.url), ...marked(part) }];
    case "file":
      return [documentOf(part)];
    case "reasoning":
      return thoughtOf(part);
    case "tool_call":
      return [
        { type: "tool_use", id: legalId(part.id), name: chatToolName(part), input: inputOf(part), ...marked(part) },
      ];
    case "tool_result":
      return [
        {
          type: "tool_result",
          tool_use_id: legalId(part.id),
          content: part.parts.flatMap(blocksOf),
          ...(part.isError === true && { is_error: true }),
          ...marked(part),
        },
      ];
    case "opaque":
      return part.shape === "messages" ? [part.item] : [];
    case "audio":
    case "video":
      return [];
  }
}

function thoughtOf({ text, proof }: Extract<Part, { kind: "reasoning" }>): Json[] {
  if (proof?.origin !== "anthropic") return [];
  if (proof.encrypted !== undefined) return [{ type: "redacted_thinking", data: proof.encrypted }];
  return proof.signature === undefined ? [] : [{ type: "thinking", thinking: text, signature: proof.signature }];
}

function inputOf({ arguments: text, custom }: Extract<Part, { kind: "tool_call" }>): unknown {
  if (custom) return { input: text };
  try {
    const read = JSON.parse(text) as unknown;
    if (read !== null && typeof read === "object" && !Array.isArray(read)) return read;
  } catch {
    // A model may have written what is no JSON; it is told so as text.
  }
  return text.trim() === "" ? {} : { raw_arguments: text };
}

/** `data:` as Anthropic writes a medium. Addresses were replaced by what they name before an engine is asked. */
function sourceOf(url: string): Json {
  const [, type, data] = /^data:([^;,]+);base64,(.*)$/s.exec(url) ?? [];
  return type === undefined ? { type: "url", url } : { type: "base64", media_type: type, data };
}

function documentOf(part: { url: string; name?: string; mark?: CacheMark }): Json {
  const source = sourceOf(part.url);
  const isText = source["media_type"] === "text/plain";
  const text = isText ? Buffer.from(String(source["data"]), "base64").toString("utf8") : "";
  return {
    type: "document",
    source: isText ? { type: "text", media_type: "text/plain", data: text } : source,
    ...(part.name !== undefined && { title: part.name }),
    ...marked(part),
  };
}

/** Anthropic's ids of calls have letters, digits, `_` and `-` alone. Another id becomes a digest, the same in the call and its result. */
const legalId = (id: string): string =>
  /^[A-Za-z0-9_-]{1,128}$/.test(id) ? id : `toolu_${createHash("sha256").update(id).digest("hex").slice(0, 24)}`;
