// Answers of OpenAI's Responses, as an exchange reads them: whole ones, and streams of events. The items of an answer come one after the
// other, and the parts of an item in their order. Source: OpenAI's API reference, "Streaming events", as of November 2026.
//
// Servers differ in which events they send beside `output_item.done`: one that sends an item only when it is complete is read from that.
import type { AnswerDelta, EngineChunk, ToolCallDelta } from "../../types.ts";
import type { Part } from "../../asked.ts";
import { EngineError } from "../../types.ts";
import { limits } from "../../limits.ts";
import { refusalOf } from "../chat/usage.ts";
import { chatToolName } from "../chat/write.ts";
import { inTable, listIn, object, textIn } from "../values.ts";
import type { WireReader } from "../types.ts";
import { responsesUsage } from "./usage.ts";

type Json = Record<string, unknown>;

/** An item that has begun: what of it has come. */
interface Begun {
  /** Number of the call, for calls of tools. */
  call?: number;
  /** Text, or arguments, have come in pieces. */
  told: boolean;
  /** The name of the event that tells of its thought: servers tell the same thought as text and as a summary of it. */
  thought?: string;
}

/** What is remembered of an answer. */
interface ResponsesState {
  /** By the item's place in the answer. */
  items: Map<number, Begun>;
  calls: number;
}

/** Events that say how an answer ended. */
const endings = new Set(["response.completed", "response.incomplete", "response.failed"]);

/** Why an answer is incomplete, in the house's words. Any other word passes as it is. */
const reasons: Readonly<Record<string, string>> = { max_output_tokens: "length", max_tokens: "length" };

export const responsesReader: WireReader<ResponsesState> = {
  shape: "responses",
  promptCharacters,
  isAnswer: (data) => Array.isArray(data["output"]),
  begin: () => ({ items: new Map(), calls: 0 }),
  read(data, event, text, state) {
    const isWhole = Array.isArray(data["output"]);
    const type = typeOf(data, event);
    if (isWhole) failedIn(data);
    const delta = isWhole ? wholeDelta(data) : eventDelta(type, data, state);
    return {
      deltas: delta === undefined ? [] : [delta],
      characters: delta === undefined ? 0 : charactersOf(delta),
      bytes: text?.length ?? 0,
      reportsUsage: (isWhole || endings.has(type)) && reportIn(data) !== undefined,
      wire: { shape: "responses", data, text },
    } satisfies EngineChunk;
  },
  ends: (data, event) => (endings.has(typeOf(data, event)) ? "stream" : "no"),
  usage(data) {
    const report = reportIn(data);
    return report && responsesUsage(report);
  },
};

const typeOf = (data: Json, event: string | undefined): string => textIn(data, "type") || (event ?? "");

/** The usage of a whole answer, or of the event that ends a stream. Other events may hold a response without one. */
const reportIn = (data: Json): Json | undefined => object(data["usage"]) ?? object(object(data["response"])?.["usage"]);

/** Of a large body the bytes that it came as: writing it anew only to measure it costs milliseconds. */
function promptCharacters(body: Json, receivedBytes: number | undefined): number {
  if (receivedBytes !== undefined && receivedBytes > limits.largeBodyBytes) return receivedBytes;
  const { instructions, input, tools } = body;
  return JSON.stringify([instructions, input, tools]).length;
}

function charactersOf({ text = "", reasoning = "", refusal = "", toolCalls = [] }: AnswerDelta): number {
  const calls = toolCalls.reduce((sum, { name = "", arguments: text = "" }) => sum + name.length + text.length, 0);
  return text.length + reasoning.length + refusal.length + calls;
}

