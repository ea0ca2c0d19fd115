// The adapter against a real SGLang: what it says of itself, prompts that are tokenised alike, salts that keep projects apart in its cache,
// counts, refusals, a caller who goes away, and an answer that is continued.
//
// LINESHAFT_SGLANG_URL names a server that runs, without `/v1`; docs/testing.md says how one is started without an accelerator.
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { createOpenAiEngine, type EndpointFacts, type Engine, type EngineRequest } from "../../src/engines/index.ts";
import { contentOf } from "../../src/engines/openServerTesting.ts";
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

type Json = Record<string, unknown>;

const url = process.env["LINESHAFT_SGLANG_URL"];
if (url === undefined)
  throw new Error("Set LINESHAFT_SGLANG_URL to a server of SGLang that runs (docs/testing.md says how to start one).");

let engine: Engine;
let facts: EndpointFacts;
let model: string;

const requests = requestsTo(() => model);
const { request, chat } = requests;

/** A prompt that no run before has put into the cache. */
const fresh = (words: number) => `${Date.now()} ${Math.random()} ${"word ".repeat(words)}`;

describe("a real SGLang", () => {
  beforeAll(async () => {
    const { data } = (await plain(url, "/v1/models")) as { data: { id: string }[] };
    model = data[0]!.id;
    engine = createOpenAiEngine({ url: `${url}/v1`, model });
    facts = await factsOf(engine, ({ capabilities, slots }) => capabilities.tokenize && slots !== undefined);
  });
  afterAll(() => engine?.close());

  test("says what it is", async () => {
    const said = (await plain(url, "/server_info")) as Record<string, number>;
    expect(facts).toMatchObject({
      models: [model],
      contextTokens: said["context_length"],
      blockTokens: said["page_size"],
      slots: said["max_running_requests"],
      kv: { deviceTokens: said["max_total_num_tokens"] },
    });
    expect(facts.capabilities).toMatchObject({
      speaks: ["chat", "completions"],
      media: [],
      tokenize: true,
      stops: true,
    });
  });

  test.each(prompts)("tokenises %s as the call does", async (_name, shape, body) => {
    const counted = await engine.tokenize(shape, body, "prj_1");
    const answer = await engine.open(request(shape, { ...body, max_tokens: 1 }));
    await answer.whole();
    expect(answer.usage()).toMatchObject({ promptTokens: counted!.count, outputTokens: 1, source: "engine" });
    if (counted!.tokens) expect(counted!.tokens).toHaveLength(counted!.count);
  });

  test("a stream is its whole answer, and is counted while it comes", async () => {
    // Where part of the prompt is cached it computes with other roundings.
    await (await engine.open(chat("Say hi.", { max_tokens: 6 }))).whole();
    const stream = await expectStreamIsWhole(engine, chat("Say hi.", { max_tokens: 6 }));
    expect(stream.outputSoFar()).toBe(stream.usage()!.outputTokens);
  });

  test("projects with one prompt share nothing in its cache", async () => {
    const prompt = fresh(80);
    const cached = async (salt: string) => {
      const answer = await engine.open(chat(prompt, { max_tokens: 1 }, salt));
      await answer.whole();
      expect(answer.usage()!.cachedUnreported).toBeUndefined();
      return answer.usage()!.cachedTokens;
    };
    expect(await cached("prj_1")).toBeLessThan(60);
    expect(await cached("prj_2")).toBeLessThan(60);
    expect(await cached("prj_1")).toBeGreaterThan(80);
    expect(await cached("prj_2")).toBeGreaterThan(80);
  });

  test("several answers and several prompts are counted together", async () => {
    const usageOf = async (one: EngineRequest) => {
      const answer = await engine.open(one);
      await (one.body.stream === true ? contentOf(answer, true) : answer.whole());
      return answer.usage()!;
    };
    for (const stream of [false, true]) {
      const one = await usageOf(chat("Say hi.", { n: 2, max_tokens: 2, ignore_eos: true, stream }));
      expect(one.outputTokens, `stream: ${stream}`).toBe(4);
      const prompts = await usageOf(
        request("completions", { prompt: ["Once upon", "Twice upon a"], max_tokens: 2, ignore_eos: true, stream }),
      );
      expect([prompts.promptTokens, prompts.outputTokens], `stream: ${stream}`).toEqual([6, 4]);
    }
  });

  test("a prompt that is too long is refused in its own words", async () => {
    await expect(engine.open(chat("word ".repeat(facts.contextTokens! + 100)))).rejects.toMatchObject({
      status: 400,
      code: "context_length_exceeded",
      retryable: false,
    });
  });

  test("a field of another kind is refused", async () => {
    await expect(engine.open(chat("hi", { max_tokens: "four" }))).rejects.toMatchObject({
      status: 400,
      code: "invalid_request",
      retryable: false,
    });
  });

  test("a caller who goes away is counted as far as the answer came", async () => {
    await expectAbandoned(engine, chat("Tell a long tale.", { max_tokens: 300, ignore_eos: true }));
    const running = async () => {
      const { loads } = (await plain(url, "/v1/loads")) as { loads: { num_running_reqs: number }[] };
      return loads[0]!.num_running_reqs;
    };
    await expect.poll(running, { timeout: 60_000, interval: 200 }).toBe(0);
  });

  test.each([false, true])("a tool is called, where it reads their calls (stream: %s)", async (stream) => {
    const said = (await plain(url, "/server_info")) as Json;
    expect(facts.capabilities.fields!.includes("tools")).toBe(said["tool_call_parser"] !== null);
    if (said["tool_call_parser"] === null) return;
    await expectToolCall(engine, request, { tool_choice: "required", stream });
  });

  test("an answer that has begun is continued, and only what is new is said", async () => {
    await expectContinued(engine, requests, facts.capabilities);
  });
});
