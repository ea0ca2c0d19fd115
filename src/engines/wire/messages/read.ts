// Answers of Anthropic's Messages, as an exchange reads them: whole ones, and streams of events. The order of the events is the order of the
// blocks: each block is begun, filled and ended before the next one.
import type { Part, Proof } from "../../asked.ts";
import type { AnswerDelta, EngineChunk, ToolCallDelta, Usage } from "../../types.ts";
import { limits } from "../../limits.ts";
import { object } from "../values.ts";
import type { WireReader } from "../types.ts";
import { messagesRefusal } from "./errors.ts";
import { usageOf } from "./usage.ts";

type Json = Record<string, unknown>;

/** What is remembered of an answer. */
interface MessagesState {
  usage: Usage | undefined;
  /** Calls of tools that have begun. */
  calls: number;
  /** The block that is open: a call by its number, or an item that is kept whole. */
  open: { call: number } | { item: Json; input: string } | undefined;
}

/** Why an answer stopped, in the house's words. Any other word passes as it is. */
const finishes: Readonly<Record<string, string>> = {
  end_turn: "stop",
  stop_sequence: "stop",
  max_tokens: "length",
  tool_use: "tool_calls",
  pause_turn: "pause",
};

const textIn = (of: Json | undefined, name: string): string => {
  const value = of?.[name];
  return typeof value === "string" ? value : "";
};

export const messagesReader: WireReader<MessagesState> = {
  shape: "messages",
  promptCharacters,
  isAnswer: (data) => data["type"] === "message" && Array.isArray(data["content"]),
  begin: () => ({ usage: undefined, calls: 0, open: undefined }),
  read(data, _event, text, state) {
    const isWhole = data["type"] === "message";
    const delta = isWhole ? wholeDelta(data) : eventDelta(data, state);
    const chunk: EngineChunk = {
      deltas: delta === undefined ? [] : [delta],
      characters: delta === undefined ? 0 : charactersOf(delta),
      bytes: text?.length ?? 0,
      reportsUsage: (isWhole || data["type"] === "message_delta") && object(data["usage"]) !== undefined,
      wire: { shape: "messages", data, text },
    };
    return chunk;
  },
  ends(data) {
    if (data["type"] === "message_stop") return "stream";
    if (data["type"] !== "message_delta") return "no";
    return textIn(object(data["delta"]), "stop_reason") === "" ? "no" : "answer";
  },
  usage(data, state) {
    const isStart = data["type"] === "message_start";
    const said = object(isStart ? object(data["message"])?.["usage"] : data["usage"]);
    if (!said) return undefined;
    const usage = usageOf(said, state.usage, isStart);
    state.usage = usage ?? state.usage;
    return usage;
  },
  refusal: messagesRefusal,
};

/** Of a large body the bytes that it came as: writing it anew only to measure it costs milliseconds. */
function promptCharacters(body: Json, receivedBytes: number | undefined): number {
  if (receivedBytes !== undefined && receivedBytes > limits.largeBodyBytes) return receivedBytes;
  const { system, messages, tools } = body;
  return JSON.stringify([system, messages, tools]).length;
}

function charactersOf({ text = "", reasoning = "", toolCalls = [] }: AnswerDelta): number {
  const calls = toolCalls.reduce((sum, { name = "", arguments: text = "" }) => sum + name.length + text.length, 0);
  return text.length + reasoning.length + calls;
}

/** What an event adds; undefined for one that adds nothing. */
function eventDelta(data: Json, state: MessagesState): AnswerDelta | undefined {
  switch (data["type"]) {
    case "content_block_start":
      return beginBlock(object(data["content_block"]), state);
    case "content_block_delta":
      return fillBlock(object(data["delta"]), state);
    case "content_block_stop":
      return endBlock(state);
    case "message_delta":
      return endOf(object(data["delta"]));
    default:
      return undefined;
  }
}

function beginBlock(block: Json | undefined, state: MessagesState): AnswerDelta | undefined {
  state.open = undefined;
  if (!block) return undefined;
  switch (block["type"]) {
    case "text":
      return textIn(block, "text") === "" ? undefined : { index: 0, text: textIn(block, "text") };
    case "thinking": {
      const thinking = textIn(block, "thinking");
      return thinking === "" ? undefined : { index: 0, reasoning: thinking };
    }
    case "redacted_thinking":
      return { index: 0, proof: { origin: "anthropic", encrypted: textIn(block, "data") } };
    case "tool_use": {
      const call = state.calls++;
      state.open = { call };
      const begun: ToolCallDelta = { index: call, id: textIn(block, "id"), name: textIn(block, "name"), arguments: "" };
      return { index: 0, toolCalls: [begun] };
    }
    default:
      state.open = { item: block, input: "" };
      return undefined;
  }
}

