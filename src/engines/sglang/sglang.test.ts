// SGLang behind the adapter of OpenAI-compatible endpoints, on exchanges that were recorded from a real one (test/conformance/sglang.record.ts).
// `npm run test:sglang` tries the adapter on the server itself.
import { describe, expect, test } from "vitest";
import { createOpenAiEngine } from "../openai/adapter.ts";
import { recordedCall, replayedWhole, scriptedRun, scriptedServer } from "../openServerTesting.ts";
import { engineSuite, scriptedSubject } from "../suite.ts";
import { sglangFacts } from "./server.ts";

type Json = Record<string, unknown>;

const file = new URL("fixtures/server.recorded.json", import.meta.url);
const credential = "key-of-the-suite";

engineSuite("SGLang", async () => {
  const server = await scriptedServer(file);
  return scriptedSubject(
    createOpenAiEngine({ url: server.url, model: "scripted", key: credential }),
    credential,
    server,
  );
});

const running = () => scriptedRun(file);

const chat = (cacheSalt: string, more: object = {}) => ({
  shape: "chat" as const,
  body: { model: "scripted", messages: [{ role: "user", content: "hi" }], ...more },
  hints: { attempt: "att_1", cacheSalt, project: "prj_1" },
});

describe("recorded calls", () => {
  test.each([
    ["a chat", { promptTokens: 12, cachedTokens: 0, outputTokens: 4 }],
    ["a chat whose prompt is cached", { promptTokens: 12, cachedTokens: 11, outputTokens: 4 }],
    ["a chat as a stream", { promptTokens: 12, cachedTokens: 11, outputTokens: 4 }],
    ["a text", { promptTokens: 2, cachedTokens: 0, outputTokens: 3 }],
    ["a text as a stream", { promptTokens: 2, cachedTokens: 1, outputTokens: 3 }],
    ["an answer that goes on as a stream", { promptTokens: 16, cachedTokens: 15, outputTokens: 3 }],
    ["two answers", { promptTokens: 12, outputTokens: 4 }],
    ["two answers as a stream", { promptTokens: 12, outputTokens: 4 }],
    ["two prompts", { promptTokens: 6, outputTokens: 6 }],
  ])("%s has the finish and the counts that the server gave it", async (name, counts) => {
    const { content, usage, soFar } = await replayedWhole(file, name);
    expect(content.finish).toBe("length");
    expect(content.text).not.toBe("");
    expect(usage).toMatchObject({ ...counts, source: "engine" });
    expect(soFar).toBe(counts.outputTokens);
  });

  test.each(["a tool call", "a tool call as a stream"])("%s is read whole", async (name) => {
    const { content } = await replayedWhole(file, name);
    expect(content).toMatchObject({ tool: "weigh", finish: "tool_calls" });
    expect(JSON.parse(content.arguments)).toEqual({ unit: "kg" });
  });

  test.each([
    ["a prompt that is too long", "context_length_exceeded"],
    ["a field of another kind", "invalid_request"],
  ])("%s is the caller's fault", async (name, code) => {
    await expect(replayedWhole(file, name)).rejects.toMatchObject({ status: 400, code, retryable: false });
  });

  test("a refusal does not show where in its files the server found the fault", async () => {
    const said = recordedCall(file, "a field of another kind").script.fail!.body as { message: string };
    expect(said.message).toContain("http_server.py");
    const error = (await replayedWhole(file, "a field of another kind").catch((thrown: unknown) => thrown)) as Error;
    expect(error.message).toContain("'loc': ('body', 'max_tokens')");
    expect(error.message).not.toContain("http_server.py");
  });
});

