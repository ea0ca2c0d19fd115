// Ollama behind the adapter of OpenAI-compatible endpoints, and the guard against prompts that it would cut. Its exchanges are composed from its
// documentation and source.
import { describe, expect, onTestFinished, test } from "vitest";
import { createOpenAiEngine } from "../openai/adapter.ts";
import { exchangesOf, scriptedServer } from "../openServerTesting.ts";
import { engineSuite, scriptedSubject } from "../suite.ts";
import { loadedContext, modelOf, refusesLongPrompts } from "./facts.ts";

type Json = Record<string, unknown>;

const file = new URL("fixtures/server.composed.json", import.meta.url);
const credential = "key-of-the-suite";
const { tooLong } = exchangesOf(file);

/** A server that counts four characters as a token, and cuts on OpenAI's routes as Ollama does. */
async function scriptedOllama(contextTokens = 4_096) {
  const count = (body: unknown) =>
    Math.ceil(JSON.stringify((body as Json)["messages"] ?? (body as Json)["prompt"]).length / 4);
  const judged = (body: unknown) => {
    if (count(body) <= contextTokens) return { done: true, prompt_eval_count: count(body), eval_count: 1 };
    return (response: import("node:http").ServerResponse) => {
      response.writeHead(400, { "content-type": "application/json" });
      response.end(JSON.stringify(tooLong));
    };
  };
  const server = await scriptedServer(file, {
    "POST /api/chat": judged,
    "POST /api/embed": (body) => {
      const texts = (body as { input: string[] }).input;
      return judged({ prompt: texts.toSorted((a, b) => b.length - a.length)[0] ?? "" });
    },
    "POST /api/generate": (body) => ((body as Json)["prompt"] === undefined ? { done: true } : judged(body)),
  });
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

describe("what Ollama says of itself", () => {
  test("the context is that of the loaded model, not what the model was trained for", async () => {
    const { engine } = await running();
    const { capabilities, ...facts } = await engine.probe();
    expect(facts).toEqual({ models: ["scripted"], contextTokens: 4_096 });
    expect(capabilities).toMatchObject({ speaks: ["chat", "completions"], media: [], tokenize: false });
    expect(capabilities.fields).toContain("tools");
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
    show["capabilities"] = ["completion", "vision"];
    const seeing = (await engine.probe()).capabilities;
    expect(seeing.media).toEqual(["image"]);
    expect(seeing.fields).not.toContain("tools");
    show["capabilities"] = ["embedding"];
    expect((await engine.probe()).capabilities.speaks).toEqual(["embeddings"]);
  });
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
        tool_calls: [{ id: "c1", type: "function", function: { name: "f", arguments: '{"a":1}' } }],
      },
      { role: "tool", tool_call_id: "c1", content: "one" },
    ];
    await engine.open({ ...chat(""), body: { model: "scripted", messages } }).catch(() => {});
    const [, question] = server.asked.find(([route]) => route === "POST /api/chat")!;
    expect((question as Json)["messages"]).toEqual([
      { role: "user", content: "see" },
      { role: "user", content: "", images: ["QUJD"] },
      { role: "assistant", content: "", tool_calls: [{ id: "c1", function: { name: "f", arguments: { a: 1 } } }] },
      { role: "tool", content: "one", tool_name: "f" },
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
