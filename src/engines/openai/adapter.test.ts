// The OpenAI adapter against a scripted engine: what it sends, how it reads answers good and bad.
import { describe, expect, test } from "vitest";
import { engineSuite, scriptedSubject } from "../suite.ts";
import { createOpenAiEngine } from "./adapter.ts";
import { scriptedEngine } from "../testing.ts";
import type { Script } from "../testing.ts";
import { presets } from "../presets/index.ts";
import type { EngineAnswer, EngineError } from "../types.ts";

const credential = "key-of-the-suite";

engineSuite("an OpenAI-compatible endpoint", async () => {
  let silent = false;
  const list = { object: "list", data: [{ id: "scripted", object: "model" }] };
  const server = await scriptedEngine({}, ["scripted"], 0, {
    routes: { "GET /v1/models": () => (silent ? () => {} : list) },
  });
  return scriptedSubject(createOpenAiEngine({ url: server.url, model: "scripted", key: credential }), credential, {
    ...server,
    silence: () => void (silent = true),
  });
});

const hints = { attempt: "att_1", cacheSalt: "org_1", project: "prj_1", program: "run_1" };
const messages = [{ role: "user", content: "hi" }];

async function open(url: string, stream: boolean, key?: string): Promise<EngineAnswer> {
  const engine = createOpenAiEngine({ url, model: "scripted", key });
  return engine.open({ shape: "chat", body: { model: "scripted", messages, stream }, hints });
}

async function readAll(answer: EngineAnswer): Promise<string> {
  let text = "";
  for await (const { deltas } of answer.chunks) text += deltas[0]?.text ?? "";
  return text;
}

describe("what is sent", () => {
  test("its own headers and nothing else; hints stay here", async () => {
    await using engine = await scriptedEngine();
    await (await open(engine.url, false, "provider-key")).whole();
    const { headers, body } = engine.seen[0]!;
    expect(Object.keys(headers).toSorted()).toEqual([
      ...["accept", "authorization", "connection", "content-length", "content-type", "host", "user-agent"],
    ]);
    expect(headers.authorization).toBe("Bearer provider-key");
    expect(body).toEqual({ model: "scripted", messages, stream: false });
  });

  test("usage is asked for on every stream", async () => {
    await using engine = await scriptedEngine();
    const answer = await open(engine.url, true);
    await readAll(answer);
    expect(engine.seen[0]!.body["stream_options"]).toEqual({ include_usage: true });
    expect(answer.usage()).toMatchObject({ promptTokens: 10, outputTokens: 4, source: "engine" });
  });
});

describe("usage in its several spellings", () => {
  const usageOf = async (usage: unknown) => {
    const body = JSON.stringify({ choices: [{ message: { content: "12345678" }, finish_reason: "stop" }], usage });
    await using engine = await scriptedEngine({ raw: { body } });
    const answer = await open(engine.url, false);
    await answer.whole();
    return answer.usage();
  };
  test.each<[unknown, object]>([
    [
      { prompt_tokens: 9, completion_tokens: 2 },
      { promptTokens: 9, cachedTokens: 0, cachedUnreported: true, outputTokens: 2, source: "engine" },
    ],
    [{ prompt_tokens: 9, completion_tokens: 2, prompt_tokens_details: { cached_tokens: 4 } }, { cachedTokens: 4 }],
    [
      { prompt_tokens: 9, completion_tokens: 2, prompt_tokens_details: null },
      { cachedTokens: 0, cachedUnreported: true },
    ],
    [{ prompt_tokens: 9, completion_tokens: 2, prompt_cache_hit_tokens: 8 }, { cachedTokens: 8 }],
    // As Moonshot says it, and as DashScope says what was written for a mark.
    [{ prompt_tokens: 9, completion_tokens: 2, cached_tokens: 7 }, { cachedTokens: 7 }],
    [
      {
        prompt_tokens: 9,
        completion_tokens: 2,
        prompt_tokens_details: { cached_tokens: 0, cache_creation_input_tokens: 6 },
      },
      { cachedTokens: 0, cacheWriteTokens: 6 },
    ],
    [{ prompt_tokens: 9, completion_tokens: 2, prompt_tokens_details: { cached_tokens: 99 } }, { cachedTokens: 9 }],
    [
      { prompt_tokens: 9, completion_tokens: 5, completion_tokens_details: { reasoning_tokens: 3 } },
      { outputTokens: 5, reasoningTokens: 3 },
    ],
    // As xAI counts: reasoning beside the completion. It is output, once.
    [
      { prompt_tokens: 9, completion_tokens: 5, total_tokens: 17, completion_tokens_details: { reasoning_tokens: 3 } },
      { outputTokens: 8, reasoningTokens: 3 },
    ],
    [
      { prompt_tokens: 9, completion_tokens: 5, total_tokens: 14, completion_tokens_details: { reasoning_tokens: 3 } },
      { outputTokens: 5, reasoningTokens: 3 },
    ],
    [
      { prompt_tokens: 9, completion_tokens: 2, prompt_tokens_details: { cached_tokens: 4, cache_write_tokens: 3 } },
      { promptTokens: 9, cachedTokens: 4, cacheWriteTokens: 3 },
    ],
    [
      { prompt_tokens: 9, completion_tokens: 2, prompt_tokens_details: { cached_tokens: 4, cache_write_tokens: 99 } },
      { cachedTokens: 4, cacheWriteTokens: 5 },
    ],
    [
      { prompt_tokens: -1, completion_tokens: 2 },
      { source: "counted", outputTokens: 2 },
    ],
    [{ prompt_tokens: null }, { source: "counted" }],
    [undefined, { source: "counted", cachedUnreported: true, outputTokens: 2 }],
    [null, { source: "counted", outputTokens: 2 }],
  ])("%j", async (usage, expected) => expect(await usageOf(usage)).toMatchObject(expected));

  test("a reported 0 is not the same as no report", async () => {
    const usage = { prompt_tokens: 9, completion_tokens: 2, prompt_tokens_details: { cached_tokens: 0 } };
    expect(await usageOf(usage)).not.toHaveProperty("cachedUnreported");
  });
});

