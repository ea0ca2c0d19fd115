// The clients of each API for tests that compare APIs: the same conversation in the words of each, and what such a client understands of an
// answer. Written apart from the protocols' own readers, so that a mistake of those is not repeated here.
import type { ModelCall } from "../modelCall.ts";
import { chat } from "../protocols/chat/index.ts";
import { gemini } from "../protocols/gemini/index.ts";
import { messages } from "../protocols/messages/index.ts";
import { responses } from "../protocols/responses/index.ts";
import type { Protocol } from "../protocols/types.ts";

type Json = Record<string, any>;

/** A turn of a conversation: what was asked, and of earlier turns the calls of the tool `look` and its results. */
interface Turns {
  system: string;
  asked: string;
  /** An image that goes with the question, as base64 of a PNG. */
  image?: string;
  /** A call that the model made and what the tool said, after the question. */
  looked?: { id: string; arguments: string; result: string };
  outputTokens?: number;
  stop?: string;
}

/** What a client understands of an answer. Counts as its API's documentation defines them, so that those of all APIs compare. */
interface Understood {
  thought: string;
  text: string;
  calls: { id: string; name: string; arguments: unknown }[];
  /** In the words of its API. */
  stop: string;
  usage: { prompt: number; cached: number; output: number; reasoning: number };
}

export interface TestClient {
  protocol: Protocol;
  ask(turns: Turns, stream: boolean): ModelCall;
  /** Of a whole answer, or of the events of a stream, which carry its end. */
  read(text: string, stream: boolean): Understood;
}

const schema = { type: "object", properties: { q: { type: "integer" } }, required: ["q"] };
const description = "Looks something up.";

function decoded(protocol: Protocol, json: Json, more: { model?: string; stream?: boolean } = {}): ModelCall {
  const text = JSON.stringify(json);
  const route = protocol.calls.find(({ stream }) => (stream ?? false) === (more.stream ?? false))!;
  return protocol.decode({
    route,
    model: more.model,
    path: route.path,
    query: new URLSearchParams({ alt: "sse" }),
    headers: {},
    bytes: Buffer.from(text),
    json,
  });
}

/** The data of each event; `[DONE]` is none. */
function eventsOf(text: string): Json[] {
  return text
    .split("\n")
    .filter((line) => line.startsWith("data: ") && line !== "data: [DONE]")
    .map((line) => JSON.parse(line.slice("data: ".length)) as Json);
}

const none: Understood = {
  thought: "",
  text: "",
  calls: [],
  stop: "",
  usage: { prompt: -1, cached: -1, output: -1, reasoning: -1 },
};

const chatClient: TestClient = {
  protocol: chat,
  ask({ system, asked, image, looked, outputTokens, stop }, stream) {
    const picture = { type: "image_url", image_url: { url: `data:image/png;base64,${image}` } };
    const call = looked && {
      id: looked.id,
      type: "function",
      function: { name: "look", arguments: looked.arguments },
    };
    return decoded(chat, {
      model: "scripted",
      stream,
      ...(stream && { stream_options: { include_usage: true } }),
      ...(outputTokens !== undefined && { max_completion_tokens: outputTokens }),
      ...(stop !== undefined && { stop: [stop] }),
      messages: [
        { role: "system", content: system },
        { role: "user", content: image === undefined ? asked : [{ type: "text", text: asked }, picture] },
        ...(call ? [{ role: "assistant", content: null, tool_calls: [call] }] : []),
        ...(looked ? [{ role: "tool", tool_call_id: looked.id, content: looked.result }] : []),
      ],
      tools: [{ type: "function", function: { name: "look", description, parameters: schema } }],
    });
  },
  read(text, stream) {
    const seen = structuredClone(none);
    const parts: Json[] = stream ? eventsOf(text) : [JSON.parse(text)];
    for (const { choices, usage } of parts) {
      for (const { delta, message, finish_reason } of choices as Json[]) {
        const said = (delta ?? message) as Json;
        seen.thought += said["reasoning_content"] ?? "";
        seen.text += said["content"] ?? "";
        for (const [place, call] of ((said["tool_calls"] ?? []) as Json[]).entries()) {
          const known = (seen.calls[call["index"] ?? place] ??= { id: "", name: "", arguments: "" });
          known.id = call["id"] ?? known.id;
          known.name += call["function"].name ?? "";
          known.arguments += call["function"].arguments ?? "";
        }
        seen.stop = finish_reason ?? seen.stop;
      }
      if (usage)
        seen.usage = {
          prompt: usage.prompt_tokens,
          cached: usage.prompt_tokens_details?.cached_tokens ?? 0,
          output: usage.completion_tokens,
          reasoning: usage.completion_tokens_details?.reasoning_tokens ?? 0,
        };
    }
    for (const call of seen.calls) call.arguments = JSON.parse(call.arguments as string);
    return seen;
  },
};

