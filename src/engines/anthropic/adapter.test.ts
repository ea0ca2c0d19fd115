// Anthropic's API as an engine, against a scripted server of its shape (composed from the API reference, not recorded).
import { describe, expect, test } from "vitest";
import { engineSuite, scriptedSubject } from "../suite.ts";
import { messagesCases } from "../testing/messagesCases.ts";
import { scriptedEngine, type Script, type ScriptedRoutes } from "../testing.ts";
import type { EngineError } from "../types.ts";
import { createAnthropicEngine } from "./adapter.ts";

const credential = "key-of-the-suite";

engineSuite(
  "Anthropic's API",
  async () => {
    let silent = false;
    const server = await scriptedEngine({}, ["scripted"], 0, {
      shape: "messages",
      routes: {
        "GET /v1/models": () => (silent ? () => {} : { data: [{ type: "model", id: "scripted" }] }),
        "POST /v1/messages/count_tokens": () => ({ input_tokens: 3 }),
      },
    });
    return scriptedSubject(createAnthropicEngine({ url: server.url, model: "scripted", key: credential }), credential, {
      ...server,
      silence: () => void (silent = true),
    });
  },
  messagesCases,
);

const serving = (script: Script = {}, routes: ScriptedRoutes["routes"] = {}, models = ["scripted"]) =>
  scriptedEngine(script, models, 0, { shape: "messages", routes });

describe("what is sent", () => {
  test("its own headers, the client's headers of Anthropic's API, and nothing else", async () => {
    await using server = await serving();
    const engine = createAnthropicEngine({ url: server.url, model: "scripted", key: "provider-key" });
    const request = messagesCases.request(false);
    await (await engine.open(request)).whole();
    const headers = [
      ["anthropic-version", "2025-01-01"],
      ["anthropic-beta", "a,b"],
      ["x-stainless-os", "Linux"],
      ["authorization", "Bearer the client's"],
    ] as const;
    await (await engine.open({ ...request, headers })).whole();
    const [plain, beta] = server.seen.map((one) => one.headers);
    expect(Object.keys(plain!).toSorted()).toEqual([
      "accept",
      "anthropic-version",
      "connection",
      "content-length",
      "content-type",
      "host",
      "user-agent",
      "x-api-key",
    ]);
    expect(plain).toMatchObject({ "x-api-key": "provider-key", "anthropic-version": "2023-06-01" });
    expect(beta).toMatchObject({ "anthropic-version": "2025-01-01", "anthropic-beta": "a,b" });
    expect(beta).not.toHaveProperty("authorization");
    expect(beta).not.toHaveProperty("x-stainless-os");
    expect(server.seen[0]!.path).toBe("/v1/messages");
  });
});

describe("what it says of itself", () => {
  test("its models, the context of its own one, and how that can be asked to think", async () => {
    await using server = await serving();
    const engine = createAnthropicEngine({ url: server.url, model: "scripted" });
    expect(await engine.probe()).toEqual({
      models: ["scripted"],
      contextTokens: 200_000,
      capabilities: {
        speaks: ["messages"],
        tokenize: true,
        countsAfar: true,
        kvEvents: false,
        media: ["image", "file"],
        thinks: { adaptive: true, budget: true, effort: true },
      },
    });
  });

  test.each([
    [false, true],
    [true, undefined],
  ])("a model that thinks by itself (%s) takes no beginning of an answer: %s", async (adaptive, prefills) => {
    const types = { adaptive: { supported: adaptive }, enabled: { supported: true } };
    const model = { id: "m", max_input_tokens: 9, capabilities: { thinking: { supported: true, types } } };
    await using server = await serving({}, { "GET /v1/models/m": () => model });
    const { capabilities } = await createAnthropicEngine({ url: server.url, model: "m" }).probe();
    expect(capabilities.prefills).toBe(prefills);
  });

  test("an alias that the list does not have is asked for by its name; one that is not known is not served", async () => {
    await using server = await serving({}, { "GET /v1/models/alias": () => ({ id: "dated", max_input_tokens: 9 }) });
    const alias = createAnthropicEngine({ url: server.url, model: "alias" });
    expect(await alias.probe()).toMatchObject({ models: ["scripted", "alias"], contextTokens: 9 });
    const unknown = createAnthropicEngine({ url: server.url, model: "unknown" });
    expect((await unknown.probe()).models).toEqual(["scripted"]);
  });
});

describe("a count", () => {
  test("is asked with what decides the length, under the engine's name of the model", async () => {
    let asked: unknown;
    const route = (body: unknown) => {
      asked = body;
      return { input_tokens: 42 };
    };
    await using server = await serving({}, { "POST /v1/messages/count_tokens": route });
    const engine = createAnthropicEngine({ url: server.url, model: "scripted" });
    const prompt = { system: "S", messages: [{ role: "user", content: "hi" }], tools: [] };
    const body = { ...prompt, model: "theirs", max_tokens: 9, stream: true, temperature: 1, unknown: 1 };
    expect(await engine.tokenize("messages", body, "prj_1")).toEqual({ count: 42 });
    expect(asked).toEqual({ model: "scripted", ...prompt });
    expect(await engine.tokenize("chat", body, "prj_1")).toBeUndefined();
  });

  test("is not asked of a prompt that names an address", async () => {
    await using server = await serving({}, { "POST /v1/messages/count_tokens": () => ({ input_tokens: 42 }) });
    const engine = createAnthropicEngine({ url: server.url, model: "scripted" });
    const image = { type: "image", source: { type: "url", url: "http://169.254.169.254/" } };
    const content = [{ type: "tool_result", tool_use_id: "t", content: [image] }];
    expect(await engine.tokenize("messages", { messages: [{ role: "user", content }] }, "prj_1")).toBeUndefined();
  });
});

test("its refusals keep their words, but not those about our key", async () => {
  await using server = await serving();
  const engine = createAnthropicEngine({ url: server.url, model: "scripted", key: "provider-key" });
  const refused = async (status: number, type: string, message: string) => {
    server.next({ fail: { status, body: { type: "error", error: { type, message }, request_id: "req_1" } } });
    return (await engine.open(messagesCases.request(false)).catch((error: unknown) => error)) as EngineError;
  };
  const tooLong = await refused(400, "invalid_request_error", "prompt is too long: 9 tokens > 8 maximum");
  expect(tooLong).toMatchObject({ code: "context_length_exceeded", status: 400 });
  expect(tooLong.said).toMatchObject({ shape: "messages", status: 400 });
  expect(JSON.parse(tooLong.said!.text)).toMatchObject({ request_id: "req_1" });
  expect((await refused(529, "overloaded_error", "Overloaded")).said).toMatchObject({ status: 529 });
  const proxied = await refused(500, "api_error", `no route from ${new URL(server.url).host} to the model`);
  expect(proxied.said!.text).not.toContain("127.0.0.1");
  expect((await refused(401, "authentication_error", "invalid x-api-key")).said).toBeUndefined();
  expect((await refused(400, "invalid_request_error", "Your credit balance is too low")).said).toBeUndefined();
});
