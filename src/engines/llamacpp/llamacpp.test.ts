// llama.cpp's server behind the adapter of OpenAI-compatible endpoints. Its exchanges are composed from its documentation.
import { describe, expect, onTestFinished, test } from "vitest";
import { createOpenAiEngine } from "../openai/adapter.ts";
import { scriptedServer } from "../openServerTesting.ts";
import { engineSuite } from "../suite.ts";
import { llamacppFacts } from "./server.ts";

const file = new URL("fixtures/server.composed.json", import.meta.url);
const credential = "key-of-the-suite";

engineSuite("llama.cpp's server", async () => {
  const server = await scriptedServer(file);
  return {
    engine: createOpenAiEngine({ url: server.url, model: "scripted", key: credential }),
    credential,
    next: server.next,
    seen: server.seen,
    leave: () => server[Symbol.asyncDispose](),
    silence: server.silence,
    [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
  };
});

async function running() {
  const server = await scriptedServer(file);
  const engine = createOpenAiEngine({ url: server.url, model: "scripted" });
  onTestFinished(() => server[Symbol.asyncDispose]());
  return { server, engine };
}

describe("what llama.cpp says of itself", () => {
  test("all of it is asked: the context of a slot, slots, media, and what this start of it answers", async () => {
    const { engine } = await running();
    const { capabilities, ...facts } = await engine.probe();
    expect(facts).toEqual({ models: ["scripted"], contextTokens: 8_192, slots: 4 });
    expect(capabilities).toMatchObject({
      speaks: ["chat", "completions"],
      media: ["image"],
      tokenize: true,
      stops: true,
    });
  });

  test("a server that was started for embeddings is asked embeddings alone, and once for each start", async () => {
    const { server, engine } = await running();
    server.answers["POST /v1/embeddings"] = { data: [{ embedding: [1] }], usage: { prompt_tokens: 1 } };
    server.usual = {
      fail: { status: 501, body: { error: { code: 501, message: "This server does not support completions." } } },
    };
    for (let probe = 0; probe < 3; probe++) expect((await engine.probe()).capabilities.speaks).toEqual(["embeddings"]);
    expect(server.seen).toHaveLength(1);
    // Started again with other properties.
    (server.answers["GET /props"] as Record<string, unknown>)["total_slots"] = 1;
    server.usual = {};
    expect((await engine.probe()).capabilities.speaks).toEqual(["chat", "completions", "embeddings"]);
  });

  test("a server that still loads its model is asked again later", async () => {
    const { server, engine } = await running();
    server.usual = { fail: { status: 503, body: { error: { code: 503, message: "Loading model" } } } };
    expect((await engine.probe()).capabilities.speaks).toEqual(["chat", "completions", "embeddings", "rerank"]);
    server.usual = {};
    expect((await engine.probe()).capabilities.speaks).toEqual(["chat", "completions"]);
  });

  test("a template that knows no tools drops them without a word, so tools are refused", async () => {
    const { server, engine } = await running();
    (server.answers["GET /props"] as Record<string, unknown>)["chat_template_caps"] = { supports_tools: false };
    expect((await engine.probe()).capabilities.fields).not.toContain("tools");
  });

  test.each<[string, Record<string, unknown>]>([
    ["nothing", {}],
    ["members that are null", { default_generation_settings: null, modalities: null, chat_template_caps: null }],
    ["numbers that are none", { default_generation_settings: { n_ctx: "8192" }, total_slots: -4, modalities: {} }],
  ])("%s leaves everything out", (_name, props) => {
    expect(llamacppFacts(props, ["chat"])).toEqual({ capabilities: { speaks: ["chat"] } });
  });
});

describe("tokens", () => {
  test("of a chat are those of its template's text", async () => {
    const { server, engine } = await running();
    await engine.probe();
    const messages = [{ role: "user", content: "hi" }];
    const tools = [{ type: "function", function: { name: "f" } }];
    expect(await engine.tokenize("chat", { messages, tools, temperature: 1 }, "prj_1")).toEqual({
      count: 6,
      tokens: [1, 4093, 198, 5112, 2, 198],
    });
    expect(server.asked.slice(-2)).toEqual([
      ["POST /apply-template", { messages, tools }],
      [
        "POST /tokenize",
        { content: "<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n", add_special: true, parse_special: true },
      ],
    ]);
    expect(await engine.tokenize("completions", { prompt: [4, 5] }, "prj_1")).toEqual({ count: 2, tokens: [4, 5] });
  });

  test("that are no numbers are not believed", async () => {
    const { server, engine } = await running();
    await engine.probe();
    server.answers["POST /tokenize"] = { tokens: ["a"] };
    expect(await engine.tokenize("chat", { messages: [] }, "prj_1")).toBeUndefined();
  });
});
