// The adapter against a real Ollama: how it is found out, what it says of itself, our reading against its own counts, tools, schemas, its
// refusals, a caller who goes away, prompts that it would cut, answers that it would push out of its context, embeddings, and what it would
// ignore without a word and is therefore written in its words or not asked.
//
// LINESHAFT_OLLAMA names the command `ollama`; docs/testing.md says how to get one.
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { continuedBody, createOpenAiEngine, type EndpointFacts, type Engine } from "../../src/engines/index.ts";
import { contentOf } from "../../src/engines/openServerTesting.ts";
import { OllamaServer } from "../../src/engines/ollama/server.ts";
import {
  conversation,
  expectAbandoned,
  expectStreamIsWhole,
  expectToolCall,
  factsOf,
  plain,
  requestsTo,
} from "./calls.ts";
import type { Server } from "./childServer.ts";
import { contextTokens, models, startOllama, tinyTokens } from "./ollama.server.ts";
import { scale, weighing } from "./tools.ts";

type Json = Record<string, unknown>;

const command = process.env["LINESHAFT_OLLAMA"];
if (command === undefined)
  throw new Error("Set LINESHAFT_OLLAMA to the command `ollama` (docs/testing.md says how to get it).");

let server: Server;

interface Connected extends ReturnType<typeof requestsTo> {
  engine: Engine;
  facts: EndpointFacts;
}

/** The engine of a model, and what is said of it. A model that is not loaded in time is asked again, as the gateway does. */
async function connected(model: string): Promise<Connected> {
  const engine = createOpenAiEngine({ url: `${server.url}/v1`, model });
  const facts = await factsOf(engine, (said) => said.contextTokens !== undefined);
  return { engine, facts, ...requestsTo(() => model) };
}

/** What Ollama itself says of a call, without the adapter. */
const usageOf = async (path: string, body: Json) =>
  (await plain(server.url, path, body))["usage"] as { prompt_tokens: number; completion_tokens: number };

beforeAll(async () => {
  server = await startOllama(command);
});
afterAll(() => server.stop());

