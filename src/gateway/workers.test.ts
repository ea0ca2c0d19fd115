// A deployment of several real workers with the real small model, behind the real gateway: conversations stay where their KV
// is, a parked one serves either worker, and roles really separate prefill from decode.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import type OpenAI from "openai";
import { afterAll, beforeAll, expect, test } from "vitest";
import { createEmbeddedEngine } from "../engines/embedded/adapter.ts";
import type { EndpointRole } from "../engines/index.ts";
import { startTestWorker, type TestWorker } from "../engines/embedded/testing.ts";
import { testGateway, testPrices, type TestGateway } from "../api/testing.ts";

const workers: TestWorker[] = [];
const kvDir = mkdtempSync(path.join(tmpdir(), "lineshaft-kv-"));
let at: TestGateway;

beforeAll(async () => {
  at = await testGateway();
  workers.push(...(await Promise.all([1, 2].map(() => startTestWorker({ kvDir, slots: 2, contextTokens: 1024 })))));
  for (const model of ["pair", "split"])
    await at.ledger.setRateCard({ organisation: at.principal.organisation, model, currency: "USD", ...testPrices });
  await register("pair", ["both", "both"]);
  await register("split", ["prefill", "decode"]);
});

afterAll(async () => {
  await at?.[Symbol.asyncDispose]();
  await Promise.all(workers.map((worker) => worker.stop()));
  rmSync(kvDir, { recursive: true, force: true });
});

/** Both workers as the endpoints of a deployment. */
async function register(name: string, roles: [EndpointRole, EndpointRole]): Promise<void> {
  for (const [index, worker] of workers.entries()) {
    const token = worker.headers["authorization"]!.slice("Bearer ".length);
    const engine = createEmbeddedEngine({ url: worker.url, token });
    const facts = await engine.probe();
    const endpoint = `${name}-${index}`;
    at.engines.add(name, engine, {
      kind: "embedded",
      model: "small",
      endpoint,
      role: roles[index]!,
      node: "here",
      facts,
    });
  }
}

type Message = OpenAI.Chat.ChatCompletionMessageParam;

async function ask(model: string, messages: Message[], session?: string) {
  const answer = await at
    .client()
    .chat.completions.create(
      { model, temperature: 0, seed: 1, max_tokens: 12, messages },
      { ...(session !== undefined && { headers: { "x-lineshaft-program": session } }) },
    );
  const [call] = (await at.request("/api/calls")).body.data;
  const { body: detail } = await at.request(`/api/calls/${call.id}`);
  return {
    text: answer.choices[0]!.message.content!,
    usage: answer.usage!,
    cached: answer.usage!.prompt_tokens_details!.cached_tokens!,
    attempt: detail.attempts[0],
    price: BigInt(call.price_nano as string),
  };
}

const long = (about: string, times = 50): Message => ({
  role: "user",
  content: `${`The ${about} turns and turns. `.repeat(times)} What turns?`,
});

test("a conversation stays with its KV, and the decision says why, with the runner-up's numbers", async () => {
  const messages = [long("shaft")];
  const first = await ask("pair", messages, "s1");
  expect(first.attempt.decision).toMatchObject({ candidates: 2, chosen: { numbers: { matched_tokens: 0 } } });
  messages.push({ role: "assistant", content: first.text }, { role: "user", content: "And then?" });
  const second = await ask("pair", messages, "s1");
  expect(second.attempt.engine).toBe(first.attempt.engine);
  const { chosen, runner_up: runnerUp, reason } = second.attempt.decision;
  expect(chosen.numbers.matched_tokens).toBeGreaterThan(256);
  expect(chosen.numbers.matched_tokens).toBeLessThanOrEqual(second.cached);
  // The other one would have to be brought what it lacks.
  expect(runnerUp.numbers.matched_remote_tokens).toBe(runnerUp.numbers.matched_tokens);
  expect(reason).toContain("more tokens of its prompt are cached here");
  expect(second.usage.prompt_tokens - second.cached).toBeLessThan(64);
});

test("what one worker has computed serves the other: its program is moved with its state", async () => {
  at.engines.configure("pair", { placement: "round-robin" });
  const messages = [long("wheel")];
  const first = await ask("pair", messages, "s2");
  messages.push({ role: "assistant", content: first.text }, { role: "user", content: "And then?" });
  const second = await ask("pair", messages, "s2");
  expect(second.attempt.engine).not.toBe(first.attempt.engine);
  expect(second.attempt.cached_by_tier.disk).toBeGreaterThan(256);
  expect(second.usage.prompt_tokens - second.cached).toBeLessThan(64);
  at.engines.configure("pair", {});
});

