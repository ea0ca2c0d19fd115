// What an answer says, read from the JSON of its API alone: a second reader that shares nothing with the engines' readers or the protocols'
// writers, so that both can be held against it.
import type { Shape } from "../../src/engines/index.ts";

type Json = Record<string, any>;

/** An answer in words that all APIs have. */
export interface Said {
  text: string;
  /** Tool calls in order. Arguments are JSON, parsed where they can be. */
  calls: { name: string; arguments: unknown }[];
  /** Undefined where the answer does not say. `prompt` includes what came from a cache and what was written to it. */
  usage: { prompt: number; output: number; cached: number } | undefined;
}

/** What the data of a stream's events, or the one body of a whole answer, says. `streams`: they are events. */
export function saidBy(shape: Shape, parts: readonly Json[], streams: boolean): Said {
  const said: Said = { text: "", calls: [], usage: undefined };
  readers[shape as keyof typeof readers](said, parts, streams);
  for (const call of said.calls) call.arguments = parsed(call.arguments);
  return said;
}

function parsed(text: unknown): unknown {
  if (typeof text !== "string") return text ?? {};
  try {
    return JSON.parse(text === "" ? "{}" : text);
  } catch {
    return text;
  }
}

const readers = {
  chat(said: Said, parts: readonly Json[], streams: boolean) {
    const calls = new Map<number, { name: string; arguments: string }>();
    for (const part of parts) {
      const { usage } = part;
      if (usage)
        said.usage = {
          prompt: usage.prompt_tokens,
          output: usage.completion_tokens,
          cached: usage.prompt_tokens_details?.cached_tokens ?? usage.prompt_cache_hit_tokens ?? 0,
        };
      const [choice] = part["choices"] ?? [];
      if (!choice || choice.index > 0) continue;
      const message = (streams ? choice.delta : choice.message) ?? {};
      said.text += textOf(message.content);
      for (const [place, call] of (message.tool_calls ?? []).entries()) {
        const known = calls.get(call.index ?? place);
        if (known) known.arguments += call.function?.arguments ?? "";
        else calls.set(call.index ?? place, { name: call.function?.name, arguments: call.function?.arguments ?? "" });
      }
    }
    said.calls = [...calls.values()];
  },

  messages(said: Said, parts: readonly Json[], streams: boolean) {
    const blocks: Json[] = [];
    let usage: Json = {};
    for (const part of parts) {
      if (!streams) blocks.push(...part["content"]);
      if (part["type"] === "content_block_start") blocks[part["index"]] = { ...part["content_block"], written: "" };
      if (part["type"] === "content_block_delta") {
        const block = blocks[part["index"]]!;
        if (part["delta"].type === "text_delta") block["text"] += part["delta"].text;
        if (part["delta"].type === "input_json_delta") block["written"] += part["delta"].partial_json;
      }
      usage = { ...usage, ...part["message"]?.usage, ...part["usage"] };
    }
    for (const block of blocks) {
      if (block["type"] === "text") said.text += block["text"];
      if (block["type"] === "tool_use")
        said.calls.push({ name: block["name"], arguments: block["written"] || block["input"] });
    }
    if (usage["input_tokens"] === undefined) return;
    said.usage = { prompt: 0, output: 0, cached: 0 };
    // A compaction is a call of its own, which the figures beside the list leave out.
    const isCompacted = (usage["iterations"] ?? []).some((one: Json) => one["type"] === "compaction");
    for (const one of isCompacted ? usage["iterations"] : [usage]) {
      const cached = one["cache_read_input_tokens"] ?? 0;
      said.usage.prompt += one["input_tokens"] + cached + (one["cache_creation_input_tokens"] ?? 0);
      said.usage.output += one["output_tokens"];
      said.usage.cached += cached;
    }
  },

  responses(said: Said, parts: readonly Json[], streams: boolean) {
    const ended = parts.findLast((part) => !streams || /^response\.(completed|incomplete|failed)$/.test(part["type"]));
    const response = streams ? ended?.["response"] : ended;
    for (const item of response?.output ?? []) {
      if (item.type === "message")
        for (const part of item.content) if (part.type === "output_text") said.text += part.text;
      if (item.type === "function_call") said.calls.push({ name: fullName(item), arguments: item.arguments });
    }
    const usage = response?.usage;
    if (usage)
      said.usage = {
        prompt: usage.input_tokens,
        output: usage.output_tokens,
        cached: usage.input_tokens_details?.cached_tokens ?? 0,
      };
  },

  gemini(said: Said, parts: readonly Json[]) {
    for (const part of parts) {
      const usage = part["usageMetadata"];
      if (usage?.promptTokenCount !== undefined)
        said.usage = {
          prompt: usage.promptTokenCount + (usage.toolUsePromptTokenCount ?? 0),
          output: usage.totalTokenCount - usage.promptTokenCount - (usage.toolUsePromptTokenCount ?? 0),
          cached: usage.cachedContentTokenCount ?? 0,
        };
      for (const piece of part["candidates"]?.[0]?.content?.parts ?? []) {
        if (piece.text !== undefined && piece.thought !== true) said.text += piece.text;
        if (piece.functionCall) said.calls.push({ name: piece.functionCall.name, arguments: piece.functionCall.args });
      }
    }
  },
};

/** A tool of a namespace, by the name that clients of other APIs know it by. */
const fullName = ({ namespace, name }: Json): string =>
  namespace === undefined || namespace === null ? name : `${namespace}__${name}`;

const textOf = (content: unknown): string =>
  Array.isArray(content)
    ? content.map((part: Json) => (part["type"] === "text" ? part["text"] : "")).join("")
    : ((content ?? "") as string);

/** The JSON of a body's events. */
export const eventsOf = (body: string): Json[] =>
  body.split(/\r?\n\r?\n/).flatMap((event) => {
    const data = event
      .split(/\r?\n/)
      .flatMap((line) => (line.startsWith("data:") ? [line.slice(5).trimStart()] : []))
      .join("\n");
    return data === "" || data === "[DONE]" ? [] : [JSON.parse(data) as Json];
  });