describe("a model whose template knows tools", () => {
  let it: Connected;
  beforeAll(async () => {
    it = await connected(models.tools);
  });

  test("says what it is", () => {
    expect(it.facts).toMatchObject({ contextTokens });
    expect(it.facts.models).toContain(models.tools);
    const { speaks, media, tokenize, stops, wrapsPrompts, fields } = it.facts.capabilities;
    expect({ speaks, media, tokenize, stops, wrapsPrompts }).toEqual({
      speaks: ["chat", "completions"],
      media: [],
      tokenize: false,
      stops: undefined,
      wrapsPrompts: true,
    });
    expect(fields).toContain("tools");
  });

  test("is the same model by its name without a tag", async () => {
    const untagged = await connected("scripted");
    expect(untagged.facts.contextTokens).toBe(contextTokens);
    expect(untagged.facts.models).toContain("scripted");
    expect(untagged.facts.capabilities).toEqual(it.facts.capabilities);
  });

  test.each<[string, Json]>([
    ["a message", { messages: [{ role: "user", content: "Say hi." }] }],
    ["a conversation", { messages: conversation }],
  ])("a stream of %s is its whole answer, and costs the same", async (_name, body) => {
    await expectStreamIsWhole(it.engine, it.request("chat", { ...body, temperature: 0, max_tokens: 6 }));
  });

  test("a stream of a text is its whole answer, and costs the same", async () => {
    await expectStreamIsWhole(it.engine, it.request("completions", { prompt: "Hello", temperature: 0, max_tokens: 4 }));
  });

  test("a prompt is counted whole, also where it is cached, and what is cached is not reported", async () => {
    const counts: unknown[] = [];
    for (let call = 0; call < 2; call++) {
      const answer = await it.engine.open(it.chat("Count this.", { max_tokens: 1 }));
      await answer.whole();
      counts.push(answer.usage());
    }
    expect(counts[0]).toMatchObject({ cachedTokens: 0, cachedUnreported: true, outputTokens: 1, source: "engine" });
    expect(counts[1]).toEqual(counts[0]);
  });

  test.each([false, true])("a tool is called (stream: %s)", (stream) =>
    expectToolCall(it.engine, it.request, { stream }),
  );

  test("it does not know which tool may be called, so none is named where none may", async () => {
    const asked = { messages: weighing, tools: [scale], temperature: 0, max_tokens: 24 };
    const ignoring = await plain(server.url, "/v1/chat/completions", {
      model: models.tools,
      ...asked,
      tool_choice: "none",
    });
    expect((ignoring["choices"] as Json[])[0]).toMatchObject({ finish_reason: "tool_calls" });
    const answer = await it.engine.open(it.request("chat", { ...asked, tool_choice: "none", max_tokens: 1 }));
    await answer.whole();
    const without = { model: models.tools, messages: weighing, max_tokens: 1 };
    expect(answer.usage()!.promptTokens).toBe((await usageOf("/v1/chat/completions", without)).prompt_tokens);
  });

  test("an answer that keeps to a schema", async () => {
    const schema = { type: "object", properties: { unit: { type: "string", enum: ["kg"] } }, required: ["unit"] };
    const format = { type: "json_schema", json_schema: { name: "unit", schema } };
    const answer = await it.engine.open(it.chat("Say a unit.", { response_format: format, max_tokens: 40 }));
    expect(JSON.parse((await contentOf(answer, false)).text)).toEqual({ unit: "kg" });
  });

  test("an answer ends before a text that stops it", async () => {
    const whole = await contentOf(await it.engine.open(it.chat("Say hi.", { max_tokens: 6 })), false);
    const stop = whole.text.trim().split(/\s+/)[1]!;
    const ended = await contentOf(await it.engine.open(it.chat("Say hi.", { max_tokens: 6, stop: [stop] })), false);
    expect(ended).toMatchObject({ text: whole.text.slice(0, whole.text.indexOf(stop)), finish: "stop" });
  });

  test("log probabilities are those of its tokens", async () => {
    const answer = await it.engine.open(it.chat("Say hi.", { max_tokens: 2, logprobs: true, top_logprobs: 2 }));
    const { choices } = (await answer.whole()).wire.data as { choices: { logprobs: { content: Json[] } }[] };
    expect(choices[0]!.logprobs.content).toHaveLength(2);
    expect(choices[0]!.logprobs.content[0]!["top_logprobs"]).toHaveLength(2);
  });

  test("a caller who goes away is counted as far as the answer came, and the next call gets the model", async () => {
    await expectAbandoned(it.engine, it.chat("Tell a long tale.", { max_tokens: 900 }));
    const next = await it.engine.open(it.chat("Say hi.", { max_tokens: 1 }));
    expect((await contentOf(next, false)).finish).toBe("length");
  });

  test("a stream of a text that is left is not counted by the zeros that its chunks say", async () => {
    await expectAbandoned(it.engine, it.request("completions", { prompt: "Tell a long tale.", max_tokens: 900 }));
  });

  test("a limit by its newer name is ignored, so it is sent by the older", async () => {
    const body = { messages: [{ role: "user", content: "Say hi." }], temperature: 0, max_completion_tokens: 1 };
    const ignoring = await usageOf("/v1/chat/completions", { model: models.tools, ...body });
    expect(ignoring.completion_tokens).toBeGreaterThan(1);
    const answer = await it.engine.open(it.request("chat", body));
    expect(await contentOf(answer, false)).toMatchObject({ finish: "length" });
    expect(answer.usage()!.outputTokens).toBe(1);
  });

  test("fields that it ignores without a word are not among those that it is sent", async () => {
    const text = async (more: Json) => {
      const body = { model: models.tools, prompt: "One, two,", max_tokens: 3, temperature: 0, ...more };
      const { choices } = (await plain(server.url, "/v1/completions", body)) as { choices: { text: string }[] };
      return choices.map((choice) => choice.text);
    };
    const usual = await text({});
    expect(usual).toHaveLength(1);
    for (const [field, value] of [
      ["n", 2],
      ["best_of", 2],
      ["echo", true],
      ["logit_bias", { 504: 100 }],
    ] as const) {
      expect(await text({ [field]: value }), field).toEqual(usual);
      expect(it.facts.capabilities.fields).not.toContain(field);
    }
  });

  test("a text is put into its chat template, so that no text is gone on with, nor a last message", async () => {
    const asked = it.request("completions", { prompt: "Once upon a", max_tokens: 1 });
    expect(continuedBody("completions", asked.body, " time", it.facts.capabilities)).toBeUndefined();
    const answer = await it.engine.open(asked);
    await answer.whole();
    const message = await it.engine.open(it.chat("Once upon a", { max_tokens: 1 }));
    await message.whole();
    expect(answer.usage()!.promptTokens).toBe(message.usage()!.promptTokens);
    expect(continuedBody("chat", it.chat("Tell a tale.").body, "Once", it.facts.capabilities)).toBeUndefined();
  });

  test.each<[string, "chat" | "completions", Json]>([
    ["a field of another kind", "chat", { messages: [{ role: "user", content: "hi" }], max_tokens: "four" }],
    ["a prompt as tokens", "completions", { prompt: [504, 2365] }],
    ["several prompts", "completions", { prompt: ["a", "b"] }],
  ])("%s is refused", async (_name, shape, body) => {
    await expect(it.engine.open(it.request(shape, body))).rejects.toMatchObject({
      status: 400,
      code: "invalid_request",
      retryable: false,
    });
  });

  test("words of effort beyond its own are told it by its own", async () => {
    const asked = { model: models.tools, messages: [{ role: "user", content: "hi" }], reasoning_effort: "minimal" };
    expect(JSON.stringify(await plain(server.url, "/v1/chat/completions", asked))).toContain("invalid reasoning value");
    // It then says that this model does not think, which is why the field is not among those of this model.
    await expect(it.engine.open(it.chat("hi", { reasoning_effort: "minimal" }))).rejects.toMatchObject({
      message: expect.stringContaining("does not support thinking") as string,
    });
    expect(it.facts.capabilities.fields).not.toContain("reasoning_effort");
  });
});

