// Limits on use on the path of a call: over HTTP, as a client meets them.
import { expect, onTestFinished, test, vi } from "vitest";
import { testGateway, testPrices } from "../api/testing.ts";
import { createOpenAiEngine } from "../engines/index.ts";
import { scriptedEngine } from "../engines/testing.ts";
import { Limiter } from "../governance/index.ts";

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
  const first = await call();
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
  const used = (await call()).body.usage.total_tokens as number;
  const next = await call();
  const estimate = 1_000 - used - Number(next.headers.get("x-ratelimit-remaining-tokens"));
  expect(estimate).toBeGreaterThan(0);
  expect(estimate).toBeLessThan(200);
});

test.each([
  { how: "streamed, counted by the engine", stream: true, software: "sglang" },
  { how: "whole, counted by the engine", stream: false, software: "sglang" },
  { how: "streamed, estimated from the text", stream: true, software: "another" },
])("output counts as it comes, before its answer has ended: $how", async ({ stream, software }) => {
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
  await call({});
  const used = async () => (await at.request("/api/limits")).body.data[0].used as number;
  const before = await used();
  const goesOn = Promise.withResolvers<void>();
  const chunks = Array.from({ length: 8 }, () => "1234".repeat(1_000));
  const usage = { prompt: 8, output: 7_500 };
  engine.next({ chunks, usage, wait: goesOn.promise, waitAfter: 5 });
  const answer = call({ stream, max_tokens: 10_000 });
  // Five chunks of a thousand tokens have come. The prompt, whose bound counts until the end, has fewer than a thousand.
  await expect.poll(used).toBeGreaterThanOrEqual(before + 5_000);
  expect(await used()).toBeLessThan(before + 6_000);
  goesOn.resolve();
  await answer;
  expect(await used()).toBe(before + usage.prompt + usage.output);
});

test("a client over its limit has no media fetched and no prompt tokenised", async () => {
  const scope = { kind: "project", id: "default" };
  await using at = await limited({ scope, dimension: "requests_per_minute", amount: 3 });
  const { organisation } = at.principal;
  await at.ledger.setRateCard({ organisation, model: "twice", currency: "USD", ...testPrices });
  const facts = await createOpenAiEngine({ url: at.engine.url, model: "scripted" }).probe();
  let tokenised = 0;
  for (const endpoint of ["twice-0", "twice-1"]) {
    const engine = createOpenAiEngine({ url: at.engine.url, model: "scripted" });
    engine.tokenize = async () => ({ count: ++tokenised });
    at.engines.add("twice", engine, {
      kind: "openai",
      model: "scripted",
      endpoint,
      facts: { ...facts, capabilities: { ...facts.capabilities, tokenize: true } },
    });
  }
  const call = (model: string, content: unknown) =>
    at.request("/v1/chat/completions", {
      method: "POST",
      body: JSON.stringify({ model, messages: [{ role: "user", content }] }),
    });
  while ((await call("twice", "Name three metals.")).status !== 429);
  const before = tokenised;
  expect(before).toBeGreaterThan(0);
  expect((await call("twice", "Name three metals.")).status).toBe(429);
  expect(tokenised).toBe(before);
  // An address that may not be asked is refused by its name once it is to be fetched.
  const image = [{ type: "image_url", image_url: { url: "https://127.0.0.1:1/a.png" } }];
  expect((await call("scripted", image)).body.error.code).toBe("rate_limit_exceeded");
});

test("a call that waited for a limit is priced by the card that is valid when it is held", async () => {
  const scope = { kind: "project", id: "default" };
  await using at = await limited({ scope, dimension: "concurrent_calls", amount: 1 });
  const call = (more: object = {}) =>
    at.request("/v1/chat/completions", { method: "POST", body: JSON.stringify({ ...chat, ...more }) });
  const begin = vi.spyOn(Limiter.prototype, "begin");
  onTestFinished(() => begin.mockRestore());
  const answered = Promise.withResolvers<void>();
  const usage = { prompt: 10, output: 5 };
  const underWay = async () =>
    (await at.request("/api/limits")).body.data.find(({ dimension }: { dimension: string }) =>
      dimension.startsWith("concurrent"),
    ).used;
  const begun = begin.mock.calls.length;
  at.engine.next({ usage, wait: answered.promise });
  at.engine.next({ usage });
  const first = call({ stream: true });
  await expect.poll(underWay).toBe(1);
  const second = call();
  await expect.poll(() => begin.mock.calls.length).toBe(begun + 2);
  const prices = {
    inputNanoPerMillion: 1_000_000n,
    cachedNanoPerMillion: 1_000_000n,
    outputNanoPerMillion: 1_000_000n,
  };
  await at.ledger.setRateCard({
    organisation: at.principal.organisation,
    model: "scripted",
    currency: "USD",
    ...prices,
  });
  answered.resolve();
  await first;
  expect((await second).headers.get("x-lineshaft-price-nano")).toBe("15");
});
