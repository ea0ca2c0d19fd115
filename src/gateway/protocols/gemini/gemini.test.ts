import { describe, expect, test } from "vitest";
import { LineshaftError } from "../../../errors/index.ts";
import type { AnswerDelta, RegisteredEndpoint, Shape, Usage } from "../../../engines/index.ts";
import type { ModelCall } from "../../modelCall.ts";
import { notOfferedAt, protocolOf, routeOf } from "../registry.ts";
import type { Told } from "../types.ts";
import { gemini } from "./index.ts";

type Json = Record<string, any>;

const contents = [{ role: "user", parts: [{ text: "hi" }] }];

function decoded(json: Json, { stream = false, query = "alt=sse" } = {}): ModelCall {
  const text = JSON.stringify(json);
  return gemini.decode({
    route: gemini.calls[stream ? 1 : 0]!,
    model: "m",
    path: "",
    query: new URLSearchParams(query),
    headers: {},
    bytes: Buffer.from(text),
    json,
  });
}

const endpoint = (capabilities: object): RegisteredEndpoint =>
  ({
    name: "m",
    kind: "openai",
    allowFields: [],
    facts: { models: ["m"], capabilities },
  }) as unknown as RegisteredEndpoint;
const chatOf = (body: Json, capabilities: object = {}): Json =>
  decoded({ contents, ...body })
    .fitted(endpoint(capabilities))
    .engineBody({ shape: "chat", model: "theirs" });

const told = (body: Json = {}): Told => ({ call: decoded({ contents, ...body }), id: "call_9", createdMs: 0 });
const wire = { shape: "chat" as Shape, data: {}, text: "{}" };
const usage: Usage = { promptTokens: 12, cachedTokens: 8, outputTokens: 5, reasoningTokens: 2, source: "engine" };
const whole = (delta: Omit<AnswerDelta, "index">, of = told()): Json =>
  JSON.parse(gemini.whole({ deltas: [{ index: 0, ...delta }], wire, usage }, of));

/** Events of a stream, as Google's SDK reads them: it yields each object and has no end but that of the body. */
function streamed(deltas: Omit<AnswerDelta, "index">[], of = told()): Json[] {
  const encode = gemini.events(of);
  const chunks = [...deltas.map((delta) => ({ deltas: [{ index: 0, ...delta }], wire })), { deltas: [], wire, usage }];
  const text = [...chunks.map((chunk) => encode(chunk)), encode(undefined)].join("");
  return text
    .split("\n\n")
    .filter((event) => event !== "")
    .map((event) => JSON.parse(event.slice("data: ".length)) as Json);
}
const partsOf = (events: Json[]): Json[] => events.flatMap(({ candidates }) => candidates[0].content.parts);