describe("a prompt that is longer than the context", () => {
  let it: Connected;
  const long = "word ".repeat(tinyTokens * 3);
  beforeAll(async () => {
    it = await connected(models.tiny);
  });

  test.each<[string, "chat" | "completions", Json]>([
    ["/v1/chat/completions", "chat", { messages: [{ role: "user", content: long }] }],
    ["/v1/completions", "completions", { prompt: long }],
  ])("is cut at %s without a word, so it is refused before", async (path, shape, body) => {
    const { prompt_tokens } = await usageOf(path, { model: models.tiny, ...body, max_tokens: 1 });
    expect(prompt_tokens).toBeLessThanOrEqual(tinyTokens);
    await expect(it.engine.open(it.request(shape, { ...body, max_tokens: 1 }))).rejects.toMatchObject({
      status: 400,
      code: "context_length_exceeded",
      message: expect.stringContaining(`is longer than the context length of ${tinyTokens} tokens`) as string,
      retryable: false,
    });
  });

  test("a prompt that may be longer and is not is counted as the call is, and answered", async () => {
    const body = { messages: [{ role: "user", content: "word ".repeat(20) }], temperature: 0 };
    const answer = await it.engine.open(it.request("chat", body));
    await answer.whole();
    const { promptTokens, outputTokens } = answer.usage()!;
    expect(promptTokens).toBe(
      (await usageOf("/v1/chat/completions", { model: models.tiny, ...body, max_tokens: 1 })).prompt_tokens,
    );
    // The answer ends where the context does.
    expect(promptTokens + outputTokens).toBeLessThanOrEqual(tinyTokens);
  });

  test("an answer that is longer than the rest of the context would push the prompt out", async () => {
    const body = { messages: [{ role: "user", content: "Count from one to a hundred." }], temperature: 0 };
    const pushed = await usageOf("/v1/chat/completions", { model: models.tiny, ...body, max_tokens: tinyTokens });
    expect(pushed.prompt_tokens + pushed.completion_tokens).toBeGreaterThan(tinyTokens);
    const answer = await it.engine.open(it.request("chat", { ...body, max_tokens: tinyTokens }));
    await answer.whole();
    expect(answer.usage()!.promptTokens + answer.usage()!.outputTokens).toBeLessThanOrEqual(tinyTokens);
  });
});