function fillBlock(delta: Json | undefined, state: MessagesState): AnswerDelta | undefined {
  switch (delta?.["type"]) {
    case "text_delta":
      return { index: 0, text: textIn(delta, "text") };
    case "thinking_delta":
      return { index: 0, reasoning: textIn(delta, "thinking") };
    case "signature_delta":
      return { index: 0, proof: { origin: "anthropic", signature: textIn(delta, "signature") } };
    case "input_json_delta": {
      const { open } = state;
      const text = textIn(delta, "partial_json");
      if (open && "call" in open) return { index: 0, toolCalls: [{ index: open.call, arguments: text }] };
      if (open && open.input.length + text.length <= limits.eventBytes) open.input += text;
      return undefined;
    }
    default:
      return undefined;
  }
}

function endBlock(state: MessagesState): AnswerDelta | undefined {
  const { open } = state;
  state.open = undefined;
  if (!open || !("item" in open)) return undefined;
  return { index: 0, opaque: [{ shape: "messages", item: withInput(open.item, open.input) }] };
}

/** A server tool's call as whole answers have it: with the input that came in pieces. */
function withInput(item: Json, input: string): Json {
  if (input === "") return item;
  try {
    return { ...item, input: JSON.parse(input) as unknown };
  } catch {
    return item;
  }
}

function endOf(delta: Json | undefined): AnswerDelta | undefined {
  const reason = textIn(delta, "stop_reason");
  if (reason === "") return undefined;
  const ended: AnswerDelta = { index: 0, finish: Object.hasOwn(finishes, reason) ? finishes[reason]! : reason };
  if (reason === "stop_sequence") ended.stopSequence = textIn(delta, "stop_sequence");
  return ended;
}

function wholeDelta(data: Json): AnswerDelta {
  const content = Array.isArray(data["content"]) ? (data["content"] as Json[]) : [];
  const blocks = content.flatMap((block) => (object(block) ? [partOf(block)] : []));
  const delta: AnswerDelta = { index: 0, ...(!isUsualOrder(blocks) && { blocks }), ...endOf(data) };
  const text = blocks.map((part) => (part.kind === "text" ? part.text : "")).join("");
  const reasoning = blocks.map((part) => (part.kind === "reasoning" ? part.text : "")).join("");
  const calls = blocks.filter((part) => part.kind === "tool_call");
  if (text !== "" || calls.length === 0) delta.text = text;
  if (reasoning !== "") delta.reasoning = reasoning;
  const proof = blocks.findLast((part) => part.kind === "reasoning")?.proof;
  if (proof) delta.proof = proof;
  if (calls.length > 0)
    delta.toolCalls = calls.map(({ id, name, arguments: text }, index) => ({ index, id, name, arguments: text }));
  const opaque = blocks.flatMap((part) => (part.kind === "opaque" ? [{ shape: part.shape, item: part.item }] : []));
  if (opaque.length > 0) delta.opaque = opaque;
  return delta;
}

/** One thought at most, then text, then calls: the order that readers give to an answer without `blocks`. */
const isUsualOrder = (blocks: readonly Part[]): boolean =>
  /^(reasoning )?(text )*(tool_call )*$/.test(blocks.map(({ kind }) => `${kind} `).join(""));

function partOf(block: Json): Part {
  switch (block["type"]) {
    case "text":
      return { kind: "text", text: textIn(block, "text") };
    case "thinking": {
      const signature = textIn(block, "signature");
      const proof: Proof | undefined = signature === "" ? undefined : { origin: "anthropic", signature };
      return { kind: "reasoning", text: textIn(block, "thinking"), ...(proof && { proof }) };
    }
    case "redacted_thinking":
      return { kind: "reasoning", text: "", proof: { origin: "anthropic", encrypted: textIn(block, "data") } };
    case "tool_use": {
      const input = JSON.stringify(block["input"] ?? {});
      return { kind: "tool_call", id: textIn(block, "id"), name: textIn(block, "name"), arguments: input };
    }
    default:
      return { kind: "opaque", shape: "messages", item: block };
  }
}
