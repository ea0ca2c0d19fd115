// What every protocol promises, of Google's API. Its path names the model and says whether the answer streams, so `model` and `stream` of
// these bodies are taken out of them before they are read.
import type { ModelCall } from "../../modelCall.ts";
import { protocolSuite, type Read } from "../suite.ts";
import { gemini } from "./index.ts";

type Json = Record<string, any>;

function decode(given: Record<string, unknown>): ModelCall {
  const isObject = given !== null && typeof given === "object" && !Array.isArray(given);
  const { model, stream, ...body } = isObject ? given : ({ model: "m" } as Json);
  const json: unknown = isObject ? body : given;
  const text = JSON.stringify(json);
  return gemini.decode({
    route: gemini.calls[stream === true ? 1 : 0]!,
    model: model as string,
    path: "",
    query: new URLSearchParams("alt=sse"),
    headers: {},
    bytes: Buffer.from(text),
    json,
  });
}

/** What Google's SDK understands of the objects of an answer, in their order. */
function readObjects(objects: Json[]): Read {
  const read: Read = { text: "", toolCalls: [], finish: undefined, usage: undefined };
  for (const { candidates = [], usageMetadata, error } of objects) {
    if (error) throw new Error(error.message);
    for (const { content, finishReason } of candidates as Json[]) {
      for (const part of (content?.parts ?? []) as Json[]) {
        if (typeof part["text"] === "string" && !part["thought"]) read.text += part["text"];
        const { id, name, args } = part["functionCall"] ?? {};
        if (name !== undefined) read.toolCalls.push({ id, name, arguments: JSON.stringify(args) });
      }
      if (finishReason !== undefined) read.finish = finishReason === "STOP" ? "stop" : finishReason;
    }
    if (usageMetadata)
      read.usage = {
        promptTokens: usageMetadata.promptTokenCount,
        cachedTokens: usageMetadata.cachedContentTokenCount ?? 0,
        outputTokens: usageMetadata.candidatesTokenCount + (usageMetadata.thoughtsTokenCount ?? 0),
      };
  }
  return read;
}

const eventsOf = (text: string): Json[] =>
  text
    .split("\n\n")
    .filter((event) => event.startsWith("data: "))
    .map((event) => JSON.parse(event.slice("data: ".length)) as Json);

const contents = [{ role: "user", parts: [{ text: "hi" }] }];
const minimal = { model: "m", contents };
const schema = { type: "object", properties: { a: { type: "number" } } };
const own = (data: Json) => ({ shape: "gemini" as const, data, text: JSON.stringify(data) });
const saying = (text: string, finishReason?: string): Json => ({
  candidates: [{ content: { parts: [{ text }], role: "model" }, ...(finishReason && { finishReason }), index: 0 }],
  usageMetadata: { promptTokenCount: 12, candidatesTokenCount: 3, totalTokenCount: 15 },
  modelVersion: "gemini-3.8-flash",
});

protocolSuite({
  protocol: gemini,
  translated: true,
  decode,
  minimal,
  maximal: {
    model: "m",
    stream: true,
    systemInstruction: { parts: [{ text: "Be brief." }] },
    contents: [
      { role: "user", parts: [{ text: "Look" }, { inlineData: { mimeType: "image/png", data: "AA==" } }] },
      {
        role: "model",
        parts: [
          { text: "Hm", thought: true },
          { functionCall: { id: "c1", name: "f", args: { a: 1 } }, thoughtSignature: "c2ln" },
        ],
      },
      { role: "user", parts: [{ functionResponse: { id: "c1", name: "f", response: { error: "no" } } }] },
    ],
    tools: [{ functionDeclarations: [{ name: "f", description: "d", parametersJsonSchema: schema }] }],
    toolConfig: { functionCallingConfig: { mode: "ANY", allowedFunctionNames: ["f"] } },
    generationConfig: {
      temperature: 0.5,
      topP: 0.9,
      topK: 5,
      seed: 7,
      maxOutputTokens: 30,
      stopSequences: ["X"],
      responseMimeType: "application/json",
      responseJsonSchema: schema,
      thinkingConfig: { includeThoughts: true, thinkingLevel: "HIGH" },
    },
    labels: { team: "a" },
  },
  decoded: {
    model: "m",
    stream: true,
    prompt: {
      kind: "messages",
      messages: [
        { role: "system", parts: [{ kind: "text", text: "Be brief." }] },
        {
          role: "user",
          parts: [
            { kind: "text", text: "Look" },
            { kind: "image", url: "data:image/png;base64,AA==" },
          ],
        },
        {
          role: "assistant",
          parts: [
            { kind: "reasoning", text: "Hm" },
            { kind: "reasoning", text: "", proof: { origin: "gemini", signature: "c2ln" } },
            { kind: "tool_call", id: "c1", name: "f", arguments: '{"a":1}' },
          ],
        },
        {
          role: "user",
          parts: [
            {
              kind: "tool_result",
              id: "c1",
              name: "f",
              isError: true,
              parts: [{ kind: "text", text: '{"error":"no"}' }],
            },
          ],
        },
      ],
    },
    tools: [{ name: "f", description: "d", parameters: schema }],
    toolChoice: { name: "f" },
    format: { kind: "schema", schema },
    sampling: { temperature: 0.5, topP: 0.9, topK: 5, seed: 7, stop: ["X"] },
    thinking: { asked: true, tokensBeside: 0, effort: "high", show: "summary" },
    extensions: { labels: { team: "a" } },
    leftOut: [],
  },
  refused: [
    [{ contents }, "model"],
    [{ model: "m" }, "contents"],
    [{ model: "m", contents: [] }, "contents"],
    [{ ...minimal, generationConfig: { temperature: 3 } }, "generationConfig.temperature"],
    [{ ...minimal, generationConfig: { maxOutputTokens: 0 } }, "generationConfig.maxOutputTokens"],
    [{ ...minimal, toolConfig: { functionCallingConfig: { mode: "ANY" } } }, "toolConfig.functionCallingConfig"],
  ],
  unknown: { fields: ["model", "messages"], body: { ...minimal, cachedContent: "c" }, param: "cachedContent" },
  streaming: (body) => ({ ...body, stream: true }),
  calls: true,
  wire: { whole: own(saying("Hello", "STOP")), chunks: [own(saying("Hel")), own(saying("lo", "STOP"))] },
  readWhole: (body) => readObjects([JSON.parse(body) as Json]),
  readStream(text) {
    const read = readObjects(eventsOf(text));
    return { ...read, ended: read.finish !== undefined };
  },
  readError(body) {
    const { error } = JSON.parse(body) as Json;
    return { type: error.status, code: error.details[0].reason, message: error.message };
  },
  errorTypes: {
    invalid: "INVALID_ARGUMENT",
    unauthenticated: "UNAUTHENTICATED",
    busy: "RESOURCE_EXHAUSTED",
    failed: "INTERNAL",
  },
});