test("a run that waits for a person is parked where room is wanted, and is back on the device when the result arrives", async () => {
  const organisation = at.principal.organisation;
  const program = `${at.principal.project}/client/s3`;
  const messages = [long("lathe", 110)];
  const first = await ask("pair", messages, "s3");
  // Others fill both workers, in turn.
  at.engines.configure("pair", { placement: "round-robin" });
  await Promise.all(
    ["a", "b", "c", "d"].map((session) => ask("pair", [long(`loom of ${session}`, 75)], `s3${session}`)),
  );
  at.engines.configure("pair", {});
  const hints = async (verb: string) => {
    const { body } = await at.request("/metrics");
    return Number(new RegExp(`kv_hints_total\\{verb="${verb}",honoured="true"\\} (\\d+)`).exec(body)?.[1] ?? 0);
  };
  const before = { demote: await hints("demote"), prefetch: await hints("prefetch") };
  at.gateway.tell({ type: "tool_started", program, tool: "ask", kind: "approval" }, "pair", organisation);
  await expect.poll(() => hints("demote")).toBe(before.demote + 1);
  at.gateway.tell({ type: "tool_ended", program, tool: "ask" }, "pair", organisation);
  await expect.poll(() => hints("prefetch")).toBe(before.prefetch + 1);
  messages.push({ role: "assistant", content: first.text }, { role: "user", content: "And then?" });
  const second = await ask("pair", messages, "s3");
  expect(second.usage.prompt_tokens - second.cached).toBeLessThan(64);
});

test("roles: one worker computes the prompt, the other writes the same answer on its KV; the bill has the prefill's cached tokens", async () => {
  const messages = [long("gear")];
  const alone = await ask("pair", messages, "s4");
  const computed = async () =>
    (await Promise.all(workers.map((worker) => worker.status()))).map(({ totals }) => totals.computedTokens);

  const other: Message[] = [long("belt")];
  const before = await computed();
  const split = await ask("split", other, "s5");
  const after = await computed();
  expect(split.attempt).toMatchObject({ engine: "split-1", decision: { prefill: { endpoint: "split-0" } } });
  expect(split.attempt.phases.map(({ name }: { name: string }) => name)).toEqual(
    expect.arrayContaining(["prefill", "transfer", "decode"]),
  );
  expect(after[0]! - before[0]!).toBeGreaterThan(256);
  expect(after[1]! - before[1]!).toBeLessThanOrEqual(64);
  // Nothing was cached where it was computed, whatever the decoder calls cached.
  expect(split.cached).toBeLessThan(64);
  expect(split.price).toBe(
    BigInt(split.usage.prompt_tokens - split.cached) * 3n +
      BigInt(split.cached) +
      BigInt(split.usage.completion_tokens) * 7n,
  );
  // The same prompt where everything happens in one place says the same.
  const again = await ask("split", messages, "s6");
  expect(again.text).toBe(alone.text);
  expect((await at.ledger.prove()).discrepancies).toEqual([]);
});

test("roles: a client that leaves during the prefill is settled for what was computed, and nothing is kept for it", async () => {
  const gone = new AbortController();
  // The prefill does not end before it was seen.
  workers[0]!.process.kill("SIGSTOP");
  const begun = at
    .client()
    .chat.completions.create(
      { model: "split", max_tokens: 12, messages: [long("crank")], stream: true },
      { signal: gone.signal },
    );
  const splitCalls = async () => (await at.request("/api/scheduler")).body.split_calls;
  await expect.poll(splitCalls).toBe(1);
  gone.abort();
  await expect(begun).rejects.toThrow();
  workers[0]!.process.kill("SIGCONT");
  await expect.poll(splitCalls).toBe(0);
  await expect.poll(async () => (await at.request("/api/calls")).body.data[0].status).toBe("cancelled");
  const { endpoints } = (await at.request("/api/scheduler")).body;
  expect(
    endpoints.every(
      ({ running, waiting_tokens }: { running: number; waiting_tokens: number }) => running + waiting_tokens === 0,
    ),
  ).toBe(true);
  expect((await at.ledger.prove()).discrepancies).toEqual([]);
});