const responsesClient: TestClient = {
  protocol: responses,
  ask({ system, asked, image, looked, outputTokens }, stream) {
    const picture = { type: "input_image", image_url: `data:image/png;base64,${image}` };
    return decoded(responses, {
      model: "scripted",
      stream,
      store: false,
      reasoning: { effort: "low" },
      ...(outputTokens !== undefined && { max_output_tokens: outputTokens }),
      instructions: system,
      input: [
        { role: "user", content: [{ type: "input_text", text: asked }, ...(image === undefined ? [] : [picture])] },
        ...(looked
          ? [
              { type: "function_call", call_id: looked.id, name: "look", arguments: looked.arguments },
              { type: "function_call_output", call_id: looked.id, output: looked.result },
            ]
          : []),
      ],
      tools: [{ type: "function", name: "look", description, parameters: schema }],
    });
  },
  read(text, stream) {
    const response: Json = stream ? eventsOf(text).at(-1)!["response"] : JSON.parse(text);
    const output = response["output"] as Json[];
    const of = (type: string) => output.filter((item) => item["type"] === type);
    const texts = (items: Json[], ...names: string[]) =>
      items
        .flatMap((item) => names.flatMap((name) => (item[name] ?? []) as Json[]))
        .map((part) => part["text"])
        .join("");
    const { usage } = response;
    return {
      thought: texts(of("reasoning"), "content", "summary"),
      text: texts(of("message"), "content"),
      calls: of("function_call").map(({ call_id, name, arguments: written }) => ({
        id: call_id,
        name,
        arguments: JSON.parse(written),
      })),
      stop: response["incomplete_details"]?.reason ?? response["status"],
      usage: {
        prompt: usage.input_tokens,
        cached: usage.input_tokens_details.cached_tokens,
        output: usage.output_tokens,
        reasoning: usage.output_tokens_details.reasoning_tokens,
      },
    };
  },
};

const messagesClient: TestClient = {
  protocol: messages,
  ask({ system, asked, image, looked, outputTokens, stop }, stream) {
    const picture = { type: "image", source: { type: "base64", media_type: "image/png", data: image } };
    const use = looked && { type: "tool_use", id: looked.id, name: "look", input: JSON.parse(looked.arguments) };
    const result = looked && { type: "tool_result", tool_use_id: looked.id, content: looked.result };
    return decoded(messages, {
      model: "scripted",
      stream,
      max_tokens: outputTokens ?? 2_000,
      thinking: { type: "enabled", budget_tokens: 1_024 },
      ...(stop !== undefined && { stop_sequences: [stop] }),
      system,
      messages: [
        { role: "user", content: [{ type: "text", text: asked }, ...(image === undefined ? [] : [picture])] },
        ...(looked
          ? [
              { role: "assistant", content: [use] },
              { role: "user", content: [result] },
            ]
          : []),
      ],
      tools: [{ name: "look", description, input_schema: schema }],
    });
  },
  read(text, stream) {
    const message = stream ? gathered(eventsOf(text)) : (JSON.parse(text) as Json);
    const blocks = message["content"] as Json[];
    const { usage } = message;
    const texts = (type: string, name: string) =>
      blocks
        .filter((block) => block["type"] === type)
        .map((block) => block[name])
        .join("");
    return {
      thought: texts("thinking", "thinking"),
      text: texts("text", "text"),
      calls: blocks
        .filter(({ type }) => type === "tool_use")
        .map(({ id, name, input }) => ({ id, name, arguments: input })),
      stop: message["stop_reason"],
      usage: {
        prompt: usage.input_tokens + usage.cache_read_input_tokens + usage.cache_creation_input_tokens,
        cached: usage.cache_read_input_tokens,
        output: usage.output_tokens,
        reasoning: usage.output_tokens_details?.thinking_tokens ?? 0,
      },
    };
  },
};

