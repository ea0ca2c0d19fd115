// llama.cpp's server behind the adapter of OpenAI-compatible endpoints, on exchanges that were recorded from a real one
// (test/conformance/llamacpp.record.ts). `npm run test:llamacpp` tries the adapter on the server itself.
import { describe, expect, test } from "vitest";
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
import type { ScriptedRoutes } from "../testing.ts";
import type { EngineError } from "../types.ts";
import { continuedBody } from "../wire/continued.ts";
import { llamacppFacts } from "./server.ts";

type Json = Record<string, unknown>;

/** Starts of the server that were recorded: as it is usual, with `--embeddings`, with `--reranking`. */
type Start = "chat" | "embeddings" | "rerank";

const fileOf = (start: Start) => new URL(`fixtures/${start}.recorded.json`, import.meta.url);
const credential = "key-of-the-suite";

engineSuite("llama.cpp's server", async () => {
  const server = await scriptedServer(fileOf("chat"));
  return scriptedSubject(
    createOpenAiEngine({ url: server.url, model: "scripted", key: credential }),
    credential,
    server,
  );
});

const running = (more: ScriptedRoutes["routes"] = {}, start: Start = "chat") => scriptedRun(fileOf(start), more);

const recorded = (start: Start, name: string) => recordedCall(fileOf(start), name);

describe("recorded calls", () => {
  test.each([
    ["a chat", { promptTokens: 12, cachedTokens: 0, outputTokens: 4 }],
    ["a chat whose prompt is cached", { promptTokens: 12, cachedTokens: 11, outputTokens: 4 }],
    ["a chat as a stream", { promptTokens: 12, cachedTokens: 11, outputTokens: 4 }],
    ["a text", { promptTokens: 2, cachedTokens: 0, outputTokens: 3 }],
    ["a text as a stream", { promptTokens: 2, cachedTokens: 1, outputTokens: 3 }],
    ["an answer that goes on as a stream", { promptTokens: 16, cachedTokens: 15, outputTokens: 3 }],
  ])("%s has the text, the finish and the counts that the server gave it", async (name, counts) => {
    const { content, usage, soFar } = await replayedWhole(fileOf("chat"), name);
    expect(content.finish).toBe("length");
    expect(content.text).toBe(
      name.startsWith("a chat") ? "Hello there. I" : name.startsWith("a text") ? " the scene," : " time, in",
    );
    expect(usage).toMatchObject({ ...counts, source: "engine" });
    expect(soFar).toBe(counts.outputTokens);
  });

  test.each(["a tool call", "a tool call as a stream"])("%s is read whole", async (name) => {
    const { content, usage } = await replayedWhole(fileOf("chat"), name);
    expect(content).toMatchObject({ text: "", tool: "weigh", finish: "tool_calls" });
    expect(JSON.parse(content.arguments)).toEqual({ unit: "kg" });
    expect(usage).toMatchObject({ outputTokens: 30, source: "engine" });
  });

  test.each<[Start, string, Partial<EngineError>]>([
    [
      "chat",
      "a prompt that is too long",
      {
        code: "context_length_exceeded",
        message: "request (1510 tokens) exceeds the available context size (1024 tokens), try increasing it",
      },
    ],
    ["chat", "a field of another kind", { code: "invalid_request" }],
  ])("%s: %s is the caller's fault, in the server's words", async (start, name, error) => {
    await expect(replayed(fileOf(start), name)).rejects.toMatchObject({ status: 400, retryable: false, ...error });
  });

  test("an embedding's input that is too long is the caller's fault, though the status is 500", async () => {
    const { request, script } = recorded("embeddings", "an input that is too long");
    const { engine } = await running({ "POST /v1/embeddings": answeredBy(script) }, "embeddings");
    await expect(engine.open(request)).rejects.toMatchObject({
      status: 400,
      code: "context_length_exceeded",
      message: "input (602 tokens) is too large to process. increase the physical batch size (current batch size: 512)",
      retryable: false,
    });
  });

  test.each([false, true])("a shared KV cache that is full can be tried again (stream: %s)", async (stream) => {
    const { request } = recorded("chat", "a chat");
    const { server, engine } = await running();
    await engine.probe();
    const full = { code: 500, message: "Context size has been exceeded.", type: "server_error" };
    server.next({ fail: { status: 500, body: { error: full } } });
    const error = { status: 429, code: "engine_busy", retryable: true };
    await expect(engine.open({ ...request, body: { ...request.body, stream } })).rejects.toMatchObject(error);
  });

  test.each<[Start, string, number]>([
    ["embeddings", "embeddings", 7],
    ["rerank", "rerank", 8],
  ])("%s: %s is counted by the server", async (start, name, promptTokens) => {
    const { request, script } = recorded(start, name);
    const { engine } = await running({ [`POST /v1/${name}`]: answeredBy(script) }, start);
    const answer = await engine.open(request);
    expect((await answer.whole()).wire.data).toEqual(JSON.parse(script.raw!.body));
    expect(answer.usage()).toMatchObject({ promptTokens, outputTokens: 0, source: "engine" });
  });

  test.each<[string, string]>([
    ["two answers", "n"],
    ["two answers as a stream", "n"],
    ["two prompts", "prompt"],
  ])("%s are refused, because the server counts one of them", async (name, param) => {
    const { server, engine } = await running();
    const { request } = recorded("chat", name);
    await engine.probe();
    const asked = server.seen.length;
    await expect(engine.open(request)).rejects.toMatchObject({ status: 400, code: "unsupported_parameter", param });
    expect(server.seen).toHaveLength(asked);
  });

  test.each<[string, Json]>([
    ["one answer", { n: 1 }],
    ["a list of one prompt", { prompt: ["Once"] }],
    ["a prompt as tokens", { prompt: [1, 2, 3] }],
  ])("%s passes", async (_name, fields) => {
    const { engine } = await running();
    const { request } = recorded("chat", "a text");
    const answer = await engine.open({ ...request, body: { ...request.body, ...fields } });
    expect((await answer.whole()).deltas).toHaveLength(1);
  });

  test("vectors of another size are refused, because the server would send its own", async () => {
    const { request, script } = recorded("embeddings", "embeddings");
    const { engine } = await running({ "POST /v1/embeddings": answeredBy(script) }, "embeddings");
    const sized = (dimensions: number) => engine.open({ ...request, body: { ...request.body, dimensions } });
    await expect(sized(10)).rejects.toMatchObject({ code: "unsupported_parameter", param: "dimensions" });
    expect((await sized(384)).status).toBe(200);
  });
});

