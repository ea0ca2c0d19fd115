// Fields that would change the model, the price, the cache or the tenant: refused by name, for every kind of engine, and never
// allowed by an engine's owner. What an owner may allow is stored with the engine.
import { describe, expect, test } from "vitest";
import { EngineRegistry } from "../../src/engines/index.ts";
import { scriptedEngine } from "../../src/engines/testing.ts";
import { restoreEngines } from "../../src/gateway/storedEngines.ts";
import { hello, rows, testGateway } from "../../src/api/testing.ts";
import type { TestGateway } from "../../src/api/testing.ts";

const chat = (at: TestGateway, body: object) =>
  at.request("/v1/chat/completions", { method: "POST", body: typeof body === "string" ? body : JSON.stringify(body) });
const price = { currency: "USD", input_nano_per_million: "1000000", output_nano_per_million: "2000000" };
const addEngine = (at: TestGateway, url: string, allow: string[]) =>
  at.request("/api/engines", {
    method: "POST",
    body: JSON.stringify({ name: "mine", urls: [url], model: "qwen", price, allow_fields: allow }),
  });

describe("a field that moves money, models or tenants", () => {
  test.each<[string, unknown]>([
    ["models", ["cheap", "dear"]],
    ["provider", { order: ["dearest"] }],
    ["route", "fallback"],
    ["transforms", ["middle-out"]],
    ["plugins", [{ id: "web" }]],
    ["web_search_options", {}],
    ["fallbacks", ["dear"]],
    ["service_tier", "priority"],
    ["store", true],
    ["prediction", { type: "content", content: "x" }],
    ["extra_body", { models: ["dear"] }],
    ["cache_salt", "another's"],
    ["custom_logit_processor", "code"],
  ])("%s reaches no engine, and nothing is held", async (field, value) => {
    await using at = await testGateway();
    const { status, body } = await chat(at, { ...hello, [field]: value });
    expect(status).toBe(400);
    expect(body.error).toMatchObject({ code: "unsupported_parameter", param: field });
    expect(body.error.message).toContain("Leave");
    expect(at.engine.seen).toHaveLength(0);
    expect((await rows(at)).settlements).toHaveLength(0);
  });
});

describe("what an owner allows an engine", () => {
  test("is sent, is kept over a restart, and is of that engine alone", async () => {
    await using at = await testGateway();
    await using engine = await scriptedEngine({}, ["qwen"]);
    expect((await addEngine(at, engine.url, ["my_sampler", "store"])).body).toMatchObject({
      allow_fields: ["my_sampler", "store"],
    });
    const asked = { ...hello, model: "mine", my_sampler: { depth: 3 }, store: true };
    expect((await chat(at, asked)).status).toBe(200);
    expect(engine.seen[0]!.body).toMatchObject({ my_sampler: { depth: 3 }, store: true });
    expect((await chat(at, { ...asked, model: "scripted" })).status).toBe(400);
    const restarted = new EngineRegistry();
    await restoreEngines({ db: at.db, engines: restarted, alarms: at.alarms, log: { warn() {} } as never });
    expect(restarted.get("mine")).toMatchObject({ allowFields: ["my_sampler", "store"] });
    await restarted.close();
    expect((await at.request("/api/engines")).body.data.at(-1)).toMatchObject({
      allow_fields: ["my_sampler", "store"],
    });
  });

  test("an engine that was added before serves as it did, and a refusal names the command that allows a field", async () => {
    await using at = await testGateway();
    await using engine = await scriptedEngine({}, ["qwen"]);
    await at.db.query(
      "insert into engines (name, organisation, kind, urls, model) values ('old', $1, 'openai', $2, 'qwen')",
      [at.principal.organisation, [engine.url]],
    );
    await at.ledger.setRateCard({
      organisation: at.principal.organisation,
      model: "old",
      currency: "USD",
      inputNanoPerMillion: 1n,
      cachedNanoPerMillion: 1n,
      outputNanoPerMillion: 1n,
    });
    await restoreEngines({ db: at.db, engines: at.engines, alarms: at.alarms, log: { warn() {} } as never });
    expect((await chat(at, { ...hello, model: "old", top_k: 40, reasoning_effort: "low" })).status).toBe(200);
    expect(engine.seen[0]!.body).toMatchObject({ top_k: 40, reasoning_effort: "low" });
    const refused = await chat(at, { ...hello, model: "old", my_sampler: 1 });
    expect(refused.body.error.message).toContain("lineshaft engines add old (as before) --allow-field my_sampler");
  });

  test.each([
    "n_predict",
    "nPredict",
    "Max_Tokens",
    "models",
    "MODELS",
    "provider",
    "cache_salt",
    "lora_path",
    "priority",
  ])("%s can be allowed by no owner", async (field) => {
    await using at = await testGateway();
    await using engine = await scriptedEngine({}, ["qwen"]);
    const refused = await addEngine(at, engine.url, [field]);
    expect(refused).toMatchObject({
      status: 400,
      body: { error: { code: "field_never_allowed" } },
    });
    expect(refused.body.error.message).toContain(field);
    expect(at.engines.get("mine")).toBeUndefined();
  });
});