/** What an event adds; undefined for one that adds nothing, which most are that say again what has been told. */
function eventDelta(type: string, data: Json, state: ResponsesState): AnswerDelta | undefined {
  switch (type) {
    case "response.output_item.added":
      return beginItem(data, state);
    case "response.output_text.delta":
      return told(data, state, { index: 0, text: textIn(data, "delta") });
    case "response.refusal.delta":
      return told(data, state, { index: 0, refusal: textIn(data, "delta") });
    case "response.reasoning_text.delta":
    case "response.reasoning_summary_text.delta":
      return thoughtDelta(type, data, state);
    case "response.reasoning_summary_part.added":
      // Summaries come in several parts, which are paragraphs.
      return Number(data["summary_index"]) > 0 ? { index: 0, reasoning: "\n\n" } : undefined;
    case "response.function_call_arguments.delta":
    case "response.custom_tool_call_input.delta":
      return argumentsDelta(data, state);
    case "response.output_item.done":
      return endItem(data, state);
    case "response.completed":
    case "response.incomplete":
      return endDelta(object(data["response"]) ?? {}, state.calls > 0);
    case "response.failed":
      throw failure(object(object(data["response"])?.["error"]));
    case "error":
      throw failure(object(data["error"]) ?? data);
    default:
      return undefined;
  }
}

/** What is known of the item that an event belongs to. */
function itemAt(data: Json, { items }: ResponsesState): Begun {
  const place = typeof data["output_index"] === "number" ? data["output_index"] : 0;
  const known = items.get(place);
  if (known) return known;
  if (items.size >= limits.answerItemsMost) throw invalid(`it has more than ${limits.answerItemsMost} items`);
  const begun: Begun = { told: false };
  items.set(place, begun);
  return begun;
}

function told(data: Json, state: ResponsesState, delta: AnswerDelta): AnswerDelta {
  itemAt(data, state).told = true;
  return delta;
}

function thoughtDelta(type: string, data: Json, state: ResponsesState): AnswerDelta | undefined {
  const item = itemAt(data, state);
  item.thought ??= type;
  return item.thought === type ? { index: 0, reasoning: textIn(data, "delta") } : undefined;
}

function beginItem(data: Json, state: ResponsesState): AnswerDelta | undefined {
  const item = object(data["item"]) ?? {};
  const begun = itemAt(data, state);
  return isCall(item) && begun.call === undefined ? beginCall(item, begun, state, "") : undefined;
}

const isCall = ({ type }: Json): boolean => type === "function_call" || type === "custom_tool_call";

function beginCall(item: Json, begun: Begun, state: ResponsesState, text: string): AnswerDelta {
  begun.call = state.calls++;
  const call: ToolCallDelta = {
    index: begun.call,
    id: textIn(item, "call_id") || textIn(item, "id"),
    name: calledName(item),
    arguments: text,
  };
  return { index: 0, toolCalls: [call] };
}

/** The name by which the typed view knows the tool: with its group, where it has one. */
function calledName(item: Json): string {
  const name = textIn(item, "name");
  const namespace = textIn(item, "namespace");
  return chatToolName({ name, ...(namespace !== "" && { namespace }) });
}

function argumentsDelta(data: Json, state: ResponsesState): AnswerDelta | undefined {
  const item = itemAt(data, state);
  if (item.call === undefined) return undefined;
  item.told = true;
  return { index: 0, toolCalls: [{ index: item.call, arguments: textIn(data, "delta") }] };
}

/** A complete item adds what its events have not told: all of it where there were none, and the proof of a thought. */
function endItem(data: Json, state: ResponsesState): AnswerDelta | undefined {
  const item = object(data["item"]);
  if (!item) return undefined;
  const begun = itemAt(data, state);
  switch (item["type"]) {
    case "function_call":
    case "custom_tool_call": {
      const text = argumentsOf(item);
      if (begun.call === undefined) return beginCall(item, begun, state, text);
      return begun.told || text === "" ? undefined : { index: 0, toolCalls: [{ index: begun.call, arguments: text }] };
    }
    case "message":
      return begun.told ? undefined : deltaOf(partsOf(item));
    case "reasoning": {
      const delta = deltaOf(partsOf(item));
      if (delta && begun.thought !== undefined) delete delta.reasoning;
      return delta;
    }
    default:
      return { index: 0, opaque: [{ shape: "responses", item }] };
  }
}

const argumentsOf = (item: Json): string => textIn(item, item["type"] === "custom_tool_call" ? "input" : "arguments");

