// Limits on use on the path of a call: over HTTP, as a client meets them.
import { expect, test } from "vitest";
import { testGateway, testPrices } from "../api/testing.ts";
import { createOpenAiEngine } from "../engines/index.ts";
import { scriptedEngine } from "../engines/testing.ts";

const chat = { model: "scripted", messages: [{ role: "user", content: "Name three metals." }] };

async function limited(set: Record<string, unknown>) {
  const at = await testGateway();
  const made = await at.request("/api/limits", { method: "PUT", body: JSON.stringify(set) });
  expect(made.status).toBe(200);
  return at;
}

test("a used-up limit refuses with its name, retry-after and the headers that clients know, on success too", async () => {
  const scope = { kind: "project", id: "default" };
  await using at = await limited({ scope, dimension: "requests_per_minute", amount: 2 });
  const call = () => at.request("/v1/chat/completions", { method: "POST", body: JSON.stringify(chat) });
  // The other side of a notification hears of the limit in its own time.
  let first = await call();
  while (first.headers.get("x-ratelimit-limit-requests") === null) first = await call();
  expect(first.headers.get("x-ratelimit-remaining-requests")).toBe("1");
  expect(first.headers.get("anthropic-ratelimit-requests-limit")).toBe("2");
  expect((await call()).status).toBe(200);
  const refused = await call();
  expect(refused.status).toBe(429);
  expect(refused.body.error).toMatchObject({ code: "rate_limit_exceeded", type: "rate_limit_error" });
  expect(refused.body.error.message).toContain("2 requests in a minute");
  expect(Number(refused.headers.get("retry-after"))).toBeGreaterThan(0);
  expect(refused.headers.get("x-should-retry")).toBe("true");
  expect(refused.headers.get("x-ratelimit-remaining-requests")).toBe("0");
  const other = await at.request("/api/limits");
  expect(other.body.data).toMatchObject([{ dimension: "requests_per_minute", amount: 2 }]);
});

test("tokens of a call are what its attempts used, once it has ended", async () => {
  const scope = { kind: "organisation", id: "acme", model: "scripted" };
  await using at = await limited({ scope, dimension: "tokens_per_day", amount: 1_000 });
  const call = () => at.request("/v1/chat/completions", { method: "POST", body: JSON.stringify(chat) });
  let used = 0;
  let answer = await call();
  while (answer.headers.get("x-ratelimit-limit-tokens") === null) answer = await call();
  used = answer.body.usage.total_tokens as number;
  const next = await call();
  const estimate = 1_000 - used - Number(next.headers.get("x-ratelimit-remaining-tokens"));
  expect(estimate).toBeGreaterThan(0);
  expect(estimate).toBeLessThan(200);
});

test.each([
  { how: "streamed, counted by the engine", stream: true, software: "sglang" },
  { how: "whole, counted by the engine", stream: false, software: "sglang" },
  { how: "streamed, estimated from the text", stream: true, software: "another" },
])(
  "output counts as it comes, before its answer has ended: $how",
  { timeout: 30_000 },
  async ({ stream, software }) => {
    const scope = { kind: "project", id: "default" };
    await using at = await limited({ scope, dimension: "tokens_per_day", amount: 100_000 });
    await using engine = await scriptedEngine({}, ["small"], 0, { routes: {}, card: { owned_by: software } });
    const small = createOpenAiEngine({ url: engine.url, model: "small" });
    at.engines.add("small", small, { kind: "openai", model: "small", facts: await small.probe() });
    const { organisation } = at.principal;
    await at.ledger.setRateCard({ organisation, model: "small", currency: "USD", ...testPrices });
    const call = (more: object) =>
      at.request("/v1/chat/completions", {
        method: "POST",
        body: JSON.stringify({ ...chat, model: "small", ...more }),
      });
    // The process hears of the limit in its own time.
    while ((await call({})).headers.get("x-ratelimit-limit-tokens") === null);
    const used = async () => (await at.request("/api/limits")).body.data[0].used as number;
    const before = await used();
    const goesOn = Promise.withResolvers<void>();
    const chunks = Array.from({ length: 8 }, () => "1234".repeat(1_000));
    const usage = { prompt: 8, output: 7_500 };
    engine.next({ chunks, usage, wait: goesOn.promise, waitAfter: 5 });
    const answer = call({ stream, max_tokens: 10_000 });
    // Five chunks of a thousand tokens have come. The prompt, whose bound counts until the end, has fewer than a thousand.
    await expect.poll(used, { timeout: 20_000 }).toBeGreaterThanOrEqual(before + 5_000);
    expect(await used()).toBeLessThan(before + 6_000);
    goesOn.resolve();
    await answer;
    expect(await used()).toBe(before + usage.prompt + usage.output);
  },
);