/** A message out of its events, as Anthropic's clients put it together. */
function gathered(events: Json[]): Json {
  const message: Json = structuredClone(events.find(({ type }) => type === "message_start")!["message"]);
  const blocks = message["content"] as Json[];
  const written: string[] = [];
  for (const event of events) {
    if (event["type"] === "content_block_start") blocks[event["index"]] = structuredClone(event["content_block"]);
    if (event["type"] === "content_block_delta") {
      const { text, thinking, partial_json } = event["delta"];
      const block = blocks[event["index"]]!;
      if (text !== undefined) block["text"] += text;
      if (thinking !== undefined) block["thinking"] += thinking;
      if (partial_json !== undefined) written[event["index"]] = (written[event["index"]] ?? "") + partial_json;
    }
    if (event["type"] === "message_delta") {
      Object.assign(message, event["delta"]);
      message["usage"] = { ...message["usage"], ...event["usage"] };
    }
  }
  for (const [index, text] of written.entries()) if (text) blocks[index]!["input"] = JSON.parse(text);
  return message;
}

const geminiClient: TestClient = {
  protocol: gemini,
  ask({ system, asked, image, looked, outputTokens, stop }, stream) {
    const picture = { inlineData: { mimeType: "image/png", data: image } };
    const call = looked && { functionCall: { id: looked.id, name: "look", args: JSON.parse(looked.arguments) } };
    const answer = looked && { functionResponse: { id: looked.id, name: "look", response: { output: looked.result } } };
    return decoded(
      gemini,
      {
        systemInstruction: { parts: [{ text: system }] },
        contents: [
          { role: "user", parts: [{ text: asked }, ...(image === undefined ? [] : [picture])] },
          ...(looked
            ? [
                { role: "model", parts: [call] },
                { role: "user", parts: [answer] },
              ]
            : []),
        ],
        tools: [{ functionDeclarations: [{ name: "look", description, parametersJsonSchema: schema }] }],
        generationConfig: {
          thinkingConfig: { includeThoughts: true },
          ...(outputTokens !== undefined && { maxOutputTokens: outputTokens }),
          ...(stop !== undefined && { stopSequences: [stop] }),
        },
      },
      { model: "scripted", stream },
    );
  },
  read(text, stream) {
    const seen = structuredClone(none);
    const all: Json[] = stream ? eventsOf(text) : [JSON.parse(text)];
    for (const { candidates = [], usageMetadata: usage } of all) {
      for (const { content, finishReason } of candidates as Json[]) {
        for (const part of (content?.parts ?? []) as Json[]) {
          if (part["thought"] === true) seen.thought += part["text"];
          else if (part["text"] !== undefined) seen.text += part["text"];
          const called = part["functionCall"] as Json | undefined;
          if (called) seen.calls.push({ id: called["id"], name: called["name"], arguments: called["args"] });
        }
        seen.stop = finishReason ?? seen.stop;
      }
      if (usage)
        seen.usage = {
          prompt: usage.promptTokenCount + (usage.toolUsePromptTokenCount ?? 0),
          cached: usage.cachedContentTokenCount ?? 0,
          output: usage.candidatesTokenCount + (usage.thoughtsTokenCount ?? 0),
          reasoning: usage.thoughtsTokenCount ?? 0,
        };
    }
    return seen;
  },
};

export const testClients: readonly TestClient[] = [chatClient, responsesClient, messagesClient, geminiClient];
