// Answers of Google's generateContent, as an exchange reads them: whole ones, and streams of the same objects (`alt=sse`), each with the
// parts that are new. No event ends a stream: its last object says why the answer finished. Usage is told with every object and counts from
// the beginning. Source: Google's API reference of the Gemini API, as of November 2026.
import { randomBytes } from "node:crypto";
import type { Part } from "../../asked.ts";
import type { AnswerDelta, EngineChunk, Usage } from "../../types.ts";
import { EngineError } from "../../types.ts";
import { limits } from "../../limits.ts";
import { legalId } from "../ids.ts";
import { joinedDeltas } from "../joined.ts";
import { inTable, listIn, object, textIn, tokenCount } from "../values.ts";
import type { WireReader } from "../types.ts";
import { geminiRefusal } from "./errors.ts";

type Json = Record<string, unknown>;

/** What is remembered of an answer. */
interface GeminiState {
  /** Its objects are the events of a stream. */
  streams: boolean;
  /** Beginning of the ids of calls that come without one: no two answers share it. */
  salt: string | undefined;
  /** Calls of tools so far, by the candidate's number. */
  calls: Map<number, number>;
}

/** Why an answer finished, in the house's words. Any other word passes as it is. */
const finishes: Readonly<Record<string, string>> = {
  STOP: "stop",
  MAX_TOKENS: "length",
  SAFETY: "content_filter",
  RECITATION: "content_filter",
  BLOCKLIST: "content_filter",
  PROHIBITED_CONTENT: "content_filter",
  SPII: "content_filter",
  IMAGE_SAFETY: "content_filter",
};

export const geminiReader: WireReader<GeminiState> = {
  shape: "gemini",
  promptCharacters,
  isAnswer: (data) => Array.isArray(data["candidates"]) || blockReason(data) !== "",
  begin: (streams) => ({ streams, salt: undefined, calls: new Map() }),
  read(data, _event, text, state) {
    const deltas = candidatesIn(data).flatMap((candidate) => deltasOf(candidate, data, state));
    // A prompt that was blocked has no candidate.
    if (deltas.length === 0 && blockReason(data) !== "") deltas.push({ index: 0, finish: "content_filter" });
    return {
      deltas,
      characters: deltas.reduce((sum, delta) => sum + charactersOf(delta), 0),
      bytes: text?.length ?? 0,
      // Every object of a stream has a report, and the last one's is the whole answer's.
      reportsUsage: isEnd(data) && object(data["usageMetadata"]) !== undefined,
      wire: { shape: "gemini", data, text },
    } satisfies EngineChunk;
  },
  ends: (data) => (isEnd(data) ? "answer" : "no"),
  usage: ({ usageMetadata }) => geminiUsage(object(usageMetadata)),
  // Google counts a prompt anew at the end of a stream: recorded answers begin with 169 tokens and end with 79.
  isLastReport: (data) => isEnd(data),
  refusal: geminiRefusal,
};

const candidatesIn = (data: Json): Json[] => listIn(data, "candidates");

const blockReason = (data: Json): string => textIn(object(data["promptFeedback"]) ?? {}, "blockReason");

const isEnd = (data: Json): boolean =>
  blockReason(data) !== "" || candidatesIn(data).some((candidate) => textIn(candidate, "finishReason") !== "");

/** Of a large body the bytes that it came as: writing it anew only to measure it costs milliseconds. */
function promptCharacters(body: Json, receivedBytes: number | undefined): number {
  if (receivedBytes !== undefined && receivedBytes > limits.largeBodyBytes) return receivedBytes;
  const { systemInstruction, contents, tools } = body;
  return JSON.stringify([systemInstruction, contents, tools]).length;
}

function charactersOf({ text = "", reasoning = "", toolCalls = [] }: AnswerDelta): number {
  const calls = toolCalls.reduce((sum, { name = "", arguments: text = "" }) => sum + name.length + text.length, 0);
  return text.length + reasoning.length + calls;
}

/** What an object adds to one answer: a delta for each part, in their order; of a whole answer one delta with its blocks. */
function deltasOf(candidate: Json, data: Json, state: GeminiState): AnswerDelta[] {
  const index = Math.min(tokenCount(candidate["index"]) ?? 0, limits.answerItemsMost);
  const blocks = listIn(object(candidate["content"]) ?? {}, "parts").flatMap((part) =>
    blocksOf(part, index, data, state),
  );
  const before = (state.calls.get(index) ?? 0) - blocks.filter(({ kind }) => kind === "tool_call").length;
  let call = before;
  const deltas = blocks.map((block): AnswerDelta => deltaOf(block, index, block.kind === "tool_call" ? call++ : 0));
  const reason = textIn(candidate, "finishReason");
  const hasCalls = (state.calls.get(index) ?? 0) > 0;
  const finish =
    reason === "" ? undefined : reason === "STOP" && hasCalls ? "tool_calls" : (inTable(finishes, reason) ?? reason);
  if (state.streams) return finish === undefined ? deltas : [...deltas, { index, finish }];
  const whole = joinedDeltas(deltas, index);
  if (whole.text === undefined && whole.toolCalls === undefined) whole.text = "";
  return [{ ...whole, ...(finish !== undefined && { finish }), blocks: together(blocks) }];
}

