// Which software answers at an address: by what its list of models says, else by a route that only one software has. Hostile answers are
// bounded and believed in nothing.
import { expect, onTestFinished, test } from "vitest";
import { limits } from "../limits.ts";
import { scriptedEngine, type ScriptedRoutes } from "../testing.ts";
import { createOpenAiEngine } from "./adapter.ts";
import { softwareAt } from "./detect.ts";

const show = { details: { family: "qwen3" }, model_info: { "qwen3.context_length": 4_096 } };
const props = { default_generation_settings: { n_ctx: 2_048 }, total_slots: 1 };

async function softwareOf(routes: ScriptedRoutes["routes"], listed: Record<string, unknown> = {}) {
  const server = await scriptedEngine({}, ["scripted"], 0, { routes });
  onTestFinished(() => server[Symbol.asyncDispose]());
  return softwareAt({ root: server.url.replace("/v1", ""), headers: [], model: "scripted", listed });
}

test.each([
  ["vllm", "vllm"],
  ["sglang", "sglang"],
  ["llamacpp", "llamacpp"],
  ["library", "ollama"],
])("an owner %s is believed, and nothing else is asked", async (owner, software) => {
  const asked: string[] = [];
  const route = () => void asked.push("asked");
  expect(await softwareOf({ "POST /api/show": route, "GET /props": route }, { owned_by: owner })).toBe(software);
  expect(asked).toEqual([]);
});

test.each<[string, ScriptedRoutes["routes"], string]>([
  ["Ollama, whose models may have owners of their own", { "POST /api/show": () => show }, "ollama"],
  ["llama.cpp behind another name", { "GET /props": () => props }, "llamacpp"],
  ["nothing that is known", {}, "other"],
  ["texts", { "POST /api/show": () => "model_info", "GET /props": () => "<html>" }, "other"],
  ["other objects", { "POST /api/show": () => ({ model_info: 7 }), "GET /props": () => ({ n_ctx: 1 }) }, "other"],
  [
    "more values than an answer may have",
    { "GET /props": () => `{"default_generation_settings":{"n_ctx":1},"x":[${"{},".repeat(limits.jsonValues)}{}]}` },
    "other",
  ],
  [
    "a redirect",
    {
      "GET /props": () => (response) =>
        void response.writeHead(302, { location: "http://169.254.169.254/props" }).end(),
    },
    "other",
  ],
])("%s is told apart", async (_name, routes, software) =>
  expect(await softwareOf(routes, { owned_by: "somebody" })).toBe(software),
);

test("a route that never answers holds the first call up for a bounded time, and is no software", async () => {
  const usual = limits.detectMs;
  (limits as { detectMs: number }).detectMs = 50;
  onTestFinished(() => void ((limits as { detectMs: number }).detectMs = usual));
  const silent = () => () => {};
  expect(await softwareOf({ "POST /api/show": silent, "GET /props": silent })).toBe("other");
});

test("an endpoint is asked once, and again when its list names another owner", async () => {
  let asked = 0;
  let owner = "somebody";
  const server = await scriptedEngine({}, ["scripted"], 0, {
    routes: {
      "GET /v1/models": () => ({ data: [{ id: "scripted", owned_by: owner }] }),
      "GET /props": () => (asked++, props),
    },
  });
  onTestFinished(() => server[Symbol.asyncDispose]());
  const engine = createOpenAiEngine({ url: server.url, model: "scripted" });
  await engine.probe();
  const first = asked;
  await engine.probe();
  // The server itself is asked its properties at each probe; whether it is llama.cpp is not asked anew.
  expect(asked - first).toBe(1);
  owner = "vllm";
  expect((await engine.probe()).capabilities.fields).toContain("guided_json");
});