describe("what SGLang says of itself", () => {
  test("all of it is asked: context, pages, cache, calls at once, media", async () => {
    const { engine } = await running();
    const { capabilities, ...facts } = await engine.probe();
    expect(facts).toEqual({
      models: ["scripted"],
      contextTokens: 1_024,
      blockTokens: 1,
      slots: 4,
      kv: { bytesPerToken: 0, deviceTokens: 4_096, totalTokens: 4_096, reloadMsPerToken: {} },
    });
    expect(capabilities).toMatchObject({
      speaks: ["chat", "completions"],
      media: [],
      tokenize: true,
      stops: true,
    });
    expect(capabilities.fields).toContain("tools");
  });

  test("calls at once and cache are those of all ranks, and calls at once what it worked out where it was not told", async () => {
    const { server, engine } = await running();
    Object.assign(server.answers["GET /server_info"] as Json, {
      dp_size: 2,
      max_running_requests: null,
      internal_states: [{ effective_max_running_requests_per_dp: 48 }],
    });
    (server.answers["GET /model_info"] as Json)["has_image_understanding"] = true;
    const { slots, kv, capabilities } = await engine.probe();
    expect([slots, kv!.deviceTokens, capabilities.media]).toEqual([96, 8_192, ["image"]]);
  });

  test("a version with the older names of its routes is asked by them, and one that has neither says nothing", async () => {
    let older: Json = {};
    const { server, engine } = await scriptedRun(file, {
      "GET /get_server_info": () => older["GET /server_info"] as object,
      "GET /get_model_info": () => older["GET /model_info"] as object,
    });
    older = { ...server.answers };
    for (const route of ["GET /server_info", "GET /model_info"]) delete server.answers[route];
    expect(await engine.probe()).toMatchObject({ slots: 4, capabilities: { media: [] } });
    older = {};
    const facts = await engine.probe();
    expect(facts).toMatchObject({ models: ["scripted"], contextTokens: 1_024 });
    expect(facts.slots).toBeUndefined();
  });

  test("a model of embeddings answers embeddings alone", () => {
    expect(sglangFacts({}, { is_generation: false }).capabilities?.speaks).toEqual(["embeddings"]);
  });

  test("without a parser of tool calls it would hand them back as text, so tools are refused", async () => {
    const { server, engine } = await running();
    (server.answers["GET /server_info"] as Json)["tool_call_parser"] = null;
    const { capabilities } = await engine.probe();
    for (const field of ["tools", "tool_choice", "parallel_tool_calls"])
      expect(capabilities.fields).not.toContain(field);
  });

  test.each<[string, Json, Json]>([
    ["nothing", {}, {}],
    ["numbers that are none", { context_length: "many", page_size: -1, max_running_requests: 1.5, dp_size: 0 }, {}],
    ["lists of something else", { internal_states: [null], max_total_num_tokens: 1e300 }, {}],
    ["states that are no list", { internal_states: "none" }, { has_image_understanding: "yes" }],
  ])("%s leaves everything out", (_name, server, model) => {
    expect(sglangFacts(server, model)).toEqual({ capabilities: { speaks: ["chat", "completions"] } });
  });
});

describe("salts", () => {
  test("every call carries its project's, and no field that joins it to others", async () => {
    const { server, engine } = await running();
    const body = { cache_salt: "mine", extra_key: "mine", rid: "x", priority: 9 };
    for (const salt of ["prj_1", "prj_2", "prj_1"]) await (await engine.open(chat(salt, body))).whole();
    const [first, second, third] = server.seen.map(({ body: sent }) => sent["cache_salt"]);
    expect(first).toMatch(/^[\w-]{43}$/);
    expect(second).not.toBe(first);
    expect(third).toBe(first);
    for (const { body: sent } of server.seen)
      expect(Object.keys(sent).toSorted()).toEqual(["cache_salt", "messages", "model"]);
  });
});

test("cached tokens that it was not started to report are not taken for none", async () => {
  const { server, engine } = await running();
  server.next({ usage: { prompt: 9, cached: null, output: 2 } });
  const answer = await engine.open(chat("prj_1"));
  await answer.whole();
  expect(answer.usage()).toMatchObject({ cachedTokens: 0, cachedUnreported: true });
});