/** Neighbouring pieces of text, or of thought that nothing proves, are one: a whole answer may have been put together from a stream. */
function together(blocks: readonly Part[]): Part[] {
  const written: Part[] = [];
  for (const block of blocks) {
    const last = written.at(-1);
    if (block.kind === "text" && last?.kind === "text")
      written[written.length - 1] = { kind: "text", text: last.text + block.text };
    else if (block.kind === "reasoning" && last?.kind === "reasoning" && last.proof === undefined)
      written[written.length - 1] = { ...block, text: last.text + block.text };
    else written.push(block);
  }
  return written;
}

function deltaOf(block: Part, index: number, call: number): AnswerDelta {
  switch (block.kind) {
    case "text":
      return { index, text: block.text };
    case "reasoning":
      return {
        index,
        ...(block.text !== "" && { reasoning: block.text }),
        ...(block.proof && { proof: block.proof }),
      };
    case "tool_call":
      return { index, toolCalls: [{ index: call, id: block.id, name: block.name, arguments: block.arguments }] };
    case "opaque":
      return { index, opaque: [{ shape: block.shape, item: block.item }] };
    default:
      return { index };
  }
}

/** A part of the answer. A signature proves the thought before it, so it comes before the part that it stands beside. */
function blocksOf(part: Json, index: number, data: Json, state: GeminiState): Part[] {
  const signature = textIn(part, "thoughtSignature");
  const proof = signature === "" ? undefined : { origin: "gemini" as const, signature };
  if (part["thought"] === true && typeof part["text"] === "string")
    return [{ kind: "reasoning", text: part["text"], ...(proof && { proof }) }];
  const said = partOf(part, index, data, state);
  return proof ? [{ kind: "reasoning", text: "", proof }, ...said] : said;
}

function partOf(part: Json, index: number, data: Json, state: GeminiState): Part[] {
  if (typeof part["text"] === "string") return part["text"] === "" ? [] : [{ kind: "text", text: part["text"] }];
  const called = object(part["functionCall"]);
  if (called) {
    const count = state.calls.get(index) ?? 0;
    if (count >= limits.answerItemsMost || (count === 0 && state.calls.size >= limits.answerItemsMost)) throw tooMany();
    state.calls.set(index, count + 1);
    return [
      {
        kind: "tool_call",
        id: textIn(called, "id") || newId(index, count, data, state),
        name: textIn(called, "name"),
        arguments: JSON.stringify(object(called["args"]) ?? {}),
      },
    ];
  }
  return Object.keys(part).some((name) => name !== "thoughtSignature")
    ? [{ kind: "opaque", shape: "gemini", item: part }]
    : [];
}

/** An id for a call that came without one: other APIs match results to calls by it. */
function newId(index: number, count: number, data: Json, state: GeminiState): string {
  state.salt ??= textIn(data, "responseId") || randomBytes(12).toString("base64url");
  return legalId(`call_${state.salt}_${index}_${count}`);
}

/**
 * Cached tokens are part of `promptTokenCount`. Thought is counted beside `candidatesTokenCount`, and what the provider's own tools read
 * beside the prompt. Undefined where the report says nothing of the prompt.
 */
function geminiUsage(report: Json | undefined): Usage | undefined {
  const prompt = tokenCount(report?.["promptTokenCount"]);
  if (!report || prompt === undefined) return undefined;
  const tools = tokenCount(report["toolUsePromptTokenCount"]) ?? 0;
  const promptTokens = Math.min(prompt + tools, Number.MAX_SAFE_INTEGER);
  const reported = tokenCount(report["cachedContentTokenCount"]);
  const thoughts = tokenCount(report["thoughtsTokenCount"]) ?? 0;
  const said = (tokenCount(report["candidatesTokenCount"]) ?? 0) + thoughts;
  // Some answers leave a count out that the total has.
  const total = tokenCount(report["totalTokenCount"]) ?? 0;
  const outputTokens = Math.min(Math.max(said, total - promptTokens), Number.MAX_SAFE_INTEGER);
  return {
    promptTokens,
    // Google leaves the member out where nothing was cached.
    cachedTokens: Math.min(reported ?? 0, promptTokens),
    outputTokens,
    reasoningTokens: Math.min(thoughts, outputTokens),
    source: "engine",
  };
}

const tooMany = (): EngineError =>
  new EngineError({
    status: 502,
    code: "engine_invalid_answer",
    message: `The engine's answer cannot be read: it calls more than ${limits.answerItemsMost} tools.`,
    hint: "Check that the address belongs to Google's API.",
  });