/** A delta that says what the parts say; undefined where they say nothing. */
function deltaOf(parts: readonly Part[]): AnswerDelta | undefined {
  if (parts.length === 0) return undefined;
  const delta: AnswerDelta = { index: 0 };
  const text = parts.map((part) => (part.kind === "text" ? part.text : "")).join("");
  const refusal = parts.map((part) => (part.kind === "refusal" ? part.text : "")).join("");
  const reasoning = parts.map((part) => (part.kind === "reasoning" ? part.text : "")).join("");
  if (text !== "") delta.text = text;
  if (refusal !== "") delta.refusal = refusal;
  if (reasoning !== "") delta.reasoning = reasoning;
  const proved = parts.findLast((part) => part.kind === "reasoning" && part.proof !== undefined);
  if (proved?.kind === "reasoning" && proved.proof) delta.proof = proved.proof;
  return delta;
}

/** Parts of an item of the answer. */
function partsOf(item: Json): Part[] {
  switch (item["type"]) {
    case "message":
      return listIn(item, "content").flatMap((part): Part[] => {
        if (part["type"] === "output_text") return [{ kind: "text", text: textIn(part, "text") }];
        return part["type"] === "refusal" ? [{ kind: "refusal", text: textIn(part, "refusal") }] : [];
      });
    case "reasoning":
      return thoughtOf(item);
    case "function_call":
    case "custom_tool_call":
      return [
        {
          kind: "tool_call",
          id: textIn(item, "call_id") || textIn(item, "id"),
          name: calledName(item),
          arguments: argumentsOf(item),
        },
      ];
    default:
      return [{ kind: "opaque", shape: "responses", item }];
  }
}

function thoughtOf(item: Json): Part[] {
  const content = listIn(item, "content").map((part) => textIn(part, "text"));
  const summary = listIn(item, "summary").map((part) => textIn(part, "text"));
  const encrypted = textIn(item, "encrypted_content");
  const id = textIn(item, "id");
  const text = content.join("") || summary.join("\n\n");
  if (text === "" && encrypted === "") return [];
  return [
    {
      kind: "reasoning",
      text,
      ...(content.length === 0 && text !== "" && { summary: true }),
      ...(encrypted !== "" && { proof: { origin: "openai", encrypted, ...(id !== "" && { id }) } }),
    },
  ];
}

function wholeDelta(data: Json): AnswerDelta {
  const items = listIn(data, "output");
  const blocks = items.flatMap(partsOf);
  const calls = blocks.filter((part) => part.kind === "tool_call");
  const delta: AnswerDelta = { ...deltaOf(blocks), ...endDelta(data, calls.length > 0), index: 0, blocks };
  if (delta.text === undefined && calls.length === 0) delta.text = "";
  if (calls.length > 0)
    delta.toolCalls = calls.map(({ id, name, arguments: text }, index) => ({ index, id, name, arguments: text }));
  const opaque = blocks.flatMap((part) => (part.kind === "opaque" ? [{ shape: part.shape, item: part.item }] : []));
  if (opaque.length > 0) delta.opaque = opaque;
  return delta;
}

/** How the response ended. One that is still `in_progress` says nothing of it. */
function endDelta(response: Json, hasCalls: boolean): AnswerDelta {
  const incomplete = textIn(object(response["incomplete_details"]) ?? {}, "reason");
  if (incomplete !== "" || response["status"] === "incomplete")
    return { index: 0, finish: inTable(reasons, incomplete) ?? (incomplete || "length") };
  return { index: 0, finish: hasCalls ? "tool_calls" : "stop" };
}

/** Throws where a whole answer says that it has failed. */
function failedIn(data: Json): void {
  if (data["status"] === "failed" || data["status"] === "cancelled") throw failure(object(data["error"]));
}

/** Codes of failures that are the account's or the load's, and no fault of the answer. */
const statuses: Readonly<Record<string, number>> = {
  rate_limit_exceeded: 429,
  insufficient_quota: 429,
  server_is_overloaded: 503,
  slow_down: 503,
  context_length_exceeded: 400,
  invalid_prompt: 400,
};

function failure(error: Json | undefined): EngineError {
  const status = inTable(statuses, textIn(error ?? {}, "code")) ?? 502;
  return refusalOf(
    status,
    JSON.stringify({ error: error ?? { message: "The engine's answer has failed." } }),
    undefined,
  );
}

function invalid(why: string): EngineError {
  return new EngineError({
    status: 502,
    code: "engine_invalid_answer",
    message: `The engine's answer cannot be read: ${why}.`,
    hint: "Check that the address belongs to an engine that speaks OpenAI's Responses.",
  });
}