describe("answers that cannot be used", () => {
  const cases: [string, Script, { status: number; code: string; retryable: boolean }][] = [
    ["not JSON", { raw: { body: "<html>" } }, { status: 502, code: "engine_invalid_answer", retryable: true }],
    ["no choices", { raw: { body: "{}" } }, { status: 502, code: "engine_invalid_answer", retryable: true }],
    [
      "an error with status 200",
      { raw: { body: '{"error":{"message":"oom"}}' } },
      { status: 502, code: "engine_failed", retryable: true },
    ],
    [
      "a redirect",
      { fail: { status: 307, headers: { location: "http://169.254.169.254/" } } },
      { status: 502, code: "engine_redirected", retryable: true },
    ],
    [
      "a refused key",
      { fail: { status: 401, body: { error: { message: "Incorrect API key provided: provider-key" } } } },
      { status: 502, code: "engine_auth_failed", retryable: true },
    ],
    ["an unknown model", { fail: { status: 404 } }, { status: 502, code: "engine_model_missing", retryable: true }],
    ["too busy", { fail: { status: 429 } }, { status: 429, code: "engine_busy", retryable: true }],
    ["failing", { fail: { status: 500 } }, { status: 502, code: "engine_failed", retryable: true }],
    ["overloaded", { fail: { status: 503 } }, { status: 503, code: "engine_failed", retryable: true }],
    [
      "the caller's fault",
      { fail: { status: 422, body: { detail: "bad field" } } },
      { status: 400, code: "invalid_request", retryable: false },
    ],
    ["a closed connection", { cut: "before" }, { status: 502, code: "engine_unreachable", retryable: true }],
  ];
  test.each(cases)("%s", async (_name, script, expected) => {
    await using engine = await scriptedEngine(script);
    const failed = open(engine.url, false, "provider-key").then((answer) => answer.whole());
    await expect(failed).rejects.toMatchObject(expected);
    await expect(failed).rejects.not.toThrow(/provider-key/);
  });

  test("an address where nothing listens", async () => {
    const engine = await scriptedEngine();
    await engine[Symbol.asyncDispose]();
    await expect(open(engine.url, true)).rejects.toMatchObject({ status: 502, code: "engine_unreachable" });
  });
});

describe("streams that break", () => {
  test("an error inside the stream", async () => {
    const body =
      'data: {"choices":[{"delta":{"content":"a"}}]}\n\ndata: {"error":{"message":"boom","code":"oops"}}\n\n';
    await using engine = await scriptedEngine({ raw: { contentType: "text/event-stream", body } });
    const answer = await open(engine.url, true);
    await expect(readAll(answer)).rejects.toMatchObject({ status: 502, code: "oops", message: "boom" });
  });

  test("an end without finish reason and without [DONE] is a cut", async () => {
    const body = 'data: {"choices":[{"delta":{"content":"a"},"finish_reason":null}]}\n\n';
    await using engine = await scriptedEngine({ raw: { contentType: "text/event-stream", body } });
    await expect(readAll(await open(engine.url, true))).rejects.toMatchObject({ code: "engine_stream_cut" });
  });

  test("a finish reason is an end, with or without [DONE]", async () => {
    const body = 'data: {"choices":[{"delta":{"content":"a"},"finish_reason":"stop"}]}\n\n';
    await using engine = await scriptedEngine({ raw: { contentType: "text/event-stream", body } });
    expect(await readAll(await open(engine.url, true))).toBe("a");
  });

  test("JSON where a stream was asked for is read as the error it is", async () => {
    await using engine = await scriptedEngine({ raw: { body: '{"error":{"message":"no streams here"}}' } });
    await expect(open(engine.url, true)).rejects.toMatchObject({ status: 502, message: "no streams here" });
  });
});

