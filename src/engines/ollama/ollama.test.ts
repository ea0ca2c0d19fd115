// Ollama behind the adapter of OpenAI-compatible endpoints, and the guard against prompts that it would cut, on exchanges that were recorded
// from a real one (test/conformance/ollama.record.ts). `npm run test:ollama` tries the adapter on the server itself.
import { describe, expect, onTestFinished, test } from "vitest";
import { createOpenAiEngine } from "../openai/adapter.ts";
import {
  answeredBy,
  recordedCall,
  replayed,
  replayedWhole,
  scriptedRun,
  scriptedServer,
} from "../openServerTesting.ts";
import { engineSuite, scriptedSubject } from "../suite.ts";
import type { EngineError } from "../types.ts";
import { loadedContext, modelOf, refusesLongPrompts } from "./facts.ts";

type Json = Record<string, unknown>;

const file = new URL("fixtures/server.recorded.json", import.meta.url);
const embeddings = new URL("fixtures/embeddings.recorded.json", import.meta.url);
const credential = "key-of-the-suite";
/** How a question is answered whose prompt does not fit. */
const tooLong = answeredBy(recordedCall(file, "a question whose prompt is too long").script);
const fits = answeredBy(recordedCall(file, "a question whose prompt fits").script);

/** A server that counts four characters as a token, and cuts on OpenAI's routes as Ollama does. */
async function scriptedOllama(contextTokens = 4_096) {
  const count = (body: unknown) =>
    Math.ceil(JSON.stringify((body as Json)["messages"] ?? (body as Json)["prompt"]).length / 4);
  const judged = (body: unknown) => {
    if (count(body) <= contextTokens) return { done: true, prompt_eval_count: count(body), eval_count: 1 };
    return tooLong(body, "");
  };
  const server = await scriptedServer(file, {
    "POST /api/chat": judged,
    "POST /api/embed": (body) => {
      const texts = (body as { input: string[] }).input;
      return judged({ prompt: texts.toSorted((a, b) => b.length - a.length)[0] ?? "" });
    },
    "POST /api/generate": (body) => ((body as Json)["prompt"] === undefined ? { done: true } : judged(body)),
  });
  // A context that its Modelfile does not say.
  delete (server.answers["POST /api/show"] as Json)["parameters"];
  const [model] = (server.answers["GET /api/ps"] as { models: Json[] }).models;
  model!["context_length"] = contextTokens;
  return server;
}

engineSuite("Ollama", async () => {
  const server = await scriptedOllama();
  return scriptedSubject(
    createOpenAiEngine({ url: server.url, model: "scripted", key: credential }),
    credential,
    server,
  );
});

async function running(contextTokens?: number) {
  const server = await scriptedOllama(contextTokens);
  const engine = createOpenAiEngine({ url: server.url, model: "scripted" });
  onTestFinished(() => server[Symbol.asyncDispose]());
  return { server, engine };
}

const chat = (content: string, more: Json = {}) => ({
  shape: "chat" as const,
  body: { model: "scripted", messages: [{ role: "user", content }] as unknown[], ...more },
  hints: { attempt: "att_1", cacheSalt: "prj_1", project: "prj_1" },
});

