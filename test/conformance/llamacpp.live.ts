// The adapter against a real llama.cpp server: what it says of itself, our tokens and counts against its own, what it refuses, what it
// would do without a word and is therefore not asked, a caller who goes away, and more calls than slots.
//
// LINESHAFT_LLAMACPP names the command `llama-server`, or one that takes its arguments; docs/testing.md says how to get one.
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from "vitest";
import { createOpenAiEngine, type EndpointFacts, type Engine } from "../../src/engines/index.ts";
import { contentOf } from "../../src/engines/openServerTesting.ts";
import { embeddingModel, smallModel } from "../setup/model.ts";
import {
  expectAbandoned,
  expectContinued,
  expectStreamIsWhole,
  expectToolCall,
  factsOf,
  plain,
  prompts,
  requestsTo,
} from "./calls.ts";
import { stopAll, type Server } from "./childServer.ts";
import { alias, slots, slotTokens, startLlamacpp, toolTemplate } from "./llamacpp.server.ts";
import { scale, weighing } from "./tools.ts";

type Json = Record<string, unknown>;

const command = process.env["LINESHAFT_LLAMACPP"];
if (command === undefined)
  throw new Error("Set LINESHAFT_LLAMACPP to the command `llama-server` (docs/testing.md says how to get it).");

afterAll(stopAll);

interface Started {
  server: Server;
  engine: Engine;
  facts: EndpointFacts;
}

/** The engine at a server, and what the server says of itself. */
async function connected(server: Server, key?: string): Promise<Started> {
  const engine = createOpenAiEngine({ url: `${server.url}/v1`, model: alias, key });
  // As long as not every question was answered in time, it is taken to speak everything.
  const facts = await factsOf(engine, ({ capabilities: { speaks, tokenize } }) => speaks!.length < 4 && tokenize);
  return { server, engine, facts };
}

async function started(model: string, more: string[] = [], key?: string): Promise<Started> {
  return connected(await startLlamacpp({ command: command!, model, more }), key);
}

const requests = requestsTo(() => alias);
const { request, chat } = requests;

/** Slots that compute now. */
async function busy(server: Server): Promise<number> {
  const answered = (await plain(server.url, "/slots")) as unknown as { is_processing: boolean }[];
  return answered.filter((slot) => slot.is_processing).length;
}