test("cancelling closes the connection and answers what passed", async () => {
  const never = new Promise<void>(() => {});
  await using engine = await scriptedEngine({ chunks: ["12345678", "never"], wait: never, waitAfter: 1 });
  const answer = await open(engine.url, true);
  await answer.chunks[Symbol.asyncIterator]().next();
  expect(await answer.cancel()).toMatchObject({ outputTokens: 2, source: "counted" });
  await engine.seen[0]!.gone;
  expect(await answer.cancel()).toMatchObject({ outputTokens: 2 });
});

test("asking what it is: models, and no list at all", async () => {
  await using engine = await scriptedEngine({}, ["a", "b"]);
  const facts = await createOpenAiEngine({ url: engine.url, model: "a" }).probe();
  expect(facts).toMatchObject({ models: ["a", "b"], capabilities: { tokenize: false } });
  const nowhere = createOpenAiEngine({ url: engine.url.replace("/v1", "/elsewhere/completions"), model: "a" });
  await expect(nowhere.probe()).resolves.toMatchObject({ models: ["a", "b"] });
});

describe("a provider's own words of a refusal", () => {
  const provider = presets.find(({ name }) => name === "openai")!;
  const refusedBy = async (script: Script, preset: typeof provider | undefined = provider) => {
    await using server = await scriptedEngine(script);
    const engine = createOpenAiEngine({ url: server.url, model: "scripted", key: "provider-key", preset });
    const request = { shape: "chat" as const, body: { model: "scripted", messages, stream: false }, hints };
    return (await engine.open(request).catch((error: unknown) => error)) as EngineError;
  };
  const fail = (status: number, message: string, more: object = {}): Script => ({
    fail: { status, body: { error: { message, type: "invalid_request_error", ...more } } },
  });

  test("are kept where they are about the request or the provider's load", async () => {
    for (const status of [400, 422, 429, 500, 503]) {
      const { said } = await refusedBy(fail(status, "Wrong: {} of 3."));
      expect(said).toMatchObject({ shape: "chat", status, contentType: "application/json" });
      expect(JSON.parse(said!.text)).toEqual({ error: { message: "Wrong: {} of 3.", type: "invalid_request_error" } });
    }
  });

  test("are kept where the JSON is said to be octets, as DeepSeek's is", async () => {
    const refusal = fail(400, "No output.");
    Object.assign(refusal.fail!, { headers: { "content-type": "application/octet-stream" } });
    const { said } = await refusedBy(refusal);
    expect(said).toMatchObject({ status: 400, contentType: "application/json" });
  });

  test("are not where they are about our key, our account or a route, or are no JSON", async () => {
    for (const status of [401, 402, 403, 404]) expect((await refusedBy(fail(status, "no"))).said).toBeUndefined();
    expect((await refusedBy(fail(429, "no", { code: "insufficient_quota" }))).said).toBeUndefined();
    const html = { fail: { status: 500, body: "<html>", headers: { "content-type": "text/html" } } };
    expect((await refusedBy(html)).said).toBeUndefined();
    expect((await refusedBy({ fail: { status: 400, body: "text" } })).said).toBeUndefined();
  });

  test("hold neither the key nor the names of our account, and an engine of the house's own keeps its words to itself", async () => {
    const { said } = await refusedBy(
      fail(400, "org-AbCdEfGh1234 used provider-key (org: 01234567-89ab-cdef-0123-456789abcdef)"),
    );
    expect(said!.text).not.toMatch(/AbCdEfGh|provider-key|01234567/);
    await using server = await scriptedEngine(fail(400, "no"));
    const engine = createOpenAiEngine({ url: server.url, model: "scripted" });
    const opened = engine.open({ shape: "chat", body: { model: "scripted", messages, stream: false }, hints });
    expect(((await opened.catch((error: unknown) => error)) as EngineError).said).toBeUndefined();
  });
});