describe("what llama.cpp says of itself", () => {
  test("all of it is asked: the context of a slot, slots, media, and what this start of it answers", async () => {
    const { engine } = await running();
    const { capabilities, ...facts } = await engine.probe();
    expect(facts).toEqual({ models: ["scripted"], contextTokens: 1_024, slots: 2 });
    expect(capabilities).toMatchObject({ speaks: ["chat", "completions"], media: [], tokenize: true, stops: true });
    expect(capabilities.fields).toContain("tools");
  });

  test("fields that it ignores without a word are not among those that it is sent", async () => {
    const { engine } = await running();
    const { fields } = (await engine.probe()).capabilities;
    for (const field of ["best_of", "echo", "suffix", "repetition_penalty", "include_reasoning"])
      expect(fields).not.toContain(field);
    expect(fields).toContain("repeat_penalty");
  });

  test("a model that sees and hears says so", async () => {
    const { server, engine } = await running();
    (server.answers["GET /props"] as Json)["modalities"] = { vision: true, video: false, audio: true };
    expect((await engine.probe()).capabilities.media).toEqual(["image", "audio"]);
  });

  test("a server that was started for embeddings is asked embeddings alone, and once for each start", async () => {
    const embeds = answeredBy(recorded("embeddings", "embeddings").script);
    const { server, engine } = await running({ "POST /v1/embeddings": embeds }, "embeddings");
    server.usual = recorded("embeddings", "a chat").script;
    for (let probe = 0; probe < 3; probe++) expect((await engine.probe()).capabilities.speaks).toEqual(["embeddings"]);
    expect(server.seen.filter(({ body }) => body["prompt"] === "a")).toHaveLength(1);
    // Started again with other properties.
    (server.answers["GET /props"] as Json)["total_slots"] = 1;
    server.usual = {};
    expect((await engine.probe()).capabilities.speaks).toEqual(["chat", "completions", "embeddings"]);
  });

  test("a server that was started to rerank answers embeddings of zeros, and is asked for none", async () => {
    const reranks = answeredBy(recorded("rerank", "rerank").script);
    const embeds = answeredBy(recorded("rerank", "embeddings").script);
    const { server, engine } = await running({ "POST /v1/rerank": reranks, "POST /v1/embeddings": embeds }, "rerank");
    server.usual = recorded("embeddings", "a chat").script;
    expect((await engine.probe()).capabilities.speaks).toEqual(["rerank"]);
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
    (server.answers["GET /props"] as Json)["chat_template_caps"] = { supports_tools: false };
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
    // One token of the text completion that every start is asked for, and one behind the beginning, as the stream that calls ask for.
    expect(server.seen.map(({ body }) => body["max_tokens"])).toEqual([1, 1]);
    expect(server.seen[1]!.body).toMatchObject({
      continue_final_message: true,
      add_generation_prompt: false,
      stream: true,
    });
  });

  test("is gone on with by a version that repeats its beginning in whole answers alone", async () => {
    const { server, engine } = await running(template(templates.byField));
    const [whole, streamed] = ["an answer that goes on", "an answer that goes on as a stream"].map(
      (name) => recorded("chat", name).script,
    );
    const repeated = whole!.raw!.body.replace("Once upon a", "Lineshaft 7 3 1");
    expect(repeated).toContain("Lineshaft 7 3 1 time");
    whole!.raw!.body = repeated;
    server.decide = ({ body }) => (body["continue_final_message"] !== true ? {} : body["stream"] ? streamed! : whole!);
    expect((await engine.probe()).capabilities.fields).toContain("continue_final_message");
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
    const messages = [{ role: "user", content: "Say hi." }];
    const tools = [{ type: "function", function: { name: "f" } }];
    expect(await engine.tokenize("chat", { messages, tools, temperature: 1 }, "prj_1")).toEqual({
      count: 12,
      tokens: [1, 4093, 198, 36218, 15876, 30, 2, 198, 1, 520, 9531, 198],
    });
    expect(server.asked.slice(-2)).toEqual([
      ["POST /apply-template", { messages, tools }],
      [
        "POST /tokenize",
        {
          content: "<|im_start|>user\nSay hi.<|im_end|>\n<|im_start|>assistant\n",
          add_special: true,
          parse_special: true,
        },
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