describe("decode", () => {
  test("the path names the model, also one with slashes and colons, and says whether the answer streams", () => {
    expect(routeOf("POST", "/v1beta/models/org/m:tag:generateContent")).toMatchObject({
      protocol: gemini,
      names: { model: "org/m:tag" },
    });
    expect(routeOf("POST", "/v1beta/models/m:streamGenerateContent")).toMatchObject({ call: { stream: true } });
    expect(routeOf("POST", "/v1beta/models/m:countTokens")).toMatchObject({ question: { action: "models.read" } });
    expect(decoded({ contents }, { stream: true })).toMatchObject({ model: "m", stream: true, shape: "gemini" });
    expect(() => decoded({ contents }, { stream: true, query: "" })).toThrow(expect.objectContaining({ param: "alt" }));
  });

  test("every field that it knows is read, in both spellings", () => {
    const body = {
      systemInstruction: { parts: [{ text: "S" }] },
      contents: [
        { role: "user", parts: [{ text: "Look" }, { inlineData: { mimeType: "image/png", data: "AA==" } }] },
        {
          role: "model",
          parts: [
            { text: "Hm", thought: true },
            { functionCall: { name: "f", args: { a_b: 1 } }, thoughtSignature: "sig" },
            { functionCall: { name: "f", args: {} } },
          ],
        },
        {
          role: "user",
          parts: [
            { functionResponse: { name: "f", response: { output_text: "r" } } },
            { functionResponse: { name: "f", response: { error: "no" } } },
          ],
        },
      ],
      tools: [
        {
          functionDeclarations: [
            { name: "f", description: "d", parameters: { type: "OBJECT", properties: { a_b: { type: "INTEGER" } } } },
          ],
        },
      ],
      toolConfig: { functionCallingConfig: { mode: "ANY", allowedFunctionNames: ["f"] } },
      generationConfig: {
        temperature: 0.5,
        topP: 0.9,
        topK: 5,
        seed: 1,
        maxOutputTokens: 30,
        stopSequences: ["X"],
        responseMimeType: "application/json",
        responseJsonSchema: { type: "OBJECT", properties: { a: { type: "STRING", nullable: true } } },
        thinkingConfig: { includeThoughts: true, thinkingLevel: "HIGH" },
      },
    };
    const { generationConfig, toolConfig: _choice, systemInstruction, ...rest } = body;
    const { responseJsonSchema, ...config } = generationConfig;
    const snake = {
      ...rest,
      system_instruction: systemInstruction,
      tool_config: { function_calling_config: { mode: "ANY", allowed_function_names: ["f"] } },
      generation_config: { ...config, response_json_schema: responseJsonSchema },
    };
    for (const one of [body, snake])
      expect(decoded(one)).toMatchObject({
        tools: [{ name: "f", parameters: { type: "object", properties: { a_b: { type: "integer" } } } }],
        toolChoice: { name: "f" },
        format: { kind: "schema", schema: { type: "object", properties: { a: { type: ["string", "null"] } } } },
        sampling: { temperature: 0.5, topP: 0.9, topK: 5, seed: 1, stop: ["X"] },
        thinking: { asked: true, effort: "high", show: "summary" },
        prompt: {
          messages: [
            { role: "system", parts: [{ kind: "text", text: "S" }] },
            { role: "user", parts: [{ kind: "text" }, { kind: "image", url: "data:image/png;base64,AA==" }] },
            {
              role: "assistant",
              parts: [
                { kind: "reasoning", text: "Hm" },
                { kind: "reasoning", text: "", proof: { origin: "gemini", signature: "sig" } },
                { kind: "tool_call", id: "f_0", name: "f", arguments: '{"a_b":1}' },
                { kind: "tool_call", id: "f_1", name: "f" },
              ],
            },
            {
              role: "user",
              parts: [
                { kind: "tool_result", id: "f_0", parts: [{ text: '{"output_text":"r"}' }] },
                { kind: "tool_result", id: "f_1", isError: true },
              ],
            },
          ],
        },
      });
    expect(decoded(body).outputLimit()).toEqual({ tokens: 30, field: "generationConfig.maxOutputTokens" });
    expect(decoded(body).received).toBeDefined();
    // An engine might read the other spelling of a name, so such a body never leaves as it came.
    expect(decoded(snake).received).toBeUndefined();
  });

  test.each<[Json, string]>([
    [{}, "contents"],
    [{ contents: [] }, "contents"],
    [{ contents: [{ role: "assistant", parts: [] }] }, "contents[0].role"],
    [{ contents, generationConfig: { temperature: 3 } }, "generationConfig.temperature"],
    [{ contents, toolConfig: { functionCallingConfig: { mode: "ANY" } } }, "toolConfig.functionCallingConfig"],
  ])("%j is refused by the name of its field", (body, param) => {
    expect(() => decoded(body)).toThrow(expect.objectContaining({ status: 400, param }));
  });
});