describe("recorded calls", () => {
  test.each([
    ["a chat", { promptTokens: 12, outputTokens: 4 }],
    ["a chat whose prompt is cached", { promptTokens: 12, outputTokens: 4 }],
    ["a chat as a stream", { promptTokens: 12, outputTokens: 4 }],
    ["a text", { promptTokens: 11, outputTokens: 3 }],
    ["a text as a stream", { promptTokens: 11, outputTokens: 3 }],
    ["an answer that goes on as a stream", { outputTokens: 3 }],
    ["two answers", { promptTokens: 12, outputTokens: 2 }],
  ])("%s has the text, the finish and the counts that the server gave it", async (name, counts) => {
    const { content, usage } = await replayedWhole(file, name);
    expect(content.finish).toBe("length");
    expect(content.text).not.toBe("");
    expect(usage).toMatchObject({ ...counts, cachedTokens: 0, cachedUnreported: true, source: "engine" });
  });

  test("a chat and its stream are the same text", async () => {
    const [whole, stream] = await Promise.all(
      ["a chat", "a chat as a stream"].map((name) => replayedWhole(file, name)),
    );
    expect(stream!.content).toEqual(whole!.content);
  });

  test.each(["a tool call", "a tool call as a stream"])("%s is read whole", async (name) => {
    const { content, usage } = await replayedWhole(file, name, { "POST /api/chat": fits });
    expect(content).toMatchObject({ text: "", tool: "weigh", finish: "tool_calls" });
    expect(JSON.parse(content.arguments)).toEqual({ unit: "kg" });
    expect(usage!.source).toBe("engine");
  });

  test.each<[string, Partial<EngineError>]>([
    ["two prompts", { message: expect.stringContaining("cannot unmarshal array") as string }],
    ["a field of another kind", { message: expect.stringContaining("max_tokens") as string }],
    ["tools that the template does not know", { message: expect.stringContaining("does not support tools") as string }],
    [
      "a thought that the model cannot have",
      { message: expect.stringContaining("does not support thinking") as string },
    ],
    ["an effort that it does not know", { message: expect.stringContaining("invalid reasoning value") as string }],
  ])("%s: is the caller's fault, in the server's words", async (name, error) => {
    await expect(replayed(file, name)).rejects.toMatchObject({
      status: 400,
      code: "invalid_request",
      retryable: false,
      ...error,
    });
  });

  test("a prompt that is too long is answered as if nothing had happened, with a prompt of the context's length", () => {
    const { usage } = JSON.parse(recordedCall(file, "a prompt that is too long").script.raw!.body) as { usage: Json };
    expect(usage["prompt_tokens"]).toBe(64);
  });

  test("a stream of a text that is left is not counted by the zeros of its chunks", async () => {
    const { request, script } = recordedCall(file, "a text as a stream");
    const [first] = script.raw!.body.split("\n\n");
    expect(first).toContain('"usage":{"prompt_tokens":0,"completion_tokens":0,"total_tokens":0}');
    const { server, engine } = await running();
    server.next({ raw: { contentType: "text/event-stream", body: `${first}\n\n` } });
    const answer = await engine.open(request);
    await answer.chunks[Symbol.asyncIterator]().next();
    const usage = await answer.cancel();
    expect(usage!.source).not.toBe("engine");
    expect(usage!.outputTokens).toBeGreaterThan(0);
  });

  test("embeddings are counted by the server, in the size that was asked for", async () => {
    const { request, script } = recordedCall(embeddings, "embeddings");
    const { engine } = await scriptedRun(embeddings, { "POST /v1/embeddings": answeredBy(script) }, "embedder");
    const { capabilities, contextTokens } = await engine.probe();
    expect([capabilities.speaks, contextTokens]).toEqual([["embeddings"], 512]);
    const answer = await engine.open(request);
    expect((await answer.whole()).wire.data).toEqual(JSON.parse(script.raw!.body));
    expect(answer.usage()).toMatchObject({ promptTokens: 7, outputTokens: 0, source: "engine" });
  });

  test("a text that may be too long for its model of embeddings is counted before, and sent where it fits", async () => {
    const { request, script } = recordedCall(embeddings, "vectors of another size");
    const counted = answeredBy(recordedCall(embeddings, "a text that fits").script);
    const routes = { "POST /v1/embeddings": answeredBy(script), "POST /api/embed": counted };
    const { server, engine } = await scriptedRun(embeddings, routes, "embedder");
    for (const [length, asked] of [
      [500, 0],
      [600, 1],
    ] as const) {
      const answer = await engine.open({ ...request, body: { ...request.body, input: "x".repeat(length) } });
      await answer.whole();
      expect(server.asked.filter(([route]) => route === "POST /api/embed")).toHaveLength(asked);
    }
  });

  test("a text that is too long for its model of embeddings is refused before it would be cut", async () => {
    const { request } = recordedCall(embeddings, "embeddings");
    const long = answeredBy(recordedCall(embeddings, "a text that is too long").script);
    const { engine } = await scriptedRun(embeddings, { "POST /api/embed": long }, "embedder");
    const body = { ...request.body, input: ["word ".repeat(600)] };
    await expect(engine.open({ ...request, body })).rejects.toMatchObject({
      status: 400,
      code: "context_length_exceeded",
      retryable: false,
    });
  });
});