describe("a server whose template knows tools", () => {
  let server: Server;
  let engine: Engine;
  let facts: EndpointFacts;
  beforeAll(async () => {
    ({ server, engine, facts } = await started(await smallModel(), ["--chat-template-file", toolTemplate]));
  });
  afterAll(stopAll);

  test("says what it is", () => {
    expect(facts).toMatchObject({ models: [alias], contextTokens: slotTokens, slots });
    expect(facts.capabilities).toMatchObject({
      speaks: ["chat", "completions"],
      media: [],
      tokenize: true,
      kvEvents: false,
      stops: true,
    });
    expect(facts.capabilities.fields).toContain("tools");
  });

  test.each<(typeof prompts)[number]>([...prompts, ["tools", "chat", { messages: weighing, tools: [scale] }]])(
    "tokenises %s as the call does",
    async (_name, shape, body) => {
      const counted = await engine.tokenize(shape, body, "prj_1");
      const answer = await engine.open(request(shape, { ...body, max_tokens: 1 }));
      await answer.whole();
      expect(counted!.tokens).toHaveLength(counted!.count);
      expect(answer.usage()).toMatchObject({ promptTokens: counted!.count, outputTokens: 1, source: "engine" });
    },
  );

  test("a stream is its whole answer, and is counted while it comes", async () => {
    const stream = await expectStreamIsWhole(engine, chat("Say hi.", { max_tokens: 6 }));
    expect(stream.usage()).toMatchObject({ promptTokens: 12, outputTokens: 6, reasoningTokens: 0, source: "engine" });
    expect(stream.outputSoFar()).toBe(6);
  });

  test("the prefix of a prompt is found in its cache, and reported", async () => {
    const messages = [{ role: "user", content: "Lineshaft keeps the prefix of a prompt. ".repeat(10) }];
    const cached: number[] = [];
    for (const more of [
      [],
      [
        { role: "assistant", content: "Yes." },
        { role: "user", content: "Why?" },
      ],
    ]) {
      const answer = await engine.open(request("chat", { messages: [...messages, ...more], max_tokens: 1 }));
      await answer.whole();
      cached.push(answer.usage()!.cachedTokens);
    }
    expect(cached[0]).toBeLessThan(20);
    expect(cached[1]).toBeGreaterThan(80);
  });

  test.each([false, true])("a tool is called (stream: %s)", (stream) =>
    expectToolCall(engine, request, { tool_choice: "required", stream }),
  );

  test("an answer that keeps to a schema", async () => {
    const schema = { type: "object", properties: { unit: { type: "string", enum: ["kg"] } }, required: ["unit"] };
    const format = { type: "json_schema", json_schema: { name: "unit", schema } };
    const answer = await engine.open(chat("Say a unit.", { response_format: format, max_tokens: 30 }));
    expect(JSON.parse((await contentOf(answer, false)).text)).toEqual({ unit: "kg" });
  });

  test("a prompt that is too long is refused in its own words", async () => {
    const refused = engine.open(chat("word ".repeat(slotTokens + 500)));
    await expect(refused).rejects.toMatchObject({
      status: 400,
      code: "context_length_exceeded",
      message: expect.stringMatching(
        /^request \(\d+ tokens\) exceeds the available context size \(1024 tokens\)/,
      ) as string,
      retryable: false,
    });
  });

  test("a field of another kind is refused", async () => {
    await expect(engine.open(chat("hi", { max_tokens: "four" }))).rejects.toMatchObject({
      status: 400,
      code: "invalid_request",
      message: expect.stringContaining("max_tokens") as string,
    });
  });

  test("a caller who goes away stops it, and the answer is counted as far as it came", async () => {
    const long = chat("Tell a long tale.", { max_tokens: 900, ignore_eos: true });
    await expectAbandoned(engine, long, async () => expect(await busy(server)).toBe(1));
    await expect.poll(() => busy(server), { timeout: 30_000, interval: 50 }).toBe(0);
  });

  test("a call beyond the slots waits for one, and is answered", async () => {
    const long = () => engine.open(chat("Tell a long tale.", { max_tokens: 900, stream: true, ignore_eos: true }));
    const held = await Promise.all(Array.from({ length: slots }, long));
    for (const { chunks } of held) await chunks[Symbol.asyncIterator]().next();
    const waiting = engine.open(chat("Say hi.", { max_tokens: 4, stream: true }));
    expect(await busy(server)).toBe(slots);
    for (const answer of held) await answer.cancel();
    expect((await contentOf(await waiting, true)).finish).toBe("length");
  });

  test("an answer that has begun is continued, and only what is new is said", async () => {
    expect(facts.capabilities.fields).toContain("continue_final_message");
    await expectContinued(engine, requests, facts.capabilities);
  });

  test("what it counts in part is refused: several answers, several prompts", async () => {
    const two = (await plain(server.url, "/v1/chat/completions", chat("hi", { n: 2, max_tokens: 2 }).body)) as {
      choices: unknown[];
      usage: { completion_tokens: number };
    };
    // The reason: two answers of two tokens each are reported as two tokens.
    expect([two.choices.length, two.usage.completion_tokens]).toEqual([2, 2]);
    await expect(engine.open(chat("hi", { n: 2 }))).rejects.toMatchObject({ param: "n" });
    await expect(engine.open(request("completions", { prompt: ["a", "b"] }))).rejects.toMatchObject({
      param: "prompt",
    });
  });

  test("fields that it ignores without a word are not among those that it is sent", async () => {
    const text = async (more: Json) => {
      const body = { prompt: "One, two, three,", max_tokens: 6, temperature: 0, ...more };
      const { choices } = (await plain(server.url, "/v1/completions", body)) as { choices: { text: string }[] };
      return choices.map((choice) => choice.text);
    };
    const usual = await text({});
    for (const [field, value] of [
      ["best_of", 2],
      ["echo", true],
      ["suffix", "ten"],
      ["repetition_penalty", 100],
      ["include_reasoning", true],
    ] as const) {
      expect(await text({ [field]: value }), field).toEqual(usual);
      expect(facts.capabilities.fields).not.toContain(field);
    }
    expect(await text({ repeat_penalty: 100 })).not.toEqual(usual);
    expect(facts.capabilities.fields).toContain("repeat_penalty");
  });
});