describe("asked of a chat engine", () => {
  test.each<[Json, string]>([
    [{ cachedContent: "cachedContents/1" }, "cachedContent"],
    [{ generationConfig: { candidateCount: 2 } }, "generationConfig.candidateCount"],
    [{ generationConfig: { responseModalities: ["AUDIO"] } }, "generationConfig.responseModalities"],
    [{ contents: [{ parts: [{ videoMetadata: {} }] }] }, "contents[0].parts[0].videoMetadata"],
    [
      {
        contents: [{ parts: [{ fileData: { fileUri: "https://generativelanguage.googleapis.com/v1beta/files/1" } }] }],
      },
      "contents[0].parts[0].fileData.fileUri",
    ],
  ])("%j is refused by the client's own name", (body, param) => {
    expect(() => chatOf(body)).toThrow(expect.objectContaining({ code: "unsupported_parameter", param }));
  });

  test("fields are refused, and media found, at their places in the client's body", () => {
    const config = { generationConfig: { seed: 4 } };
    expect(() => chatOf(config, { fields: ["model", "messages"] })).toThrow(
      expect.objectContaining({ param: "generationConfig.seed" }),
    );
    const parts = [{ text: "Look" }, { inlineData: { mimeType: "image/png", data: "AA==" } }];
    const body = { systemInstruction: { parts: { text: "S" } }, contents: [{ role: "user", parts }] };
    expect(() => chatOf(body, { media: [] })).toThrow(expect.objectContaining({ param: "contents[0].parts[1]" }));
    expect(chatOf(body).messages).toHaveLength(2);
  });

  test("top-k, which Gemini CLI sends with every call, is left out and said where an engine takes none", () => {
    const asked = decoded({ contents, generationConfig: { topK: 4 } });
    const without = asked.fitted(endpoint({ fields: ["model", "messages"] }));
    expect(without.engineBody({ shape: "chat", model: "theirs" })).not.toHaveProperty("top_k");
    expect(without.leftOut).toEqual(["generationConfig.topK"]);
    const taken = asked.fitted(endpoint({ fields: ["model", "messages", "top_k"] }));
    expect(taken.engineBody({ shape: "chat", model: "theirs" })).toMatchObject({ top_k: 4 });
    expect(taken.leftOut).toEqual([]);
  });

  test("tools that Google's servers run are left out and said", () => {
    const body = { tools: [{ googleSearch: {} }, { functionDeclarations: [{ name: "f" }] }] };
    expect(decoded({ contents, ...body }).leftOut).toEqual(["tools[0].googleSearch"]);
    expect(chatOf(body).tools).toHaveLength(1);
  });
});

describe("answers", () => {
  test("a whole answer says what its stream says", () => {
    const toolCalls = [{ index: 0, id: "c1", name: "f", arguments: '{"a":1}' }];
    const inOne = whole({ text: "Hello", toolCalls, finish: "tool_calls" });
    expect(inOne).toEqual({
      candidates: [
        {
          content: {
            role: "model",
            parts: [{ text: "Hello" }, { functionCall: { id: "c1", name: "f", args: { a: 1 } } }],
          },
          finishReason: "STOP",
          index: 0,
        },
      ],
      usageMetadata: {
        promptTokenCount: 12,
        candidatesTokenCount: 3,
        totalTokenCount: 17,
        thoughtsTokenCount: 2,
        cachedContentTokenCount: 8,
      },
      modelVersion: "m",
      responseId: "call_9",
    });
    const events = streamed([
      { text: "Hello" },
      { toolCalls: [{ index: 0, id: "c1", name: "f", arguments: '{"a"' }] },
      { toolCalls: [{ index: 0, arguments: ":1}" }] },
      { finish: "tool_calls" },
    ]);
    expect(partsOf(events)).toEqual(inOne.candidates[0].content.parts);
    expect(events.filter(({ candidates }) => candidates[0].finishReason)).toHaveLength(1);
    expect(events.at(-1)).toMatchObject({ usageMetadata: inOne.usageMetadata, modelVersion: "m" });
  });

  test("thought is shown where the client asks for it, and its proof stands beside the part that follows", () => {
    const thinks = told({ generationConfig: { thinkingConfig: { includeThoughts: true } } });
    for (const proof of [
      { origin: "gemini" as const, signature: "sig" },
      { origin: "anthropic" as const, signature: "theirs" },
    ]) {
      const toolCalls = [{ index: 0, id: "c1", name: "f", arguments: "{}" }];
      const deltas = [{ reasoning: "Hm" }, { proof }, { toolCalls }, { finish: "tool_calls" }];
      const parts = partsOf(streamed(deltas, thinks));
      expect(parts).toHaveLength(2);
      expect(parts[0]).toEqual({ text: "Hm", thought: true });
      expect(partsOf(streamed(deltas))).toHaveLength(1);
      const { messages } = decoded({ contents: [{ role: "model", parts }] }).prompt as Json;
      const thoughts = messages[0].parts.filter(({ kind }: Json) => kind === "reasoning");
      expect(thoughts.at(-1)).toMatchObject({ proof });
      // Gemini CLI leaves thoughts out of what it sends back: another origin's text comes with its proof.
      const without = decoded({ contents: [{ role: "model", parts: parts.slice(1) }] }).prompt as Json;
      expect(without.messages[0].parts[0]).toEqual({
        kind: "reasoning",
        text: proof.origin === "gemini" ? "" : "Hm",
        proof,
      });
    }
  });

  test("what an engine of the same shape sent is passed on byte for byte", () => {
    const data = { candidates: [{ content: { parts: [{ text: "Hello" }] }, finishReason: "STOP" }] };
    const own = { shape: "gemini" as const, data, text: ` ${JSON.stringify(data)}` };
    expect(gemini.whole({ deltas: [], wire: own }, told())).toBe(own.text);
    const encode = gemini.events(told());
    expect(encode({ deltas: [], wire: own })).toBe(`data: ${own.text}\n\n`);
    expect(encode(undefined)).toBe("");
  });

  test.each<[string, string]>([
    ["length", "MAX_TOKENS"],
    ["content_filter", "SAFETY"],
    ["RECITATION", "RECITATION"],
  ])("an answer that ended by %s says %s", (finish, reason) => {
    expect(whole({ text: "A", finish }).candidates[0].finishReason).toBe(reason);
  });
});