describe("what Ollama says of itself", () => {
  test("the context is that of the loaded model, not what the model was trained for", async () => {
    const { engine } = await running();
    const { capabilities, ...facts } = await engine.probe();
    // It lists a model without a tag under the tag `latest`.
    expect(facts).toEqual({ models: ["scripted:latest", "scripted"], contextTokens: 4_096 });
    expect(capabilities).toMatchObject({
      speaks: ["chat", "completions"],
      media: [],
      tokenize: false,
      wrapsPrompts: true,
    });
    expect(capabilities.fields).toContain("tools");
    for (const field of ["n", "best_of", "echo", "logit_bias", "suffix", "reasoning_effort"])
      expect(capabilities.fields).not.toContain(field);
  });

  test("a Modelfile's context is that of a model that is not loaded", async () => {
    const { engine, server } = await scriptedRun(file);
    server.answers["GET /api/ps"] = { models: [] };
    expect((await engine.probe()).contextTokens).toBe(1_024);
  });

  test("a model that is not loaded is loaded once, because nothing else says its context", async () => {
    const { server, engine } = await running();
    const loaded = server.answers["GET /api/ps"];
    server.answers["GET /api/ps"] = { models: [] };
    const asked = () => server.asked.filter(([route]) => route === "POST /api/generate").length;
    expect((await engine.probe()).contextTokens).toBeUndefined();
    expect(asked()).toBe(1);
    server.answers["GET /api/ps"] = loaded;
    expect((await engine.probe()).contextTokens).toBe(4_096);
    // It is unloaded after some minutes; what it was loaded with stays known.
    server.answers["GET /api/ps"] = { models: [] };
    expect((await engine.probe()).contextTokens).toBe(4_096);
    expect(asked()).toBe(1);
  });

  test("a Modelfile's own context is believed up to what the model was trained for", () => {
    expect(modelOf({ parameters: 'num_ctx                        16384\nstop "x"' }).ownContextTokens).toBe(16_384);
    expect(modelOf({ parameters: { num_ctx: 1 }, model_info: null, capabilities: "all" })).toEqual({
      trainedTokens: undefined,
      ownContextTokens: undefined,
      abilities: undefined,
    });
  });

  test.each<[Json, string, number | undefined]>([
    [{ models: [{ model: "a:latest", context_length: 8 }] }, "a", 8],
    [{ models: [{ name: "hf.co/org/a:Q4_K_M", context_length: 8 }] }, "hf.co/org/a:Q4_K_M", 8],
    [{ models: [{ model: "a:8b", context_length: 8 }] }, "a", undefined],
    [{ models: [{ model: "a:latest", context_length: "8" }] }, "a", undefined],
    [{ models: [null, 7] }, "a", undefined],
    [{ models: "a" }, "a", undefined],
  ])("%j of %s is loaded with %s", (ps, model, expected) => expect(loadedContext(ps, model)).toBe(expected));

  test.each([
    ["0.12.9", false],
    ["0.13.0", true],
    ["0.33.2", true],
    ["1.0.0", true],
    ["0.9", false],
    ["nightly", false],
    [undefined, false],
  ])("version %s refuses long prompts where it is told to: %s", (version, expected) =>
    expect(refusesLongPrompts(version)).toBe(expected),
  );

  test("a model without tools, and a model of embeddings", async () => {
    const { server, engine } = await running();
    const show = server.answers["POST /api/show"] as Json;
    show["capabilities"] = ["completion", "vision", "thinking", "insert"];
    const seeing = (await engine.probe()).capabilities;
    expect(seeing.media).toEqual(["image"]);
    expect(seeing.fields).not.toContain("tools");
    for (const field of ["reasoning_effort", "suffix"]) expect(seeing.fields).toContain(field);
    show["capabilities"] = ["embedding"];
    expect((await engine.probe()).capabilities.speaks).toEqual(["embeddings"]);
  });
});

