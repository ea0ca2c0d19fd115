// Presets of the command line: what `engines add --preset` fills in, and that a public price is used only where it was asked for.
import { expect, test } from "vitest";
import { testCli } from "./testing.ts";

const priceless = { name: "qwen", kind: "openai", urls: ["u"], model: "m", price: null };
const answering = () =>
  testCli(({ method, url }) => {
    if (url.startsWith("/api/status")) return { body: { organisation: { currency: "USD" } } };
    return method === "GET" ? { body: { data: [], next_cursor: null } } : { body: priceless };
  });

test("lists the providers, and the models of one with their prices", async () => {
  await using cli = await answering();
  const all = await cli.run(["engines", "presets"]);
  expect(all.stdout).toContain("dashscope");
  expect(all.stdout).toContain("https://RESOURCE.openai.azure.com/openai/v1");
  const one = await cli.run(["engines", "presets", "deepseek"]);
  expect(one.stdout).toMatch(/deepseek-flash +1,000,000 +0\.3 in, 0\.006 cached, 1\.2 out USD +2026-11/);
  expect(JSON.parse((await cli.run(["engines", "presets", "--json"])).stdout)).toHaveProperty("data");
});

test("fills in address and key variable, and takes the offered price where that is asked for", async () => {
  await using cli = await answering();
  const words = ["engines", "add", "qwen", "--preset", "dashscope", "--model", "qwen3.7-plus", "--price-offered"];
  const { code, stderr } = await cli.run(words);
  expect(code, stderr).toBe(0);
  expect(cli.requests.at(-1)!.body).toEqual({
    name: "qwen",
    urls: ["https://dashscope-intl.aliyuncs.com/compatible-mode/v1"],
    model: "qwen3.7-plus",
    key_env: "DASHSCOPE_API_KEY",
    preset: "dashscope",
    price: {
      currency: "USD",
      input_nano_per_million: "400000000",
      cached_nano_per_million: "80000000",
      output_nano_per_million: "1600000000",
      tiers: [
        {
          above_prompt_tokens: 256_000,
          input_nano_per_million: "1200000000",
          cached_nano_per_million: "240000000",
          output_nano_per_million: "4800000000",
        },
      ],
    },
  });
});

test("never uses the offered price in silence: it is shown, and nothing is added", async () => {
  await using cli = await answering();
  const { code, stderr } = await cli.run(["engines", "add", "ds", "--preset", "deepseek", "--model", "deepseek-flash"]);
  expect(code).toBe(2);
  expect(stderr).toContain("The engine ds has no price.");
  expect(stderr).toContain("0.3 in, 0.006 cached, 1.2 out USD per million tokens");
  expect(stderr).toContain("--price-offered");
  expect(cli.requests.every(({ method }) => method === "GET")).toBe(true);
});

test("an own address and an own key variable win over the preset's", async () => {
  await using cli = await answering();
  const words =
    "engines add az --preset azure --url https://mine.openai.azure.com/openai/v1 --model gpt --price-in 1 --price-out 2";
  expect((await cli.run([...words.split(" "), "--key-env", "MY_KEY"])).code).toBe(0);
  expect(cli.requests.at(-1)!.body).toMatchObject({
    urls: ["https://mine.openai.azure.com/openai/v1"],
    key_env: "MY_KEY",
  });
});

test.each([
  ["no such preset", ["--preset", "dashscop", "--model", "m"], "Did you mean dashscope?"],
  ["neither address nor preset", ["--model", "m"], "Neither --url nor --preset is given."],
  [
    "Azure without an address",
    ["--preset", "azure", "--model", "m"],
    "--url https://RESOURCE.openai.azure.com/openai/v1",
  ],
  [
    "no public price",
    ["--preset", "qianfan", "--model", "ernie", "--price-offered"],
    "No public price is known for ernie.",
  ],
  ["an offered price without a preset", ["--url", "http://a/v1", "--model", "m", "--price-offered"], "none is given"],
  [
    "two prices",
    ["--preset", "deepseek", "--model", "deepseek-flash", "--price-offered", "--price-in", "1", "--price-out", "2"],
    "exclude each other",
  ],
])("%s: says what to do, and adds nothing", async (_name, words, said) => {
  await using cli = await answering();
  const { code, stderr } = await cli.run(["engines", "add", "x", ...words]);
  expect(code).not.toBe(0);
  expect(stderr).toContain(said);
  expect(cli.requests.every(({ method }) => method === "GET")).toBe(true);
});

test("an engine's bounds are sent as they were given, and listed in words", async () => {
  const engine = {
    name: "local",
    kind: "openai",
    urls: ["http://gpu:8000/v1"],
    model: "qwen3",
    price: null,
    created_at: null,
    connect_ms: null,
    first_token_ms: 30_000,
    idle_ms: 2_500,
    concurrency: 8,
  };
  await using cli = await testCli(({ method, url }) => {
    if (method === "POST") return { body: engine };
    if (url.startsWith("/api/status")) return { body: { organisation: { currency: "USD" } } };
    return { body: { data: url.startsWith("/api/engines") ? [engine] : [], next_cursor: null } };
  });
  const words = ["engines", "add", "local", "--url", "http://gpu:8000/v1", "--model", "qwen3", "--price-in", "0"];
  const bounds = ["--price-out", "0", "--concurrency", "8", "--first-token-ms", "30000", "--idle-ms", "2500"];
  const added = await cli.run([...words, ...bounds]);
  expect(added.code, added.stderr).toBe(0);
  expect(cli.requests.at(-1)!.body).toMatchObject({ concurrency: 8, first_token_ms: 30_000, idle_ms: 2_500 });
  const { stdout } = await cli.run(["engines", "list"]);
  expect(stdout).toContain("8 at once, first token 30 s, idle 2.5 s");
});
