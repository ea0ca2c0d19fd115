// llama.cpp's server behind the adapter of OpenAI-compatible endpoints. Its exchanges are composed from its documentation.
import { describe, expect, onTestFinished, test } from "vitest";
import { createOpenAiEngine } from "../openai/adapter.ts";
import { scriptedServer } from "../openServerTesting.ts";
import { engineSuite } from "../suite.ts";
import type { ScriptedRoutes } from "../testing.ts";
import { continuedBody } from "../wire/continued.ts";
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

async function running(more: ScriptedRoutes["routes"] = {}) {
  const server = await scriptedServer(file, more);
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
    expect(server.seen.filter(({ body }) => body["prompt"] === "a")).toHaveLength(1);
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
    expect(llamacppFacts(props, ["chat"], true)).toEqual({ capabilities: { speaks: ["chat"] } });
  });
});

type Json = Record<string, unknown>;

describe("an answer that has begun", () => {
  const written = (turns: Json[]) =>
    turns.map(({ role, content }) => `<|im_start|>${role}\n${content}<|im_end|>\n`).join("");
  /** How versions write a conversation: since May 2026 by the field, before that by the last message, where it was not switched off. */
  const templates = {
    byField: ({ messages, continue_final_message: continues, add_generation_prompt: begins = true }: Json) => {
      if (continues === true && begins === true) return undefined;
      return continues === true ? begun(messages as Json[]) : `${written(messages as Json[])}<|im_start|>assistant\n`;
    },
    byItself: ({ messages }: Json) =>
      (messages as Json[]).at(-1)!["role"] === "assistant" ? begun(messages as Json[]) : written(messages as Json[]),
    switchedOff: ({ messages }: Json) => `${written(messages as Json[])}<|im_start|>assistant\n`,
  };
  const begun = (messages: Json[]) =>
    `${written(messages.slice(0, -1))}<|im_start|>assistant\n${messages.at(-1)!["content"] as string}`;
  const template = (write: (body: Json) => string | undefined): ScriptedRoutes["routes"] => ({
    "POST /apply-template": (body) => {
      const prompt = write(body as Json);
      return prompt === undefined ? undefined : { prompt };
    },
  });
  const names = ["continue_final_message", "add_generation_prompt"];
  const fieldsOf = async (write: (body: Json) => string | undefined, answer = " next") => {
    const { server, engine } = await running(template(write));
    server.usual = { chunks: [answer] };
    const { capabilities } = await engine.probe();
    return { server, capabilities, told: names.filter((name) => capabilities.fields!.includes(name)) };
  };

  test.each(["byField", "byItself"] as const)("is gone on with by a server that does so %s", async (how) => {
    const { server, capabilities, told } = await fieldsOf(templates[how]);
    expect(told).toEqual(names);
    const messages = [{ role: "user", content: "hi" }];
    expect(continuedBody("chat", { messages }, "Once", capabilities)).toEqual({
      messages: [...messages, { role: "assistant", content: "Once" }],
      continue_final_message: true,
      add_generation_prompt: false,
    });
    // One token of the text completion that every start is asked for, and one behind the beginning.
    expect(server.seen.map(({ body }) => body["max_tokens"])).toEqual([1, 1]);
    expect(server.seen[1]!.body).toMatchObject({ continue_final_message: true, add_generation_prompt: false });
  });

  test("is a whole turn where the server was started so, and nothing is asked to go on", async () => {
    const { server, told } = await fieldsOf(templates.switchedOff);
    expect(told).toEqual([]);
    expect(server.seen).toHaveLength(1);
  });

  test.each([
    ["its beginning", "Lineshaft 7 3 1 next"],
    ["what its template thought", "<think>\n\n</think>\n\n next"],
  ])("is not gone on with by a version that repeats %s", async (_name, answer) => {
    expect((await fieldsOf(templates.byItself, answer)).told).toEqual([]);
  });

  test("is not gone on with where a model that thinks refuses it, and that is asked once for each start", async () => {
    const message = "Assistant response prefill is incompatible with enable_thinking.";
    let refusals = 0;
    const { server, engine } = await running({
      "POST /apply-template": (body) => {
        if (!("continue_final_message" in (body as Json))) return { prompt: "" };
        refusals++;
        return (response) => {
          response.writeHead(400, { "content-type": "application/json" });
          response.end(JSON.stringify({ error: { code: 400, message, type: "invalid_request_error" } }));
        };
      },
    });
    for (let probe = 0; probe < 2; probe++)
      expect((await engine.probe()).capabilities.fields).not.toContain("continue_final_message");
    expect([refusals, server.seen.length]).toEqual([1, 1]);
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