describe("what Ollama would ignore is written in its words", () => {
  const tool = (name: string) => ({ type: "function", function: { name } });
  /** The body that arrives of a chat with these fields. */
  const sent = async (more: Json) => {
    const { server, engine } = await running();
    await (await engine.open(chat("hi", more))).whole();
    return server.seen[0]!.body;
  };

  test("a limit of output goes by its older name, and where none was given the answer ends with the context", async () => {
    expect(await sent({ max_completion_tokens: 7 })).toMatchObject({ max_tokens: 7 });
    expect(await sent({ max_completion_tokens: 7 })).not.toHaveProperty("max_completion_tokens");
    const { max_tokens } = await sent({});
    expect(max_tokens).toBeGreaterThan(3_900);
    expect(max_tokens).toBeLessThan(4_096);
  });

  test("a message of the role developer is one of the system", async () => {
    const messages = [
      { role: "developer", content: "a" },
      { role: "user", content: "b" },
    ];
    expect((await sent({ messages }))["messages"]).toEqual([{ role: "system", content: "a" }, messages[1]]);
  });

  test("a choice of a tool leaves that tool alone, and the choice of none leaves none", async () => {
    const tools = [tool("f"), tool("g")];
    expect((await sent({ tools, tool_choice: tool("g") }))["tools"]).toEqual([tool("g")]);
    expect(await sent({ tools, tool_choice: "none" })).not.toHaveProperty("tools");
    for (const tool_choice of ["auto", "required"])
      expect((await sent({ tools, tool_choice }))["tools"]).toEqual(tools);
  });

  test.each([
    ["minimal", "low"],
    ["low", "low"],
    ["none", "none"],
    ["xhigh", "high"],
    ["max", "high"],
    ["much", "much"],
  ])("an effort of %s is %s", async (effort, expected) =>
    expect((await sent({ reasoning_effort: effort }))["reasoning_effort"]).toBe(expected),
  );
});