describe("a conversation with calls of tools, counted beforehand", () => {
  test("is the prompt that the call then has", async () => {
    const { engine, request } = await connected(models.tools);
    const said = [
      {
        role: "user",
        content: [
          { type: "text", text: "word ".repeat(20) },
          { type: "text", text: "and more" },
        ],
      },
      ...weighing,
    ];
    const body = { messages: said, tools: [scale], max_tokens: 1 };
    const asked = await new OllamaServer({ root: server.url, headers: [], model: models.tools, listed: {} }).prepare(
      "chat",
      { ...body, max_tokens: 10_000 },
      undefined,
    );
    const answer = await engine.open(request("chat", body));
    await answer.whole();
    // It left to the answer what the prompt leaves of the context.
    expect(asked["max_tokens"]).toBe(contextTokens - answer.usage()!.promptTokens);
  });
});

describe("other models", () => {
  test("a template that knows no tools has them refused, so they are not sent", async () => {
    const { engine, facts, chat } = await connected(models.plain);
    for (const field of ["tools", "tool_choice", "suffix"]) expect(facts.capabilities.fields).not.toContain(field);
    await expect(engine.open(chat("hi", { tools: [scale], max_tokens: 1 }))).rejects.toMatchObject({
      status: 400,
      message: expect.stringContaining("does not support tools") as string,
    });
  });

  test("a message of the role developer is left out by most templates, so it is a system message", async () => {
    const { engine, request } = await connected(models.roles);
    const as = (role: string) => [
      { role, content: "Answer in French, and briefly." },
      { role: "user", content: "hi" },
    ];
    const path = "/v1/chat/completions";
    const bare = { model: models.roles, max_tokens: 1 };
    const without = await usageOf(path, { ...bare, messages: as("system").slice(1) });
    expect((await usageOf(path, { ...bare, messages: as("developer") })).prompt_tokens).toBe(without.prompt_tokens);
    const answer = await engine.open(request("chat", { messages: as("developer"), max_tokens: 1 }));
    await answer.whole();
    const system = await usageOf(path, { ...bare, messages: as("system") });
    expect(system.prompt_tokens).toBeGreaterThan(without.prompt_tokens);
    expect(answer.usage()!.promptTokens).toBe(system.prompt_tokens);
  });

  test("a model of embeddings is asked for embeddings alone", async () => {
    const { engine, facts, request } = await connected(models.embeddings);
    expect(facts).toMatchObject({ contextTokens: 512, capabilities: { speaks: ["embeddings"] } });
    const answer = await engine.open(request("embeddings", { input: ["a", "b c"], dimensions: 100 }));
    const { data } = (await answer.whole()).wire.data as { data: { embedding: number[] }[] };
    expect(data.map(({ embedding }) => embedding.length)).toEqual([100, 100]);
    expect(answer.usage()).toMatchObject({ promptTokens: 7, outputTokens: 0, source: "engine" });
    await expect(engine.open(request("chat", { messages: [{ role: "user", content: "hi" }] }))).rejects.toMatchObject({
      status: 400,
    });
  });

  test("a text that is longer than the context of embeddings is cut without a word, so it is refused before", async () => {
    const { engine, request } = await connected(models.embeddings);
    const input = "word ".repeat(600);
    const { data } = (await plain(server.url, "/v1/embeddings", { model: models.embeddings, input })) as {
      data: Json[];
    };
    expect(data).toHaveLength(1);
    await expect(engine.open(request("embeddings", { input }))).rejects.toMatchObject({
      status: 400,
      code: "context_length_exceeded",
      retryable: false,
    });
    const fits = await engine.open(request("embeddings", { input: "word ".repeat(110) }));
    await fits.whole();
    expect(fits.usage()!.promptTokens).toBeLessThan(512);
  });

  test("a model that it does not have is said to be missing", async () => {
    const { request } = requestsTo(() => "nowhere");
    const engine = createOpenAiEngine({ url: `${server.url}/v1`, model: "nowhere" });
    await expect(engine.open(request("chat", { messages: [] }))).rejects.toMatchObject({
      retryable: expect.any(Boolean),
    });
  });
});
