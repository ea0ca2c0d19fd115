// SGLang behind the adapter of OpenAI-compatible endpoints. Its exchanges are composed from its documentation: it needs a GPU to run.
import { describe, expect, onTestFinished, test } from "vitest";
import { createOpenAiEngine } from "../openai/adapter.ts";
import { scriptedServer } from "../openServerTesting.ts";
import { engineSuite } from "../suite.ts";
import { sglangFacts } from "./server.ts";

const file = new URL("fixtures/server.composed.json", import.meta.url);
const credential = "key-of-the-suite";

engineSuite("SGLang", async () => {
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

const chat = (cacheSalt: string, more: object = {}) => ({
  shape: "chat" as const,
  body: { model: "scripted", messages: [{ role: "user", content: "hi" }], ...more },
  hints: { attempt: "att_1", cacheSalt, project: "prj_1" },
});

describe("what SGLang says of itself", () => {
  test("all of it is asked: context, pages, cache, calls at once over its ranks, media", async () => {
    const { engine } = await running();
    const { capabilities, ...facts } = await engine.probe();
    expect(facts).toEqual({
      models: ["scripted"],
      contextTokens: 32_768,
      blockTokens: 64,
      slots: 96,
      kv: { bytesPerToken: 0, deviceTokens: 240_000, totalTokens: 240_000, reloadMsPerToken: {} },
    });
    expect(capabilities).toMatchObject({ speaks: ["chat", "completions"], media: ["image"], stops: true });
    expect(capabilities.fields).toContain("tools");
  });

  test("a version with the older names of its routes is asked by them, and one that has neither says nothing", async () => {
    let older: Record<string, unknown> = {};
    const server = await scriptedServer(file, {
      "GET /get_server_info": () => older["GET /server_info"] as object,
      "GET /get_model_info": () => older["GET /model_info"] as object,
    });
    onTestFinished(() => server[Symbol.asyncDispose]());
    older = { ...server.answers };
    for (const route of ["GET /server_info", "GET /model_info"]) delete server.answers[route];
    const engine = createOpenAiEngine({ url: server.url, model: "scripted" });
    expect(await engine.probe()).toMatchObject({ slots: 96, capabilities: { media: ["image"] } });
    older = {};
    const facts = await engine.probe();
    expect(facts).toMatchObject({ models: ["scripted"], contextTokens: 32_768 });
    expect(facts.slots).toBeUndefined();
  });

  test("a model of embeddings answers embeddings alone", () => {
    expect(sglangFacts({}, { is_generation: false }).capabilities?.speaks).toEqual(["embeddings"]);
  });

  test("without a parser of tool calls it would hand them back as text, so tools are refused", async () => {
    const { server, engine } = await running();
    (server.answers["GET /server_info"] as Record<string, unknown>)["tool_call_parser"] = null;
    const { capabilities } = await engine.probe();
    for (const field of ["tools", "tool_choice", "parallel_tool_calls"])
      expect(capabilities.fields).not.toContain(field);
  });

  test.each<[string, Record<string, unknown>, Record<string, unknown>]>([
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
