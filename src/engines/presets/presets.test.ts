// The presets as data, and each quirk by what the adapter then sends.
import { expect, test } from "vitest";
import { canonicalHost, hostsCover } from "../../egress/index.ts";
import { engineBaseUrl } from "../baseUrl.ts";
import { createOpenAiEngine } from "../openai/adapter.ts";
import { scriptedEngine } from "../testing.ts";
import { findPreset, presetAt, presets, type Preset } from "./index.ts";

const named = presets.map((preset): [string, Preset] => [preset.name, preset]);

test("no two presets share a name, a key variable or a host", () => {
  const all = [
    presets.map(({ name }) => name),
    presets.map(({ keyEnv }) => keyEnv),
    presets.flatMap(({ hosts }) => hosts),
  ];
  for (const values of all) expect(new Set<string>(values).size).toBe(values.length);
});

test.each(named)("%s: its address is one of its hosts and is taken as an engine's address", (name, preset) => {
  const url = preset.url ?? preset.urlExample!.replace("RESOURCE", "mine").toLowerCase();
  expect(engineBaseUrl(url)).toBe(url);
  expect(hostsCover([...preset.hosts], url)).toBe(true);
  for (const host of preset.hosts) expect(canonicalHost(host)).toBe(host);
  expect(presetAt(url)).toBe(preset);
  expect(findPreset(name)).toBe(preset);
});

test.each(named)("%s: its models are named once, and each price is whole and says where it stands", (_name, preset) => {
  expect(new Set(preset.models.map(({ id }) => id)).size).toBe(preset.models.length);
  for (const { price } of preset.models) {
    if (!price) continue;
    const amounts = [price, ...(price.tiers ?? [])].flatMap(({ input, cached, output, cacheWrite }) => [
      input,
      output,
      cached ?? "0",
      cacheWrite ?? "0",
    ]);
    for (const amount of amounts) expect(amount).toMatch(/^\d+(\.\d{1,9})?$/);
    const above = (price.tiers ?? []).map(({ abovePromptTokens }) => abovePromptTokens);
    expect(above).toEqual(above.toSorted((a, b) => a - b));
    expect(price.asOf).toMatch(/^20\d\d-[01]\d$/);
    expect(price.source).toMatch(/^https:/);
  }
});

test("an address of no provider has no preset", () => {
  for (const url of ["http://localhost:8000/v1", "https://api.openai.com.evil.test/v1", "http://api.openai.com/v1"])
    expect(presetAt(url)).toBeUndefined();
});

/** What an engine with this preset sends for a chat call of 7 tokens, and what it says of itself. */
async function sentWith(name: string, model = "scripted") {
  await using server = await scriptedEngine({}, [model]);
  const preset = findPreset(name);
  const engine = createOpenAiEngine({ url: server.url, model, key: "key-of-the-provider", preset });
  const facts = await engine.probe();
  const answer = await engine.open({
    shape: "chat",
    body: { model, messages: [{ role: "user", content: "hi" }], max_tokens: 7 },
    hints: { attempt: "att_1", cacheSalt: "org_1", project: "prj_1" },
  });
  await answer.whole();
  return { facts, headers: server.seen[0]!.headers, body: server.seen[0]!.body };
}

test.each(["openai", "azure"])(
  "%s: the limit is called max_completion_tokens, and its own fields alone are taken",
  async (name) => {
    const { facts, body } = await sentWith(name);
    expect(body).toMatchObject({ max_completion_tokens: 7 });
    expect(body["max_tokens"]).toBeUndefined();
    expect(facts.capabilities.fields).toContain("prompt_cache_key");
    expect(facts.capabilities.fields).not.toContain("top_k");
  },
);

test("azure: the key is in its own header", async () => {
  const { headers } = await sentWith("azure");
  expect(headers["api-key"]).toBe("key-of-the-provider");
  expect(headers.authorization).toBeUndefined();
});

test("others: the key is a bearer token, and the limit is max_tokens", async () => {
  const { headers, body } = await sentWith("deepseek");
  expect(headers.authorization).toBe("Bearer key-of-the-provider");
  expect(headers["api-key"]).toBeUndefined();
  expect(body).toMatchObject({ max_tokens: 7 });
});

test.each([
  ["dashscope", true],
  ["openrouter", true],
  ["deepseek", false],
])("%s: takes cache_control marks: %s", async (name, takes) => {
  const { facts } = await sentWith(name);
  expect(facts.capabilities.fields!.includes("cache_control")).toBe(takes);
});

test("a model that its provider lists without a context has the preset's", async () => {
  expect((await sentWith("deepseek", "deepseek-flash")).facts.contextTokens).toBe(1_000_000);
  expect((await sentWith("deepseek", "other")).facts.contextTokens).toBeUndefined();
});