test.each([
  ["budget_exceeded", 403, "PERMISSION_DENIED"],
  ["queue_full", 429, "RESOURCE_EXHAUSTED"],
  ["invalid_value", 400, "INVALID_ARGUMENT"],
  ["invalid_api_key", 401, "UNAUTHENTICATED"],
  ["no_endpoint", 503, "UNAVAILABLE"],
  ["engine_failed", 502, "INTERNAL"],
])("%s is answered with %i and %s", (code, status, name) => {
  const failure = new LineshaftError({ code, message: "It is so.", param: "contents", retryAfterSeconds: 2 });
  expect(gemini.statusOf!(failure)).toBe(status);
  const { error } = JSON.parse(gemini.error(failure, "body") as string);
  expect(error).toMatchObject({
    code: status,
    status: name,
    message: "It is so.",
    details: [{ reason: code }, {}, { retryDelay: "2s" }],
  });
  expect(gemini.error(failure, "stream")).toBe(`data: ${JSON.stringify({ error })}\n\n`);
});

test("its list of models is told at /v1/models too, to a client whose key is in Google's header", () => {
  const google = { "x-goog-api-key": "key" };
  for (const path of ["/v1/models", "/v1/models/m"]) {
    expect(routeOf("GET", path, google)).toMatchObject({ protocol: gemini, question: { action: "models.read" } });
    expect(routeOf("GET", path)!.protocol.name).toBe("chat");
    expect(routeOf("GET", path, { "anthropic-version": "2023-06-01" })!.protocol.name).toBe("messages");
  }
});

test.each(["files", "files/abc", "cachedContents", "batches"])(
  "%s are not offered in Google's shape, and OpenAI's clients have their own at the same path",
  (path) => {
    const google = { "x-goog-api-key": "key" };
    for (const [root, headers] of [
      ["/v1", google],
      ["/v1beta", {}],
      ["/upload/v1beta", {}],
      ["/upload/v1", google],
    ] as const) {
      for (const method of ["GET", "POST"]) expect(routeOf(method, `${root}/${path}`, headers)).toBeUndefined();
      expect(protocolOf(`${root}/${path}`, headers)).toBe(gemini);
      expect(notOfferedAt(`${root}/${path}`, headers)).toMatchObject({ name: expect.stringContaining("Google's") });
    }
    expect(notOfferedAt(`/v1/${path}`, {})).toBeUndefined();
  },
);

test("OpenAI's files and batches are served where no header names another protocol", () => {
  for (const path of ["/v1/files", "/v1/files/abc", "/v1/batches"]) expect(routeOf("GET", path)).toBeDefined();
  expect(notOfferedAt("/v1beta/filesystem", {})).toBeUndefined();
});