describe("a prompt", () => {
  test("that surely fits is sent as it is, without a question", async () => {
    const { server, engine } = await running();
    await engine.probe();
    const before = server.asked.length;
    await (await engine.open(chat("x".repeat(3_000), { max_tokens: 100 }))).whole();
    expect(server.asked.length).toBe(before);
    expect(server.seen[0]!.body["max_tokens"]).toBe(100);
  });

  test("that may not fit is counted by Ollama itself, and sent where it fits", async () => {
    const { server, engine } = await running();
    const body = chat("x".repeat(12_000), {
      max_tokens: 4_000,
      tools: [{ type: "function", function: { name: "f" } }],
    });
    await (await engine.open(body)).whole();
    const [, question] = server.asked.find(([route]) => route === "POST /api/chat")!;
    expect(question).toMatchObject({ truncate: false, shift: false, stream: false, options: { num_predict: 1 } });
    expect((question as Json)["tools"]).toEqual(body.body["tools" as never]);
    // The answer ends where the context does, instead of pushing the prompt out of it.
    expect(server.seen[0]!.body["max_tokens"]).toBe(4_096 - Math.ceil(JSON.stringify(body.body.messages).length / 4));
  });

  test("that is too long is refused by name before Ollama could cut it", async () => {
    const { server, engine } = await running();
    const refused = engine.open(chat("x".repeat(20_000)));
    await expect(refused).rejects.toMatchObject({
      status: 400,
      code: "context_length_exceeded",
      retryable: false,
      message: expect.stringContaining("context length of 4096 tokens"),
      hint: expect.stringMatching(/num_ctx.*OLLAMA_CONTEXT_LENGTH/),
    });
    expect(server.seen).toEqual([]);
  });

  test.each([
    ["an older version", "0.11.4", /Update Ollama/],
    ["a version that is not told, because a proxy closes its own routes", undefined, /reach Ollama's own API/],
  ])("that may not fit is refused at %s", async (_name, version, hint) => {
    const { server, engine } = await running();
    if (version === undefined) delete server.answers["GET /api/version"];
    else server.answers["GET /api/version"] = { version };
    await expect(engine.open(chat("x".repeat(12_000)))).rejects.toMatchObject({
      code: "context_length_exceeded",
      hint: expect.stringMatching(hint),
    });
    await (await engine.open(chat("x".repeat(1_500)))).whole();
    expect(server.seen).toHaveLength(1);
  });

  test("that may not fit is judged by a server that was built without a version, where a later route shows its age", async () => {
    const { server, engine } = await running();
    server.answers["GET /api/version"] = { version: "0.0.0" };
    const long = chat("x".repeat(12_000));
    await expect(engine.open(long)).rejects.toMatchObject({ hint: expect.stringMatching(/Update Ollama/) });
    const later = await scriptedRun(file, {
      "GET /api/version": () => ({ version: "0.0.0" }),
      "POST /v1/responses": tooLong,
      "POST /api/chat": tooLong,
    });
    await expect(later.engine.open(long)).rejects.toMatchObject({
      message: expect.stringContaining("is longer than"),
    });
  });

  test("with pictures, tool calls and their results is counted as Ollama splits it", async () => {
    const { server, engine } = await running(64);
    const messages = [
      {
        role: "user",
        content: [
          { type: "text", text: "see" },
          { type: "image_url", image_url: { url: "data:image/png;base64,QUJD" } },
        ],
      },
      {
        role: "assistant",
        content: null,
        reasoning: "hm",
        tool_calls: [{ id: "c1", type: "function", function: { name: "f", arguments: '{"a":1}' } }],
      },
      { role: "tool", tool_call_id: "c1", content: "one" },
      // Ollama forgets whose result it is where the result comes in parts.
      { role: "tool", tool_call_id: "c1", content: [{ type: "text", text: "two" }] },
    ];
    await engine.open({ ...chat(""), body: { model: "scripted", messages, reasoning_effort: "none" } }).catch(() => {});
    const [, question] = server.asked.find(([route]) => route === "POST /api/chat")!;
    expect((question as Json)["think"]).toBe(false);
    expect((question as Json)["messages"]).toEqual([
      { role: "user", content: "see" },
      { role: "user", content: "", images: ["QUJD"] },
      {
        role: "assistant",
        content: "",
        thinking: "hm",
        tool_calls: [{ id: "c1", function: { name: "f", arguments: { a: 1 } } }],
      },
      { role: "tool", content: "one", tool_name: "f", tool_call_id: "c1" },
      { role: "tool", content: "two" },
    ]);
  });

  test("of a text completion, and texts of embeddings, are guarded alike", async () => {
    const { server, engine } = await running();
    const completion = { shape: "completions" as const, hints: chat("").hints };
    const prompt = "x".repeat(20_000);
    await expect(engine.open({ ...completion, body: { model: "scripted", prompt } })).rejects.toMatchObject({
      code: "context_length_exceeded",
    });
    const embedding = (input: string[]) =>
      engine.open({ shape: "embeddings", body: { model: "scripted", input }, hints: completion.hints });
    await expect(embedding(["short", "x".repeat(20_000)])).rejects.toMatchObject({ code: "context_length_exceeded" });
    expect(server.seen).toEqual([]);
  });
});