describe("other starts of it", () => {
  afterAll(stopAll);

  test("a template that knows no tools drops them without a word, so tools are refused", async () => {
    const { server, facts } = await started(await smallModel());
    onTestFinished(() => server.stop());
    const [with_, without] = await Promise.all(
      [[scale], undefined].map((tools) =>
        plain(server.url, "/apply-template", { messages: weighing.slice(0, 1), tools }),
      ),
    );
    expect(with_!["prompt"]).toBe(without!["prompt"]);
    expect(facts.capabilities.fields).not.toContain("tools");
  });

  test("a server that takes a last message for a whole turn is not asked to continue it", async () => {
    const { server, engine } = await started(await smallModel(), ["--no-prefill-assistant"]);
    onTestFinished(() => server.stop());
    // Its field continues all the same where the version has it.
    const begun = { continue_final_message: true, add_generation_prompt: false };
    const messages = [
      { role: "user", content: "Tell a tale." },
      { role: "assistant", content: "Once upon a" },
    ];
    const { prompt } = await plain(server.url, "/apply-template", { messages, ...begun });
    const goesOn = (prompt as string).endsWith("Once upon a");
    const saysSo = ({ capabilities }: EndpointFacts) => capabilities.fields!.includes("continue_final_message");
    expect(saysSo(await factsOf(engine, (facts) => saysSo(facts) === goesOn))).toBe(goesOn);
    await engine.close();
  });

  test("calls that are more than the KV cache that the slots share all end, and can be tried again", async () => {
    const cacheTokens = 512;
    const more = ["--kv-unified", "--ctx-size", `${cacheTokens}`];
    const { server, engine, facts } = await started(await smallModel(), more);
    onTestFinished(() => server.stop());
    expect(facts).toMatchObject({ contextTokens: cacheTokens, slots });
    const busyError = { status: 429, code: "engine_busy", retryable: true };
    const prompt = "word ".repeat(300);
    const held = await engine.open(chat(`1 ${prompt}`, { max_tokens: 190, ignore_eos: true, stream: true }));
    const iterator = held.chunks[Symbol.asyncIterator]();
    await iterator.next();
    await expect(engine.open(chat(`2 ${prompt}`, { max_tokens: 1 }))).rejects.toMatchObject(busyError);
    const rest = async () => {
      while (!(await iterator.next()).done);
    };
    await expect(rest()).rejects.toMatchObject(busyError);
    const again = await engine.open(chat(`3 ${prompt}`, { max_tokens: 1 }));
    expect((await again.whole()).deltas).toHaveLength(1);
  });

  test("a wrong key is refused, and no error repeats it", async () => {
    const { server, facts } = await started(
      await smallModel(),
      ["--api-key", "key-of-the-server"],
      "key-of-the-server",
    );
    onTestFinished(() => server.stop());
    expect(facts.contextTokens).toBe(slotTokens);
    const stranger = createOpenAiEngine({ url: `${server.url}/v1`, model: alias, key: "key-of-a-stranger" });
    const error = (await stranger.open(chat("hi")).catch((thrown: unknown) => thrown)) as Error & { code: string };
    expect(error.code).toBe("engine_auth_failed");
    expect(error.message).not.toContain("stranger");
  });

  test("a server of embeddings is asked for embeddings alone", async () => {
    const { server, engine, facts } = await started(await embeddingModel(), ["--embeddings"]);
    onTestFinished(() => server.stop());
    expect(facts.capabilities.speaks).toEqual(["embeddings"]);
    const answer = await engine.open(request("embeddings", { input: ["a", "b c"], dimensions: 384 }));
    const { data } = (await answer.whole()).wire.data as { data: { embedding: number[] }[] };
    expect(data.map(({ embedding }) => embedding.length)).toEqual([384, 384]);
    expect(answer.usage()).toMatchObject({ promptTokens: 7, outputTokens: 0, source: "engine" });
    await expect(engine.open(request("embeddings", { input: "a", dimensions: 10 }))).rejects.toMatchObject({
      param: "dimensions",
    });
    await expect(engine.open(request("embeddings", { input: "word ".repeat(600) }))).rejects.toMatchObject({
      status: 400,
      code: "context_length_exceeded",
      retryable: false,
    });
  });

  test("a server that reranks is asked to rerank alone", async () => {
    const { server, engine, facts } = await started(await embeddingModel(), ["--reranking"]);
    onTestFinished(() => server.stop());
    expect(facts.capabilities.speaks).toEqual(["rerank"]);
    const answer = await engine.open(request("rerank", { query: "a", documents: ["a", "b"], top_n: 1 }));
    expect((await answer.whole()).wire.data["results"]).toHaveLength(1);
    expect(answer.usage()).toMatchObject({ promptTokens: 8, outputTokens: 0, source: "engine" });
  });
});
